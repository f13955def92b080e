"""Answer about groups that only bags' shares are known of: from a table of bags, and rows or results by bag.

Everything returned is about groups; nothing about a row. Groups that hold few rows are suppressed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.label_proportions import (
    check_spread,
    learn_memberships,
    performance_from_bags,
)
from assets.allocation.roots import Floats

OWN = ("bag", "rows", "performance", "samples_seen", "seed")
LEAST_ROWS = 10
_OFF = 1e-3

Answer = dict[str, Any]


class BagsError(AllocationError):
    """A table of bags or rows can't be used; the message names bag or row, and column."""


def answer_bags(bags: pl.DataFrame, rows: pl.DataFrame | None = None) -> Answer:
    """Return what bags' shares tell about their groups.

    Parameters
    ----------
    bags
        One row a bag (or a bag, `samples_seen` and `seed`): `bag`; a column a group with its share;
        optionally `performance` (on 0..1) and `rows` (their number), and `samples_seen` and `seed` of the
        run that it was measured in.
    rows
        One row a record: `bag`, numbers to tell groups by, and optionally `value` (a loss, say).

    Returns
    -------
    dict
        `groups`: per group name, and from rows `count` (soft), `effective`, `mean_value`; from results
        `performance` and `se`. `spread` of the shares (1 where every bag is pure), `calibration` (mean
        error of shares found in bags left out of the fit), `evaluations` (with samples_seen: runs per
        group as `fit_group_curves` reads them), `warnings`. Groups with fewer than 10 soft rows are
        null, and where it is one, the next smallest too.

    Raises
    ------
    BagsError
        The tables can't be used.
    AlikeBagsError
        The bags are too alike, or too few, to tell the groups apart.
    """
    groups, shares, names = _shares(bags)
    spread = check_spread(shares, groups)
    table: list[Answer] = [{"group": g} for g in groups]
    answer: Answer = {"groups": table, "spread": spread, "warnings": []}
    if rows is not None:
        _from_rows(answer, rows, shares, names)
    if "performance" in bags.columns:
        _from_results(answer, bags, groups)
    if rows is None and "performance" not in bags.columns:
        answer["warnings"].append(
            "only the spread of the shares is known: add rows (--rows), or a column performance"
        )
    return answer


def _shares(bags: pl.DataFrame) -> tuple[list[str], Floats, list[str]]:
    """Return (groups, one row of shares a bag, names of the bags)."""
    if "bag" not in bags.columns:
        msg = f"column bag: missing; the table has {bags.columns}"
        raise BagsError(msg)
    groups = [c for c in bags.columns if c not in OWN]
    if len(groups) < 2:
        msg = f"a column of shares is needed for each of two groups or more; there is {groups}"
        raise BagsError(msg)
    for column in groups:
        if not bags[column].dtype.is_numeric():
            msg = f"column {column!r}: holds {bags[column].dtype}, not shares; leave it out"
            raise BagsError(msg)
    if bags["bag"].null_count():
        msg = "column bag: a row names no bag"
        raise BagsError(msg)
    keyed = bags.with_columns(pl.col("bag").cast(pl.String)).select("bag", *groups).unique()
    keyed = keyed.sort("bag", *groups)
    twice = keyed.filter(pl.col("bag").is_duplicated())
    if twice.height:
        msg = f"bag {twice['bag'][0]!r}: stands twice with other shares; keep one"
        raise BagsError(msg)
    runs = [c for c in ("samples_seen", "seed") if c in bags.columns]
    again = bags.filter(pl.struct("bag", *runs).is_duplicated())
    if again.height:
        msg = f"bag {again['bag'][0]!r}: stands twice; keep one row a bag (and run)"
        raise BagsError(msg)
    shares = keyed.select(pl.col(groups).cast(pl.Float64)).to_numpy()
    for name, row in zip(keyed["bag"], shares, strict=True):
        if not np.isfinite(row).all() or (row < 0).any() or abs(row.sum() - 1.0) > _OFF:
            msg = f"bag {name!r}: its shares are {row.tolist()}; each from 0 to 1, summing to 1"
            raise BagsError(msg)
    return groups, np.asarray(shares / shares.sum(axis=1, keepdims=True)), keyed["bag"].to_list()


def _from_rows(answer: Answer, rows: pl.DataFrame, shares: Floats, names: Sequence[str]) -> None:
    if "bag" not in rows.columns:
        msg = f"rows, column bag: missing; the table has {rows.columns}"
        raise BagsError(msg)
    features = [c for c in rows.columns if c not in ("bag", "value")]
    for column in [*features, *(["value"] if "value" in rows.columns else [])]:
        if not rows[column].dtype.is_numeric():
            msg = f"rows, column {column!r}: holds {rows[column].dtype}, not numbers; leave it out"
            raise BagsError(msg)
        bad = rows[column].cast(pl.Float64).is_finite().fill_null(value=False)
        if not bad.all():
            msg = (
                f"rows, column {column!r}: row {int((~bad).arg_max() or 0)} holds no finite number"
            )
            raise BagsError(msg)
    if not features:
        msg = "rows: no column of numbers beside bag and value to tell groups by"
        raise BagsError(msg)
    place = {name: i for i, name in enumerate(names)}
    of = rows["bag"].cast(pl.String).to_list()
    strange = [b for b in of if b not in place]
    if strange:
        msg = f"rows, column bag: {strange[0]!r} is not in the table of bags"
        raise BagsError(msg)
    if rows.height < LEAST_ROWS * len(answer["groups"]):
        msg = f"rows: {rows.height} are too few for {len(answer['groups'])} groups"
        raise BagsError(msg)
    x = rows.select(pl.col(features).cast(pl.Float64)).to_numpy()
    labels = [row["group"] for row in answer["groups"]]
    found = learn_memberships(x, np.array([place[b] for b in of]), shares, labels)
    mean = (
        found.mean(rows["value"].cast(pl.Float64).to_numpy()) if "value" in rows.columns else None
    )
    small = found.counts < LEAST_ROWS
    if small.sum() == 1:  # the number of all rows would give it away, so the next smallest goes too
        small[int(np.argmin(np.where(small, np.inf, found.counts)))] = True
    for g, row in enumerate(answer["groups"]):
        row["count"] = None if small[g] else float(found.counts[g])
        row["effective"] = None if small[g] else float(found.effective[g])
        if mean is not None:
            row["mean_value"] = None if small[g] else float(mean[g])
    if small.any():
        answer["warnings"].append(
            f"groups {[labels[g] for g in np.flatnonzero(small)]} are suppressed: fewer than "
            f"{LEAST_ROWS} rows, or the one whose number would tell that of another"
        )
    answer["calibration"] = None if np.isnan(found.calibration) else found.calibration


def _from_results(answer: Answer, bags: pl.DataFrame, groups: Sequence[str]) -> None:
    counts = bags["rows"] if "rows" in bags.columns else pl.Series("rows", [1.0] * bags.height)
    for name, column in (("performance", bags["performance"]), ("rows", counts)):
        good = column.dtype.is_numeric() and bool(
            column.cast(pl.Float64).is_finite().fill_null(value=False).all()
        )
        if not good or (name == "rows" and float(column.cast(pl.Float64).to_numpy().min()) <= 0):
            msg = f"column {name}: a finite number (of rows: above 0) is needed for each bag"
            raise BagsError(msg)
    frame = bags.with_columns(counts.cast(pl.Float64).alias("rows"))
    runs = [c for c in ("samples_seen", "seed") if c in bags.columns]
    if not runs:
        found, error = _regress(frame, groups)
        for g, row in enumerate(answer["groups"]):
            row["performance"], row["se"] = float(found[g]), float(error[g])
        return
    answer["evaluations"] = []
    for key, part in sorted(frame.group_by(*runs), key=lambda item: tuple(item[0])):
        run: Mapping[str, Any] = dict(zip(runs, key, strict=True))
        found, error = _regress(part, groups)
        answer["evaluations"] += [
            {
                "group": name,
                "samples_seen": run.get("samples_seen"),
                "metric_value": float(found[g]),
                "direction": "higher",
                "se": float(error[g]),
                "seed": run.get("seed", 0),
            }
            for g, name in enumerate(groups)
        ]


def _regress(part: pl.DataFrame, groups: Sequence[str]) -> tuple[Floats, Floats]:
    shares = part.select(pl.col(list(groups)).cast(pl.Float64)).to_numpy()
    shares = shares / shares.sum(axis=1, keepdims=True)
    performance = part["performance"].cast(pl.Float64).to_numpy()
    return performance_from_bags(performance, part["rows"].to_numpy(), shares, groups)
