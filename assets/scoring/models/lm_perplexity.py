"""Perplexity of a text under a causal language model, as CCNet uses it (Wenzek et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow.compute as pc

from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    ScorerState,
    ScoringError,
    check_same,
    reasons_from,
)
from resources.device import choose_device

if TYPE_CHECKING:
    from assets.scoring.models.causal_lm import CausalModel


@dataclass(frozen=True)
class LmPerplexity:
    """Perplexity under a causal language model, low is more expected: exp of a token's mean surprisal.

    The extra column `bits_per_byte` compares models of different
    vocabularies.

    Parameters
    ----------
    model
        A folder, or an id on the Hugging Face hub.
    max_tokens
        Tokens that the model reads at once; 0 takes what it can, up to 1,024.
    precision
        ``auto`` takes bfloat16 where the device multiplies it natively.
    device, workers, cache
        Where the model works, processes that make tokens, and a folder that keeps them (empty: none).
        They change no score beyond rounding, and are no part of the state.
    """

    model: str = ""
    max_tokens: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    workers: int = 0
    cache: str = ""

    name: ClassVar[str] = "lm_perplexity"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.TEXT
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "one forward pass of the model, twice that for texts of several windows"
    source: ClassVar[str] = "Wenzek et al. 2020, arXiv 1911.00359"
    exempt: ClassVar[dict[str, str]] = {
        "bits": "a batch of another shape rounds its products otherwise; values agree to 1e-4",
    }

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Low is better."""
        return "low"

    def identity(self) -> dict[str, Any]:
        """Return the settings that scores depend on."""
        model = self._model()
        return {
            "model": model.files.digest,
            "max_tokens": model.max_tokens,
            "precision": self.precision,
        }

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Return what names the model; the rows are not looked at.

        Raises
        ------
        ScoringError
            When no model is named, or it is none.
        """
        model = self._model()
        meta = {"model": model.files.digest, "max_tokens": model.max_tokens}
        return ScorerState(self.name, self.version, meta)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Return one of two equal summaries."""
        check_same(left, right)
        return left

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Return the summary."""
        return summary

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a token that can be predicted get none.

        Raises
        ------
        ScoringError
            When the model's files are not those that the state names.
        """
        n = len(batch)
        model = self._model()
        if model.files.digest != state.meta["model"]:
            message = (
                f"lm_perplexity.model: {self.model} is not the model that earlier scores were made with; "
                "restore its files, or fit the scorers anew (--recalibrate)"
            )
            raise ScoringError(message)
        if batch.text is None:
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no text")])
            return ScoreColumn(self.name, self.version, np.full(n, np.nan), reasons, "low")
        texts = ["" if value is None else value for value in batch.text.to_pylist()]
        found = model.surprisal(texts)
        size = np.asarray(pc.fill_null(pc.binary_length(batch.text), 0), dtype=np.float64)
        known = found.tokens > 0
        values, bits = np.full(n, np.nan), np.full(n, np.nan)
        np.exp(found.nats / np.maximum(found.tokens, 1), out=values, where=known)
        np.divide(found.nats / np.log(2.0), size, out=bits, where=known & (size > 0))
        bits[found.cut] = np.nan  # of the bytes that were read the number is not known
        empty = size == 0
        reasons = reasons_from(n, [(empty, "no text"), (~known & ~empty, "no token to predict")])
        return ScoreColumn(self.name, self.version, values, reasons, "low", {"bits_per_byte": bits})

    def _model(self) -> CausalModel:
        if not self.model:
            message = (
                "lm_perplexity needs a model: name one as scoring.language_model "
                "(or --language-model), a folder or an id on the hub"
            )
            raise ScoringError(message)
        return _model(self)


@lru_cache(maxsize=2)
def _model(scorer: LmPerplexity) -> CausalModel:
    from assets.scoring.models.causal_lm import CausalModel  # torch comes with it

    return CausalModel(
        scorer.model,
        scorer.max_tokens or None,
        scorer.precision,
        choose_device(scorer.device, setting="lm_perplexity.device"),
        scorer.workers,
        Path(scorer.cache) if scorer.cache else None,
        setting="lm_perplexity.model",
    )
