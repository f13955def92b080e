"""Read proxy runs of a joint problem: which group drew how many samples from which of its pools.

A run is one row, or, where it mixed several pools, the rows of one group that share a `run_id`. Passes
are samples over the unique records of that pool in the run, so fresh runs of several sizes and repeated
runs of the same size stand in one table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.group_curves import CurveError
from assets.allocation.measured_groups import completed_runs
from assets.allocation.roots import Floats

FRESH = 1.001


@dataclass(frozen=True)
class JointRuns:
    """Runs of one group: R runs over Q pools.

    `samples` and `unique` shape (R, Q), 0 samples (and 1 record) where a run left a pool out; `score`
    and `se` shape (R,), performance (higher is better) and its standard error (0 where unknown);
    `seeds` of the runs; `left_out` rows without a value.
    """

    samples: Floats
    unique: Floats
    score: Floats
    se: Floats
    seeds: list[str]
    left_out: int

    @property
    def passes(self) -> Floats:
        """Return passes over each pool in each run, shape (R, Q)."""
        return np.asarray(self.samples / self.unique)

    @property
    def once(self) -> np.ndarray:
        """Return which pools a run shows at most once, shape (R, Q)."""
        return np.asarray(self.passes <= FRESH)

    @property
    def fresh(self) -> np.ndarray:
        """Return which runs repeat nothing, shape (R,)."""
        return np.asarray(self.once.all(axis=1))


def read_joint_runs(
    evaluations: pl.DataFrame, pools: Mapping[str, Sequence[str]]
) -> dict[str, JointRuns]:
    """Return the runs of each group.

    Parameters
    ----------
    evaluations
        `group`, `pool` (may be missing where groups have one pool), `samples_seen`, `unique`,
        `metric_value` on 0..1, `direction`, `seed`, and optionally `se`, `run_id`, `chance_level`.
    pools
        Labels of the pools of every group that is to have runs.

    Raises
    ------
    CurveError
        A column is missing or a row can't be used, with row (from 1), group and field.
    """
    frame = completed_runs(evaluations)
    own_id = "run_id" in evaluations.columns
    seen: dict[tuple[Any, ...], tuple[int, str]] = {}
    parts: dict[str, dict[str, list[tuple[int, dict[str, Any]]]]] = {name: {} for name in pools}
    left_out = dict.fromkeys(pools, 0)
    for number, row in enumerate(frame.to_dicts(), 1):
        label = _checked(number, row, pools)
        if row["metric_value"] is None or math.isnan(row["metric_value"]):
            left_out[row["group"]] += 1
            continue
        if not own_id:
            key = (row["group"], row["metric_value"], row["seed"])
            first, pool = seen.setdefault(key, (number, label))
            if pool != label:
                msg = (
                    f"row {number}, group {row['group']!r}, field run_id: missing, and row {first} of pool "
                    f"{pool!r} has the same metric and seed; give rows of one mixture one run_id, and every "
                    "other row its own"
                )
                raise CurveError(msg)
        run = str(row["run_id"]) if own_id and row["run_id"] is not None else f"row {number}"
        parts[row["group"]].setdefault(run, []).append((number, row | {"pool": label}))
    return {name: _group(runs, list(pools[name]), left_out[name]) for name, runs in parts.items()}


def _checked(number: int, row: Mapping[str, Any], pools: Mapping[str, Sequence[str]]) -> str:
    """Return the label of the row's pool; say what is wrong with the row."""
    group = row["group"]

    def fail(field: str, text: str) -> None:
        msg = f"row {number}, group {group!r}, field {field}: {text}"
        raise CurveError(msg)

    if group not in pools:
        fail("group", f"not in the problem, which has {list(pools)[:20]}; add it or drop the row")
    known = list(pools[group])
    label = None if row.get("pool") is None else str(row["pool"])
    if label is None and len(known) > 1:
        fail("pool", f"missing; the group has the pools {known}, so name the one that was drawn")
    if label is not None and label not in known:
        fail("pool", f"{label!r} is not a pool of the group, which has {known}")
    if row["direction"] not in ("higher", "lower"):
        fail("direction", f"{row['direction']!r}; use lower or higher")
    for field in ("samples_seen", "unique"):
        value = row[field]
        if value is None or not math.isfinite(value) or value <= 0:
            fail(field, f"{value!r}; a number above 0 is needed")
    value = row["metric_value"]
    if value is not None and (math.isinf(value) or value < -1e-9 or value > 1 + 1e-9):
        fail("metric_value", f"{value!r}; metrics must be on 0..1")
    if row["se"] is not None and not (math.isfinite(row["se"]) and row["se"] >= 0):
        fail("se", f"{row['se']!r}; a standard error is 0 or more, or empty where it is not known")
    return label or known[0]


def _group(
    runs: Mapping[str, list[tuple[int, dict[str, Any]]]], labels: list[str], left_out: int
) -> JointRuns:
    count, size = len(runs), len(labels)
    samples, unique = np.zeros((count, size)), np.ones((count, size))
    score, se, seeds = np.zeros(count), np.zeros(count), []
    for r, rows in enumerate(runs.values()):
        first = rows[0][1]
        for number, row in rows:
            q = labels.index(row["pool"])
            same = all(row[k] == first[k] for k in ("metric_value", "seed", "direction"))
            if samples[r, q] or not same:
                field = "pool" if samples[r, q] else "metric_value"
                what = (
                    f"run {row['run_id']!r} draws from pool {row['pool']!r} twice"
                    if samples[r, q]
                    else f"run {row['run_id']!r} has another metric, seed or direction in another row"
                )
                msg = (
                    f"row {number}, group {row['group']!r}, field {field}: {what}; rows of one run_id "
                    "are the pools of one mixture, so give each run its own run_id"
                )
                raise CurveError(msg)
            samples[r, q] = row["samples_seen"]
            unique[r, q] = min(row["unique"], row["samples_seen"])
        lower = first["direction"] == "lower"
        score[r] = 1.0 - first["metric_value"] if lower else first["metric_value"]
        se[r] = first["se"] or 0.0
        seeds.append(str(first["seed"]))
    keys = [(*samples[r], *unique[r], seeds[r], score[r]) for r in range(count)]
    order = sorted(range(count), key=keys.__getitem__)  # draws must not depend on the order of rows
    return JointRuns(
        samples[order],
        unique[order],
        score[order],
        se[order],
        [seeds[r] for r in order],
        left_out,
    )
