"""Perplexity of a document under an n-gram model that is trained on the target.

The probability of a word is interpolated with that under a shorter history by a Dirichlet prior
(MacKay and Peto 1995, "A hierarchical Dirichlet language model"), which needs counts only:
``p(w | h) = (c(h w) + m p(w | h')) / (c(h) + m)``, h' being h without its first word and
``p0 = 1 / (V + 1)`` over the V words of the target and one for all others. N-grams are known by 64-bit
hashes, without buckets, so probabilities are those of exact counts.

Use as CCNet does (Wenzek et al. 2020): text of low perplexity resembles the target. It is low for
repetitive text too. Cost: O(tokens), one binary search an n-gram; memory: 16 bytes a distinct n-gram of the
target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.scoring.heuristics import SPACELESS_SHARE
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
from assets.scoring.tokens import HAS_SPACELESS, Tokens, pair_hash, tokenise, utf8

Counts = tuple[NDArray[np.uint64], NDArray[np.int64]]


@compiled
def _chain(
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], order: int, out: NDArray[np.uint64]
) -> None:
    # out[n - 1, i]: the n-gram that ends with token i, 0 where its document is too short
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            out[0, i] = hashes[i]
            for n in range(1, order):
                if i - n < offsets[row]:
                    break
                out[n, i] = pair_hash(out[n - 1, i - 1], hashes[i])


@compiled
def _mean_surprisal(
    counts: NDArray[np.int64],
    histories: NDArray[np.int64],
    offsets: NDArray[np.int64],
    total: int,
    words: int,
    prior: float,
) -> NDArray[np.float64]:
    rows = len(offsets) - 1
    mean = np.full(rows, np.nan)
    for row in range(rows):
        start, stop = offsets[row], offsets[row + 1]
        if start == stop:
            continue
        surprisal = 0.0
        for i in range(start, stop):
            p = (counts[0, i] + prior / (words + 1)) / (total + prior)
            for n in range(1, counts.shape[0]):
                if i - n < start:
                    break
                p = (counts[n, i] + prior * p) / (histories[n, i] + prior)
            surprisal -= math.log(p)
        mean[row] = surprisal / (stop - start)
    return mean


def ngrams(tokens: Tokens, order: int) -> NDArray[np.uint64]:
    """Return the hash of the n-gram that ends with each token.

    Returns
    -------
    numpy.ndarray
        uint64, shape (order, tokens): unigrams, bigrams, …; 0 where the document is too short.
    """
    out = np.zeros((order, len(tokens.hashes)), dtype=np.uint64)
    _chain(tokens.hashes, tokens.offsets, order, out)
    return out


@dataclass(frozen=True)
class Perplexity:
    """Perplexity under an n-gram model of the target, low is closer to it.

    Parameters
    ----------
    order
        Words of an n-gram, 1 to 5.
    prior
        The m of the module's formula, above 0: how many occurrences the shorter history counts for.
    """

    order: int = 3
    prior: float = 20.0

    name: ClassVar[str] = "perplexity"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.TEXT | Needs.TARGET
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(tokens x order x log target n-grams)"
    source: ClassVar[str] = "MacKay and Peto 1995; Wenzek et al. 2020, arXiv 1911.00359"

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5 or not 0 < self.prior < math.inf:
            message = (
                f"perplexity cannot use order={self.order}, prior={self.prior}; "
                "use order 1 to 5 and a prior above 0"
            )
            raise ScoringError(message)

    def direction(self, state: ScorerState | None = None) -> Direction:
        """Low is better."""
        return "low"

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Count the n-grams and histories of target rows."""
        state = self._state({})
        for batch in batches:
            rows = np.flatnonzero(batch.has_role("target"))
            if batch.text is not None and len(rows):
                state = self.merge(state, self._state(self._count(batch.take(rows))))
            if context.progress is not None:
                context.progress(len(batch))
        return state

    def _count(self, batch: ScoreBatch) -> dict[str, Counts]:
        assert batch.text is not None
        tokens = tokenise(utf8(batch.text, lower=True))
        grams = ngrams(tokens, self.order)
        found: dict[str, Counts] = {}
        for n in range(self.order):
            ends = np.flatnonzero(_ends(tokens, n))
            found[f"grams{n + 1}"] = _counted(grams[n, ends])
            if n:
                found[f"history{n + 1}"] = _counted(grams[n - 1, ends - 1])
        return found

    def _state(self, found: dict[str, Counts]) -> ScorerState:
        nothing = (np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))
        arrays: dict[str, NDArray[Any]] = {}
        for n in range(1, self.order + 1):
            for name in (f"grams{n}", f"history{n}")[: 1 if n == 1 else 2]:
                arrays[f"{name}/keys"], arrays[f"{name}/counts"] = found.get(name, nothing)
        return ScorerState(self.name, self.version, dict(vars(self)), arrays)

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Add the counts."""
        check_same(left, right)
        if not len(right.arrays["grams1/keys"]):
            return left
        if not len(left.arrays["grams1/keys"]):
            return right
        names = {name.split("/")[0] for name in left.arrays}
        return self._state({name: _added(_of(left, name), _of(right, name)) for name in names})

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Return the counts.

        Raises
        ------
        ScoringError
            When the target has no words.
        """
        if not len(summary.arrays["grams1/keys"]):
            message = (
                "perplexity found no words in rows of role target; give a table role: target in "
                "records (or --target a file with text), or drop perplexity"
            )
            raise ScoringError(message)
        return summary

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without words, or written without spaces between them, get none."""
        n = len(batch)
        if batch.text is None:
            reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no text")])
            return ScoreColumn(self.name, self.version, np.full(n, np.nan), reasons, "low")
        tokens = tokenise(utf8(batch.text, lower=True))
        grams = ngrams(tokens, self.order)
        counts = np.zeros(grams.shape, dtype=np.int64)
        histories = np.zeros(grams.shape, dtype=np.int64)
        for at in range(self.order):
            counts[at] = _looked_up(_of(state, f"grams{at + 1}"), grams[at])
            if at:
                known = _looked_up(_of(state, f"history{at + 1}"), grams[at - 1])
                histories[at, 1:] = known[:-1]
        unigrams = _of(state, "grams1")
        total, words = int(unigrams[1].sum()), len(unigrams[0])
        mean = _mean_surprisal(counts, histories, tokens.offsets, total, words, float(self.prior))
        missing, spaceless = np.asarray(batch.text.is_null()), _spaceless(tokens)
        why = [
            (missing, "no text"),
            (np.isnan(mean), "no words"),
            (spaceless, "written without spaces between words"),
        ]
        values = np.exp(np.where(spaceless, np.nan, mean))
        return ScoreColumn(self.name, self.version, values, reasons_from(n, why), "low")


def _ends(tokens: Tokens, before: int) -> NDArray[np.bool_]:
    """Tell which tokens have so many others before them in their document."""
    sizes = np.diff(tokens.offsets)
    place = np.arange(len(tokens.hashes)) - np.repeat(tokens.offsets[:-1], sizes)
    return np.asarray(place >= before)


def _counted(keys: NDArray[np.uint64]) -> Counts:
    found, counts = np.unique(keys, return_counts=True)
    return found, counts.astype(np.int64)


def _added(left: Counts, right: Counts) -> Counts:
    keys, place = np.unique(np.concatenate([left[0], right[0]]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([left[1], right[1]]))
    return keys, counts


def _of(state: ScorerState, name: str) -> Counts:
    return state.arrays[f"{name}/keys"], state.arrays[f"{name}/counts"]


def _looked_up(known: Counts, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    if not len(known[0]):
        return np.zeros(len(keys), dtype=np.int64)
    at = np.minimum(np.searchsorted(known[0], keys), len(known[0]) - 1)
    return np.where(known[0][at] == keys, known[1][at], 0)


def _spaceless(tokens: Tokens) -> NDArray[np.bool_]:
    rows = len(tokens.offsets) - 1
    row = np.repeat(np.arange(rows), np.diff(tokens.offsets))
    size = tokens.lengths.astype(np.float64)
    without = np.bincount(row, weights=size * (tokens.kinds & HAS_SPACELESS > 0), minlength=rows)
    return np.asarray(without > SPACELESS_SHARE * np.bincount(row, weights=size, minlength=rows))
