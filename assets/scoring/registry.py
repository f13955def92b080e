"""Every scorer by name, and what is said of it.

A new method is one module and one line of `SCORERS`. A recipe's ``scoring.scorers`` entry is a
name, or a mapping of one name to settings.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import polars as pl

from assets.scoring.baseline import RandomScore
from assets.scoring.difficulty import El2n, Entropy, Loss, Margin
from assets.scoring.dsir import Dsir
from assets.scoring.got_d import GotD
from assets.scoring.group_shapley import GroupShapley
from assets.scoring.heuristics import Heuristics, Repetition
from assets.scoring.influence import Influence
from assets.scoring.knn_shapley import KnnShapley
from assets.scoring.lava import Lava
from assets.scoring.less import Less
from assets.scoring.leverage import Leverage
from assets.scoring.models.lm_perplexity import LmPerplexity
from assets.scoring.perplexity import Perplexity
from assets.scoring.protocol import AnyScorer, Needs, ScoringError
from assets.scoring.prototype import Prototype
from assets.scoring.quality_classifier import QualityClassifier
from assets.scoring.rds import Rds
from assets.scoring.redundancy import RedundancyScorer
from assets.scoring.settings import scorer_settings
from assets.scoring.tracin import TracIn
from assets.scoring.training_difficulty import Forgetting, Grand
from assets.scoring.trak import Trak

SCORERS: dict[str, type[Any]] = {
    "random": RandomScore,
    "dsir": Dsir,
    "heuristics": Heuristics,
    "repetition": Repetition,
    "prototype": Prototype,
    "redundancy": RedundancyScorer,
    "perplexity": Perplexity,
    "lm_perplexity": LmPerplexity,
    "quality_classifier": QualityClassifier,
    "el2n": El2n,
    "loss": Loss,
    "margin": Margin,
    "entropy": Entropy,
    "grand": Grand,
    "forgetting": Forgetting,
    "knn_shapley": KnnShapley,
    "influence": Influence,
    "tracin": TracIn,
    "less": Less,
    "trak": Trak,
    "leverage": Leverage,
    "rds": Rds,
    "lava": Lava,
    "got_d": GotD,
    "group_shapley": GroupShapley,
}
COMMAND_ONLY = frozenset(
    {"knn_shapley"}
)  # values all records together, so a new record changes old values

NEEDS_MODEL = {
    "lm_perplexity": "scoring.language_model",
    "quality_classifier": "scoring.classifier",
}
"""Scorers that work with a model or examples of the user's, and the setting that names those."""


def create(
    name: str, settings: Mapping[str, Any] | None = None, *, setting: str = "scoring.scorers"
) -> AnyScorer:
    """Make a scorer from its name and settings; `setting` is what names it, for errors.

    Raises
    ------
    ScoringError
        For an unknown name or setting; names the nearest known one.
    """
    if name not in SCORERS:
        message = f"{setting} names {name!r}, which is no scorer{_nearest(name, SCORERS)}"
        raise ScoringError(message)
    kind = SCORERS[name]
    known = {field.name for field in dataclasses.fields(kind)}
    for key in settings or {}:
        if key not in known:
            message = f"{setting}.{name} has no setting {key!r}{_nearest(key, known)}"
            raise ScoringError(message)
    try:
        return cast("AnyScorer", kind(**(settings or {})))
    except TypeError as error:
        message = f"{setting}.{name}: a setting is of a type that it can't be ({error})"
        raise ScoringError(message) from error


def names_in(entries: Sequence[str | Mapping[str, Mapping[str, Any] | None]]) -> list[str]:
    """Return the scorers that ``scoring.scorers`` names and that there are."""
    names = [n for entry in entries for n in ([entry] if isinstance(entry, str) else entry)]
    return [name for name in names if name in SCORERS]


def from_recipe(
    entries: Sequence[str | Mapping[str, Mapping[str, Any] | None]],
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, AnyScorer]:
    """Make the scorers of ``scoring.scorers``, in its order; a name given twice is an error.

    Parameters
    ----------
    entries
        Names, or mappings of a name to its settings.
    given
        Further settings by scorer: what the recipe says elsewhere (models, examples).
    """
    found: dict[str, AnyScorer] = {}
    for entry in entries:
        pairs = (
            [(entry, {})] if isinstance(entry, str) else [(n, s or {}) for n, s in entry.items()]
        )
        for name, settings in pairs:
            if name in found:
                message = f"scoring.scorers names {name!r} twice; keep one"
                raise ScoringError(message)
            found[name] = create(name, {**(given or {}).get(name, {}), **settings})
            if name in COMMAND_ONLY:
                message = f"scoring.scorers names {name!r}, which only `sluice score` computes; take it out"
                raise ScoringError(message)
    return found


def named(
    names: str,
    settings: Iterable[str] = (),
    given: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    setting: str = "--scorers",
) -> dict[str, AnyScorer]:
    """Make the scorers of a list separated by commas, with settings ``SCORER.NAME=VALUE``.

    `given` has further settings by scorer: models and examples.
    """
    wanted = [part.strip() for part in names.split(",") if part.strip()]
    own = scorer_settings(settings, wanted)
    found: dict[str, AnyScorer] = {}
    for name in wanted:
        if name in found:
            message = f"{setting} names {name!r} twice; keep one"
            raise ScoringError(message)
        stated = {**(given or {}).get(name, {}), **own.get(name, {})}
        found[name] = create(name, stated, setting="--set" if name in own else setting)
    if not found:
        message = f"{setting} names no scorer; known: {', '.join(sorted(SCORERS))}"
        raise ScoringError(message)
    return found


def split_by_needs(
    scorers: Mapping[str, AnyScorer], available: Needs
) -> tuple[dict[str, AnyScorer], dict[str, str]]:
    """Part scorers into those that can run and those left out, with the reason.

    Parameters
    ----------
    scorers
        From `from_recipe`.
    available
        What the records have, `Needs.TARGET` meaning that some play that role.
    """
    active: dict[str, AnyScorer] = {}
    left_out: dict[str, str] = {}
    for name, scorer in scorers.items():
        lacking = [flag.name.lower() for flag in scorer.needs & ~available if flag.name]
        if lacking:
            left_out[name] = f"needs {', '.join(lacking)}, which the records lack"
        else:
            active[name] = scorer
    return active, left_out


def exemptions(kind: type[Any]) -> Mapping[str, str]:
    """Return the properties of the common suite that a method does not have, each with the reason."""
    return cast("Mapping[str, str]", getattr(kind, "exempt", {}))


def describe() -> pl.DataFrame:
    """Return one row a scorer: name, version, needs, direction, row_local, in_recipes, cost, source, about, exempt."""
    rows = []
    for name, kind in SCORERS.items():
        scorer = create(name)
        try:
            direction = scorer.direction()
        except ScoringError:
            direction = cast("Any", "fitted")
        rows.append(
            {
                "scorer": name,
                "version": scorer.version,
                "needs": ", ".join(f.name.lower() for f in scorer.needs if f.name) or "nothing",
                "direction": direction,
                "row_local": scorer.row_local,
                "in_recipes": name not in COMMAND_ONLY,
                "cost": scorer.cost,
                "source": scorer.source,
                "about": (kind.__doc__ or "").strip().split("\n", maxsplit=1)[0],
                "exempt": "; ".join(f"{k}: {why}" for k, why in exemptions(kind).items()),
            }
        )
    return pl.DataFrame(rows)


def _nearest(name: str, known: Any) -> str:  # noqa: ANN401 any iterable of names
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known)) or 'none'}"
