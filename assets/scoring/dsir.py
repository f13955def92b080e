"""DSIR: log importance of a document under a target, by hashed unigrams and bigrams.

Raw and target text are each modelled as a bag of n-grams over hashed buckets, and a document is
worth the log ratio of its probabilities: Xie et al. 2023, "Data selection for language models via
importance resampling", section 3. Their sum favours (or punishes) length, so the score here is the
mean over the document's n-grams; the sum is kept beside it as ``dsir_log_weight``.

Cost: O(tokens), about 150 MB/s a core with ``hash="fast"``, documents parted over the cores. ``hash="sha256"``
gives the buckets of the authors' package, bit for bit, at about 2 MB/s. ``compat="reference"`` is that package
whole: its buckets, and its log weights, which are sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from assets.scoring.ngram_buckets import count, on_parts, sum_by_row
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

EPSILON = 1e-8


@dataclass(frozen=True)
class Dsir:
    """Mean log importance ratio of a record's n-grams, high is closer to the target.

    Parameters
    ----------
    buckets
        Hash buckets (the paper: 10,000).
    hash
        ``fast`` or ``sha256``.
    smoothing
        Added to each bucket of the target (the paper's code: 0).
    min_tokens
        Documents with fewer tokens get no score (the paper's selection drops those under 100).
    compat
        ``paper``, or ``reference`` for the values of the authors' package data-selection: the hash is then
        sha256 whatever `hash` says, nothing is smoothed, and ``dsir`` is the sum as ``dsir_log_weight`` is.

    Notes
    -----
    ``log w = sum over n-grams of log(q + 1e-8) - log(p + 1e-8)``, q from target rows, p from train
    rows. Rows of role ``target`` and ``train`` are counted, others ignored. A document of T tokens
    has 2 T - 1 n-grams.
    """

    buckets: int = 10_000
    hash: Literal["fast", "sha256"] = "fast"
    smoothing: float = 0.0
    min_tokens: int = 1
    compat: Literal["paper", "reference"] = "paper"

    name: ClassVar[str] = "dsir"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.TEXT | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(tokens)"
    source: ClassVar[str] = "Xie et al. 2023, arXiv 2302.03169, section 3"

    def __post_init__(self) -> None:
        if self.hash not in {"fast", "sha256"} or self.buckets < 1 or self.smoothing < 0:
            message = (
                f"dsir cannot use buckets={self.buckets}, hash={self.hash!r}, "
                f"smoothing={self.smoothing}; use buckets >= 1, hash fast or sha256, smoothing >= 0"
            )
            raise ScoringError(message)
        if self.compat not in {"paper", "reference"}:
            message = f"dsir cannot use compat={self.compat!r}; use paper or reference"
            raise ScoringError(message)
        if self.compat == "reference" and self.smoothing:
            message = f"dsir cannot use smoothing={self.smoothing} with compat=reference, which smooths nothing"
            raise ScoringError(message)

    @property
    def scheme(self) -> Literal["fast", "sha256"]:
        """The hash that is used: the package's where its values are wanted."""
        return "sha256" if self.compat == "reference" else self.hash

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def _meta(self) -> dict[str, Any]:
        return {
            "buckets": self.buckets,
            "hash": self.scheme,
            "smoothing": self.smoothing,
            "min_tokens": self.min_tokens,
            "compat": self.compat,
        }

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Count n-grams of train and target rows."""
        counts = {"train": np.zeros(self.buckets, dtype=np.int64)}
        counts["target"] = counts["train"].copy()
        for batch in batches:
            if batch.text is None:
                continue
            roles = {role: batch.has_role(role) for role in counts}
            work = partial(self._counts, roles)
            for more in on_parts(batch.text, self.buckets, work, self.scheme):
                for role, total in counts.items():
                    total += more[role]
            if context.progress is not None:
                context.progress(len(batch))
        return ScorerState(self.name, self.version, self._meta(), counts)

    def _counts(
        self,
        roles: dict[str, NDArray[np.bool_]],
        part: slice,
        found: NDArray[np.int32],
        offsets: NDArray[np.int64],
    ) -> dict[str, NDArray[np.int64]]:
        """Count the buckets of some documents by role."""
        counts = {role: np.zeros(self.buckets, dtype=np.int64) for role in roles}
        for role, total in counts.items():
            rows = roles[role][part]
            if rows.all():
                count(found, total)
            elif rows.any():
                count(found[np.repeat(rows, np.diff(offsets))], total)
        return counts

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add the counts."""
        check_same(left, right)
        arrays = {role: left.arrays[role] + right.arrays[role] for role in left.arrays}
        return ScorerState(left.scorer, left.version, left.meta, arrays)

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Turn counts into log ratios.

        Raises
        ------
        ScoringError
            When there is no target text, or no text to score against it.
        """
        remedies = {
            "target": "give a table role: target in records (or --target a file with text), or drop dsir",
            "train": "it needs text in train rows; drop it from scoring.scorers",
        }
        for role, remedy in remedies.items():
            if not summary.arrays[role].sum():
                message = f"dsir found no words in rows of role {role}; {remedy}"
                raise ScoringError(message)
        target = summary.arrays["target"].astype(np.float64) + self.smoothing
        raw = summary.arrays["train"].astype(np.float64)
        log_ratio = np.log(target / target.sum() + EPSILON) - np.log(raw / raw.sum() + EPSILON)
        arrays = {**summary.arrays, "log_ratio": log_ratio}
        return ScorerState(self.name, self.version, summary.meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without words get none."""
        n = len(batch)
        if batch.text is None:
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no text")])
            empty = np.full(n, np.nan)
            extras = {"dsir_log_weight": empty}
            return ScoreColumn(self.name, self.version, empty, reasons, "high", extras)
        ratios = state.arrays["log_ratio"]
        sums, ngrams = np.zeros(n), np.zeros(n, dtype=np.int64)

        def add(part: slice, found: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
            sums[part] = sum_by_row(found, offsets, ratios)
            ngrams[part] = np.diff(offsets)

        for _ in on_parts(batch.text, self.buckets, add, self.scheme):
            pass
        tokens = (ngrams + 1) // 2
        missing = np.asarray(batch.text.is_null())
        short = tokens < max(self.min_tokens, 1)
        per = np.maximum(ngrams, 1) if self.compat == "paper" else 1
        values = np.where(short, np.nan, sums / per)
        log_weight = np.where(short, np.nan, sums)
        why = f"fewer than {max(self.min_tokens, 1)} tokens"
        reasons = reasons_from(n, [(missing, "no text"), (short, why)])
        extras = {"dsir_log_weight": log_weight}
        return ScoreColumn(self.name, self.version, values, reasons, "high", extras)
