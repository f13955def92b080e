"""Prototype score: distance of a record to its nearest prototype in embedding space.

Prototypes are the centroids of spherical k-means; far records are hard, near ones easy (Sorscher et
al. 2022, "Beyond neural scaling laws", appendix on self-supervised prototypes). Which are worth
keeping depends on how much data there is: where it is abundant the hard ones, where it is scarce
the easy ones. ``keep="auto"`` decides by rows per dimension.

It measures typicality, not quality: on an unclean corpus the hardest rows are also the noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import hash_words, id_words
from assets.kernels.kmeans import KMeansModel, fit_kmeans
from assets.kernels.unit_vectors import SCALE
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


@dataclass(frozen=True)
class Prototype:
    """One minus the cosine to the nearest of k prototypes.

    Parameters
    ----------
    k
        Prototypes, at most; about the number of classes (the result is robust over a decade). 0
        takes the square root of half the rows, 2 to 256.
    keep
        ``hard`` (high is better), ``easy`` (low is better) or ``auto``: hard when there are at
        least `abundant` rows per embedding dimension.
    abundant
        Rows per dimension from which data count as abundant. In the perceptron of the paper's
        theory easy wins at 2 and hard at 20.
    sample_rows
        Rows on which prototypes are fitted: those with the smallest hash of their id.
    """

    k: int = 0
    keep: Literal["hard", "easy", "auto"] = "auto"
    abundant: float = 10.0
    sample_rows: int = 65_536

    name: ClassVar[str] = "prototype"
    exempt: ClassVar[dict[str, str]] = {
        "seed": "the cells start from records drawn by the seed",
        "direction": "which end is better is fitted to how much data there is",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(rows x k x dim)"
    source: ClassVar[str] = "Sorscher et al. 2022, arXiv 2206.14486"

    def __post_init__(self) -> None:
        if self.keep not in {"hard", "easy", "auto"} or self.k < 0 or self.sample_rows < 1:
            message = (
                f"prototype cannot use k={self.k}, keep={self.keep!r}, "
                f"sample_rows={self.sample_rows}; use k >= 0, keep hard, easy or auto"
            )
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Return what `keep` means; ``auto`` needs the fitted state."""
        keep = self.keep
        if keep == "auto":
            if state is None or "keep" not in state.meta:
                message = "prototype keep: auto has a direction only once it is fitted"
                raise ScoringError(message)
            keep = state.meta["keep"]
        return "high" if keep == "hard" else "low"

    def _meta(self, context: ScoreContext) -> dict[str, Any]:
        return {**vars(self), "seed": context.seed}

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Keep the sample of train rows with the smallest hashes, and count rows."""
        state = self._empty(context)
        for batch in batches:
            if batch.embedding is None:
                continue
            vectors = batch.embedding
            with np.errstate(invalid="ignore"):
                usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
            rows = np.flatnonzero(usable & batch.has_role("train"))
            if not len(rows):
                continue
            part = self._part(vectors[rows], id_words(batch.ids.gather(rows)), len(rows), context)
            state = self.merge(state, part)
            if context.progress is not None:
                context.progress(len(batch))
        return state

    def _empty(self, context: ScoreContext) -> ScorerState:
        nothing = np.empty((0, 2), dtype=np.uint64)
        return self._part(np.empty((0, 0), dtype=np.float32), nothing, 0, context)

    def _part(
        self, vectors: NDArray[Any], words: NDArray[np.uint64], rows: int, context: ScoreContext
    ) -> ScorerState:
        arrays: dict[str, NDArray[Any]] = {
            "vectors": np.asarray(vectors, dtype=np.float16),
            "words": words,
            "rows": np.array([rows], dtype=np.int64),
        }
        return self._sample(arrays, self._meta(context))

    def _sample(self, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> ScorerState:
        words = arrays["words"]
        hashes = hash_words(words, meta["seed"], "k-means sample")
        order = np.lexsort((words[:, 1], words[:, 0], hashes))[: self.sample_rows]
        kept = {"vectors": arrays["vectors"][order], "words": words[order], "rows": arrays["rows"]}
        return ScorerState(self.name, self.version, meta, kept)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Unite the samples."""
        check_same(left, right)
        parts = [s for s in (left, right) if len(s.arrays["words"])]
        widths = {s.arrays["vectors"].shape[1] for s in parts}
        if len(widths) > 1:
            message = (
                f"prototype got embeddings of {sorted(widths)} dimensions; "
                "was the embedder changed? Spaces cannot be mixed"
            )
            raise ScoringError(message)
        rows = left.arrays["rows"] + right.arrays["rows"]
        if not parts:
            return left
        arrays = {n: np.concatenate([s.arrays[n] for s in parts]) for n in ("vectors", "words")}
        return self._sample({**arrays, "rows": rows}, left.meta)

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Fit the prototypes.

        Raises
        ------
        ScoringError
            When no train row has a vector.
        """
        vectors = summary.arrays["vectors"]
        rows = int(summary.arrays["rows"][0])
        if not len(vectors):
            message = (
                "prototype found no train row with an embedding; give the records text or "
                "features, or drop prototype from scoring.scorers"
            )
            raise ScoringError(message)
        k = self.k or int(np.clip(np.sqrt(rows / 2), 2, 256))
        model = fit_kmeans(
            vectors,
            _ids(summary.arrays["words"]),
            k,
            seed=context.seed,
            sample_rows=self.sample_rows,
            device=context.device,
        )
        abundant = rows / vectors.shape[1] >= self.abundant
        keep = self.keep if self.keep != "auto" else ("hard" if abundant else "easy")
        meta = {
            **summary.meta,
            "keep": keep,
            "rows": rows,
            "rows_per_dimension": rows / vectors.shape[1],
            "inertia": model.inertia,
            "iterations": model.iterations,
        }
        arrays = {"centroids": model.centroids}
        return ScorerState(self.name, self.version, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector get none."""
        direction = self.direction(state)
        n = len(batch)
        if batch.embedding is None:
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no embedding")])
            return ScoreColumn(self.name, self.version, np.full(n, np.nan), reasons, direction)
        model = KMeansModel(state.arrays["centroids"], "spherical", 1.0 / SCALE, 0.0, 0)
        # rounded as it is stored, so that a score from stored vectors is the same
        stored = batch.embedding.astype(np.float16).astype(np.float32)
        cells, distance = model.assign(stored)
        reasons = reasons_from(n, [(cells < 0, "no embedding")])
        return ScoreColumn(self.name, self.version, distance, reasons, direction)


def _ids(words: NDArray[np.uint64]) -> pl.Series:
    high, low = words[:, 0], words[:, 1]
    return pl.Series("id", [f"{h:016x}{w:016x}" for h, w in zip(high, low, strict=True)])
