"""The probability that a record is like the examples that were named good, rather than those named bad.

A logistic regression on vectors, cross-fitted as `linear_head` does: a record is judged by a head that
has seen neither it nor an equal one, examples included. Its log-odds are then calibrated by Platt's
sigmoid (Platt 1999, with his targets, which keep a small sample from certainty) on the examples'
own cross-fitted log-odds. The state says how well the examples are told apart and how far the
probabilities are from the shares: area under the ROC curve, Brier score, calibration error.

The probability holds for the mix of the examples: where good records are rarer in the lake, it is
too high by a constant of the log-odds, and the order is the same. Source: the quality filter of GPT-3
(Brown et al. 2020, appendix A), with a calibrated head instead of a hashed one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.kernels.unit_vectors import to_grid, valid_rows
from assets.scoring.linear_head import Heads, LabelledSample, fit_heads
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

LEAST_EXAMPLES = 10
FOLDS = 5
STRENGTH = 10.0
_BINS = 10


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """Vectors of good and of bad records.

    Attributes
    ----------
    good, bad
        Float, shapes (g, d) and (b, d); rows without a direction are left out.
    """

    good: NDArray[np.float32]
    bad: NDArray[np.float32]

    @property
    def digest(self) -> str:
        """32 hex digits of the vectors, whatever their order."""
        found = []
        for side in (self.good, self.bad):
            grid = to_grid(side).astype("<i2")
            found.append(sorted(xxhash.xxh3_128_hexdigest(row.tobytes()) for row in grid))
        return xxhash.xxh3_128_hexdigest(repr(found).encode())


@dataclass(frozen=True)
class QualityClassifier:
    """Calibrated probability that a record is like the good examples rather than the bad ones.

    Parameters
    ----------
    examples
        Vectors in the space of the records; the recipe's `scoring.classifier`, or --positives and
        --negatives.
    """

    examples: Examples | None = None

    name: ClassVar[str] = "quality_classifier"
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs.EMBEDDING
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(n d), and a logistic regression on the examples"
    source: ClassVar[str] = "Brown et al. 2020, arXiv 2005.14165, appendix A; Platt 1999"

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def identity(self) -> dict[str, Any]:
        """Return the settings that scores depend on."""
        return {"examples": self._examples().digest}

    def summarise(self, batches: Iterable[ScoreBatch], context: ScoreContext) -> ScorerState:
        """Return the examples' identity; the rows are not looked at."""
        return ScorerState(self.name, self.version, {"examples": self._examples().digest})

    def merge(self, left: ScorerState, right: ScorerState) -> ScorerState:
        """Return one of two equal summaries."""
        check_same(left, right)
        return left

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Fit and calibrate on the examples.

        Raises
        ------
        ScoringError
            When there are no examples, or fewer than ten of a kind.
        """
        examples = self._examples()
        vectors = np.concatenate([examples.good, examples.bad])
        good = np.repeat([True, False], [len(examples.good), len(examples.bad)])
        grid = to_grid(vectors)
        usable = valid_rows(grid)
        for kind, count in (("good", (usable & good).sum()), ("bad", (usable & ~good).sum())):
            if count < LEAST_EXAMPLES:
                message = (
                    f"quality_classifier has {count} {kind} examples with a vector, and needs "
                    f"{LEAST_EXAMPLES}; name more files in scoring.classifier (--positives, --negatives)"
                )
                raise ScoringError(message)
        sample = LabelledSample(vectors[usable], good[usable].astype(np.uint64))
        heads = fit_heads(sample, FOLDS, STRENGTH)
        odds = _log_odds(heads, sample.vectors)
        slope, offset = platt(odds, good[usable])
        chance = _sigmoid(slope * odds + offset)
        about = {**quality_of(chance, good[usable]), "slope": slope, "offset": offset}
        meta = {**summary.meta, **about, "good": int(good[usable].sum()), "of": int(usable.sum())}
        arrays = {"weights": heads.weights, "units": heads.units, "classes": heads.classes}
        return ScorerState(self.name, self.version, meta, arrays)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; those without a vector get none."""
        n = len(batch)
        values = np.full(n, np.nan)
        if batch.embedding is not None and n:
            heads = Heads(*(state.arrays[name] for name in ("classes", "weights", "units")))
            odds = _log_odds(heads, batch.embedding)
            values = _sigmoid(state.meta["slope"] * odds + state.meta["offset"])
        reasons = reasons_from(n, [(np.isnan(values), "no embedding")])
        return ScoreColumn(self.name, self.version, values, reasons, "high")

    def _examples(self) -> Examples:
        if self.examples is None:
            message = (
                "quality_classifier needs examples: name files of good and of bad records as "
                "scoring.classifier (or --positives and --negatives)"
            )
            raise ScoringError(message)
        return self.examples


def _log_odds(heads: Heads, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        logs = np.log(heads.probabilities(vectors))
    found: NDArray[np.float64] = np.clip(logs[:, 1] - logs[:, 0], -50.0, 50.0)
    return found


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    found: NDArray[np.float64] = expit(values)
    return found


def platt(odds: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit Platt's sigmoid: the slope, never below 0, and the offset of calibrated log-odds.

    Parameters
    ----------
    odds
        Uncalibrated log-odds, shape (n,).
    good
        What they should tell, shape (n,); both kinds occur.

    Notes
    -----
    Minimises the cross-entropy to Platt's targets, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which is convex.
    """
    from scipy.optimize import minimize

    positives, negatives = int(good.sum()), int((~good).sum())
    target = np.where(good, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        linear = at[0] * odds + at[1]
        error = _sigmoid(linear) - target
        value = float((np.logaddexp(0.0, linear) - target * linear).mean())
        return value, np.array([(error * odds).mean(), error.mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)],
                     options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 500})  # fmt: skip
    return float(found.x[0]), float(found.x[1])


def quality_of(chance: NDArray[np.float64], good: NDArray[np.bool_]) -> dict[str, float]:
    """Say how well probabilities tell good from bad: `auroc`, `brier`, and `calibration_error`.

    The calibration error is the mean distance of a bin's mean probability from its share of good ones, over
    ten bins of equal numbers of records, weighted by their numbers.
    """
    from sklearn.metrics import roc_auc_score

    order = np.argsort(chance, kind="stable")
    bins = np.array_split(order, min(_BINS, len(order)))
    error = sum(len(b) * abs(chance[b].mean() - good[b].mean()) for b in bins) / len(order)
    return {
        "auroc": float(roc_auc_score(good, chance)),
        "brier": float(((chance - good) ** 2).mean()),
        "calibration_error": float(error),
    }
