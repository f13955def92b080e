"""What a division did to the groups: equity-scaled scores, gaps, intervals, levelling down.

Metrics are on 0..1, higher is better. The equity-scaled score depends on how many groups there are, so
it never compares two groupings. `group_metrics` has group metrics of predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats


def equity_scaled(overall: float, by_group: Sequence[float], *, alpha: float = 1.0) -> float:
    """Return overall / (1 + alpha sum_g |overall - performance_g|) (Tian et al. 2024, FairSeg)."""
    _unit_interval([overall, *by_group])
    return overall / (1 + alpha * float(np.abs(overall - np.array(by_group)).sum()))


def equity_scaled_by_spread(
    overall: float, by_group: Sequence[float], *, alpha: float = 1.0
) -> float:
    """Return overall / (1 + alpha standard deviation over groups, of the sample)."""
    _unit_interval([overall, *by_group])
    spread = float(np.std(by_group, ddof=1)) if len(by_group) > 1 else 0.0
    return overall / (1 + alpha * spread)


def _unit_interval(values: Sequence[float]) -> None:
    if not all(0 <= v <= 1 for v in values):
        msg = f"equity-scaled scores need metrics on 0..1, got {list(values)[:5]}; divide by 100?"
        raise AllocationError(msg)


@dataclass(frozen=True)
class Change:
    """A metric by group before and after, each shape (G, runs) over seeds."""

    groups: tuple[str, ...]
    before: Floats
    after: Floats

    def frame(self) -> pl.DataFrame:
        """Return per group the means, their 95 % intervals (Student's t) and the paired gain."""
        from scipy.stats import t

        runs = self.before.shape[1]
        if runs < 2 or self.after.shape != self.before.shape:
            msg = "before and after need the same two runs or more, with other seeds"
            raise AllocationError(msg)
        factor = float(t.ppf(0.975, runs - 1)) / np.sqrt(runs)
        columns: dict[str, Any] = {"group": list(self.groups)}
        gain = self.after - self.before
        for name, values in (("before", self.before), ("after", self.after), ("gain", gain)):
            middle, half = values.mean(axis=1), factor * values.std(axis=1, ddof=1)
            columns |= {name: middle, f"{name}_lo95": middle - half, f"{name}_hi95": middle + half}
        return pl.DataFrame(columns)

    def summary(self) -> dict[str, Any]:
        """Return worst group, gap, mean and warnings, among them that of levelling down."""
        before, after = self.before.mean(axis=1), self.after.mean(axis=1)
        out: dict[str, Any] = {
            f"{name}_{when}": float(fun(values))
            for when, values in (("before", before), ("after", after))
            for name, fun in (("worst", np.min), ("gap", np.ptp), ("mean", np.mean))
        }
        out["warnings"] = self._level_down(before, after)
        return out

    def _level_down(self, before: Floats, after: Floats) -> list[str]:
        frame = self.frame()
        hurt = frame.filter(pl.col("gain_hi95") < 0)["group"].to_list()
        if not hurt or not np.ptp(after) < np.ptp(before):
            return []
        worst = float(after.min() - before.min())
        if worst > 0 and self.groups[int(np.argmax(before))] not in hurt:
            return []
        return [
            f"levelling down: the gap fell from {np.ptp(before):.3f} to {np.ptp(after):.3f} while "
            f"{', '.join(hurt)} got worse beyond their intervals and the worst group gained "
            f"{worst:+.3f}"
        ]


def suppress_small(
    frame: pl.DataFrame, *, count: str = "rows", least: int = 10, keep: Sequence[str] = ("group",)
) -> pl.DataFrame:
    """Blank every number of cells with fewer than `least` people, and add `suppressed`.

    Where just one cell would be blanked the next smallest is too, because a total would give it
    away.
    """
    small = (frame[count] < least).to_numpy().copy()
    if small.sum() == 1 and frame.height > 1:
        others = np.where(small, np.iinfo(np.int64).max, frame[count].to_numpy())
        small[int(np.argmin(others))] = True
    mask = pl.Series("suppressed", small)
    blanked = [
        pl.when(~mask).then(pl.col(c)).otherwise(None).alias(c)
        for c in frame.columns
        if c not in keep
    ]
    return frame.with_columns(*blanked).with_columns(mask)


def suppress_cells(
    frame: pl.DataFrame, down: str, across: str, *, count: str = "rows", least: int = 10
) -> pl.DataFrame:
    """Blank every number of cells with fewer than `least` people in a table of two attributes.

    A row or column that would have just one blank cell gets a second one, the smallest that is left there, until there
    is none such: else its total would give the cell away.
    """
    people = {(a, b): n for a, b, n in frame.select(down, across, count).iter_rows()}
    hidden = {place for place, n in people.items() if n < least}
    lines = [
        [place for place in people if place[side] == name]
        for side in (0, 1)
        for name in {place[side] for place in people}
    ]
    again = True
    while again:
        again = False
        for line in lines:
            left = [place for place in line if place not in hidden]
            if len(line) - len(left) == 1 and left:
                hidden.add(min(left, key=lambda place: (people[place], place)))
                again = True
    mask = pl.Series(
        "suppressed", [place in hidden for place in frame.select(down, across).iter_rows()]
    )
    blanked = [
        pl.when(~mask).then(pl.col(c)).otherwise(None).alias(c)
        for c in frame.columns
        if c not in (down, across)
    ]
    return frame.with_columns(*blanked).with_columns(mask)
