"""What a recipe says of trained models: its embedder, its language model, its quality classifier."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from assets.scoring.classifier_examples import files_digest, read_examples
from assets.scoring.embedders import HASHED, Embedder, make_embedder
from assets.scoring.protocol import ScoringError
from assets.scoring.record_files import Columns
from resources.device import choose_device
from resources.errors import RecipeError
from resources.recipe import Recipe

_log = logging.getLogger(__name__)


def embedder(recipe: Recipe, cache: Path | None = None) -> Embedder:
    """Make the recipe's embedder; tokens are kept in `cache`.

    Raises
    ------
    RecipeError
        If `scoring.embedder` names no model that can be used here.
    """
    wanted = recipe.scoring
    try:
        return make_embedder(
            wanted.embedder,
            wanted.dimensions,
            encoder=wanted.encoder,
            device="cpu" if wanted.embedder == HASHED else choose_device(recipe.limits.device),
            cache=cache,
            told=lambda message: _log.warning("scoring.embedder: %s", message),
        )
    except ScoringError as error:
        raise RecipeError(str(error)) from error


def model_settings(recipe: Recipe, cache: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what the scorers that use models need, by scorer; examples are read and embedded.

    Only scorers that `scoring.scorers` names are there.

    Raises
    ------
    RecipeError
        If a model or the examples can't be read.
    """
    wanted = recipe.scoring
    named = {
        name for entry in wanted.scorers for name in ([entry] if isinstance(entry, str) else entry)
    }
    found: dict[str, dict[str, Any]] = {}
    if "lm_perplexity" in named and wanted.language_model is not None:
        found["lm_perplexity"] = {
            "model": wanted.language_model,
            "precision": wanted.encoder.precision,
            "device": recipe.limits.device,
            "workers": wanted.encoder.tokenising_processes,
            "cache": "" if cache is None else str(cache),
        }
    if "quality_classifier" in named and wanted.classifier is not None:
        examples = wanted.classifier
        columns = Columns(text=examples.text)
        try:
            read = read_examples(
                examples.positives, examples.negatives, columns, embedder(recipe, cache)
            )
        except ScoringError as error:
            raise RecipeError(str(error)) from error
        found["quality_classifier"] = {"examples": read}
    return found


def model_identities(recipe: Recipe) -> list[str]:
    """Name the models and examples that scores depend on, by content; nothing for a recipe without any.

    Raises
    ------
    RecipeError
        If one can't be found.
    """
    wanted = recipe.scoring
    named = [] if wanted.embedder == HASHED else [embedder(recipe).embedder_id]
    try:
        if wanted.language_model is not None:
            from assets.scoring.models.model_files import find_model

            named.append(find_model(wanted.language_model, setting="scoring.language_model").digest)
        if wanted.classifier is not None:
            named.append(files_digest(wanted.classifier.positives))
            named.append(files_digest(wanted.classifier.negatives))
    except ScoringError as error:
        raise RecipeError(str(error)) from error
    return named
