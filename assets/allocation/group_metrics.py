"""Group metrics of predictions with differences, ratios and bootstrap intervals, through Fairlearn's MetricFrame.

Fairlearn is the extra `fairness`. Without it `available` says so and nothing else here can be called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.fairness import suppress_small

REMEDY = (
    "group metrics need Fairlearn: install the extra `fairness` (pip install 'sluice[fairness]')"
)
Metric = Callable[..., float]


def available() -> bool:
    """Say whether Fairlearn is installed."""
    return find_spec("fairlearn") is not None


@dataclass(frozen=True)
class GroupMetrics:
    """Metrics of predictions.

    `by_group` has group, rows, then for each metric its value, `_lo95` and `_hi95`, and `suppressed`; `gaps` has a
    row a metric: overall, group_min, group_max, difference and ratio over the groups that are not
    suppressed, each with its 95 % interval over bootstrap draws.
    """

    by_group: pl.DataFrame
    gaps: pl.DataFrame


def default_metrics(truth: Sequence[Any]) -> dict[str, Metric]:
    """Return accuracy; for labels 0 and 1 also selection, true and false positive rate; else mean recall."""
    if set(np.unique(np.asarray(truth)).tolist()) <= {0, 1}:
        return {
            "accuracy": _accuracy,
            "selection rate": _selection_rate,
            "true positive rate": _true_positive_rate,
            "false positive rate": _false_positive_rate,
        }
    return {"accuracy": _accuracy, "mean recall": _mean_recall}


# Fairlearn's own rates take a millisecond each, and a bootstrap asks for thousands of them
def _accuracy(truth: Any, predicted: Any) -> float:  # noqa: ANN401 - arrays of labels
    return float((np.asarray(truth) == np.asarray(predicted)).mean())


def _selection_rate(truth: Any, predicted: Any) -> float:  # noqa: ANN401 - arrays of labels
    return float((np.asarray(predicted) == 1).mean())


def _true_positive_rate(truth: Any, predicted: Any) -> float:  # noqa: ANN401 - arrays of labels
    return _rate(np.asarray(truth) == 1, np.asarray(predicted))


def _false_positive_rate(truth: Any, predicted: Any) -> float:  # noqa: ANN401 - arrays of labels
    return _rate(np.asarray(truth) == 0, np.asarray(predicted))


def _rate(among: np.ndarray, predicted: np.ndarray) -> float:
    return float((predicted[among] == 1).mean()) if among.any() else float("nan")


def _mean_recall(truth: Any, predicted: Any) -> float:  # noqa: ANN401 - arrays of labels
    known, found = np.asarray(truth), np.asarray(predicted)
    return float(np.mean([(found[known == label] == label).mean() for label in np.unique(known)]))


def group_metrics(
    metrics: Mapping[str, Metric],
    truth: Sequence[Any],
    predicted: Sequence[Any],
    groups: Sequence[Any],
    *,
    draws: int = 200,
    seed: int = 0,
    least: int = 10,
) -> GroupMetrics:
    """Return metrics by group and the gaps between groups, with 95 % bootstrap intervals.

    Parameters
    ----------
    metrics
        Functions of (truth, predicted) by name.
    truth, predicted, groups
        One entry a row.
    draws, seed
        Bootstrap draws over rows, and their seed.
    least
        Groups of fewer rows are suppressed, and are in no gap.

    Raises
    ------
    AllocationError
        Fairlearn is not installed.
    """
    if not available():
        raise AllocationError(REMEDY)
    named = pl.Series("group", [str(g) for g in groups], dtype=pl.String)
    counted = named.value_counts().sort("group").rename({"count": "rows"}).cast({"rows": pl.Int64})
    by_group = suppress_small(counted, least=least)
    shown = by_group.filter(~pl.col("suppressed"))["group"].to_list()
    kept = named.is_in(shown).to_numpy()
    if not shown:
        return GroupMetrics(by_group, pl.DataFrame(schema=_GAPS))
    sides = [np.asarray(v)[kept].tolist() for v in (truth, predicted, named)]
    made = _frame(metrics, *sides, draws=draws, seed=seed)
    low, high = made.by_group_ci
    columns: dict[str, Any] = {"group": [str(g) for g in made.by_group.index]}
    for name in metrics:
        for end, values in (("", made.by_group), ("_lo95", low), ("_hi95", high)):
            columns[name + end] = values[name].astype(float).to_numpy()
    found = pl.DataFrame(columns)
    return GroupMetrics(
        by_group.join(found, on="group", how="left", maintain_order="left").select(
            "group", "rows", *found.columns[1:], "suppressed"
        ),
        pl.DataFrame([_gap(made, name) for name in metrics], schema=_GAPS),
    )


_PARTS = ("overall", "group_min", "group_max", "difference", "ratio")
_GAPS = {"metric": pl.String} | {
    f"{part}{end}": pl.Float64 for part in _PARTS for end in ("", "_lo95", "_hi95")
}


def _frame(
    metrics: Mapping[str, Metric],
    truth: Sequence[Any],
    predicted: Sequence[Any],
    groups: Sequence[Any],
    *,
    draws: int,
    seed: int,
) -> Any:  # noqa: ANN401 - Fairlearn has no types
    from fairlearn.metrics import MetricFrame

    return MetricFrame(
        metrics=dict(metrics),
        y_true=list(truth),
        y_pred=list(predicted),
        sensitive_features=list(groups),
        n_boot=draws,
        ci_quantiles=[0.025, 0.975],
        random_state=seed,
    )


def _gap(made: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - Fairlearn has no types
    parts = {
        "overall": (made.overall, made.overall_ci),
        "group_min": (made.group_min(), made.group_min_ci()),
        "group_max": (made.group_max(), made.group_max_ci()),
        "difference": (made.difference(), made.difference_ci()),
        "ratio": (made.ratio(), made.ratio_ci()),
    }
    row: dict[str, Any] = {"metric": name}
    for part, (value, (low, high)) in parts.items():
        row |= {
            part: float(value[name]),
            f"{part}_lo95": float(low[name]),
            f"{part}_hi95": float(high[name]),
        }
    return row
