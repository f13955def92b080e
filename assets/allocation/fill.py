"""Spend a group's share of the budget over its pools in the best order.

Within one group the pools and passes are taken in the order of their gain per unit of spend,
whatever the welfare and
the other groups are (the inner maximum of a jointly concave function). So every group collapses to
one concave path:
effective samples as a function of spend. The path is a chain of segments; on a flat one the gain is
constant and one
cell is drawn, on a smooth one several cells are drawn at a common, falling gain (the water level).
"""

from __future__ import annotations

import numpy as np

from assets.allocation.repetition import Cells, drawn_at
from assets.allocation.roots import Floats, array_root
from assets.allocation.segments import Segments, chain
from assets.allocation.tally import sum_by


class Fill:
    """Paths of G groups over their cells.

    Parameters
    ----------
    cells
        The pools, sorted by group.
    groups
        Number of groups G; groups without cells have an empty path.
    budget
        Total budget, to leave out passes nobody can pay for; None where there is no budget.
    replaced
        Segments of groups whose path is given; such a path's draws are its owner's to count.

    Notes
    -----
    Building costs O(M log M) for M stretches; each query O(G) plus a root search for groups on a
    smooth segment.
    """

    def __init__(
        self, cells: Cells, groups: int, budget: float | None, replaced: Segments | None = None
    ) -> None:
        self.cells, self.groups = cells, groups
        pieces = cells.pieces(budget)
        if replaced is not None:
            given = np.isin(cells.group[pieces.cell], replaced.group)
            pieces = pieces.take(np.flatnonzero(~given))
        curved = pieces.curve > 0
        self._smooth = pieces.take(np.flatnonzero(curved))
        self._smooth_group = cells.group[self._smooth.cell]
        seg = chain(cells, pieces)
        if replaced is not None:
            seg = seg.joined_with(replaced)
        self.group, self.cell, self.high, self.low = seg.group, seg.cell, seg.high, seg.low
        counts = np.bincount(seg.group, minlength=groups)
        self.start = np.cumsum(counts) - counts
        self.count = counts
        self.e1, self.e0 = self._cumulate(seg.effective)
        self.s1, self.s0 = self._cumulate(seg.spend)
        self.x1, self.x0 = self._cumulate(seg.samples)
        self.top_effective = sum_by(seg.group, seg.effective, groups)
        self.top_spend = sum_by(seg.group, seg.spend, groups)
        self.top_samples = sum_by(seg.group, seg.samples, groups)

    def _cumulate(self, steps: Floats) -> tuple[Floats, Floats]:
        if self.group.size == self.groups and (self.count == 1).all():
            return steps, np.zeros(steps.size)
        end = steps.copy()
        many = np.flatnonzero(self.count > 1)
        longest = int(self.count.max(initial=0))
        if many.size > longest:
            for rank in range(1, longest):
                at = self.start[self.count > rank] + rank
                end[at] += end[at - 1]
        else:
            for g in many:
                span = slice(self.start[g], self.start[g] + self.count[g])
                end[span] = np.cumsum(steps[span])
        begin = np.zeros(steps.size)
        begin[1:] = end[:-1]
        nonempty = self.count > 0
        begin[self.start[nonempty]] = 0.0
        return end, begin

    def locate(self, passed: np.ndarray) -> np.ndarray:
        """Return each group's active segment, given which segments (a prefix) are passed.

        Groups whose path is fully passed get their last segment; groups without a path get -1.
        """
        done = sum_by(self.group, passed, self.groups).astype(int)
        at = self.start + np.minimum(done, np.maximum(self.count - 1, 0))
        return np.where(self.count > 0, at, -1)

    def effective(self, spend: Floats) -> Floats:
        """Return the effective samples that each group gets for `spend`, shape (G,)."""
        return self._along(self.s0, self.s1, spend, 1)[0]

    def spend(self, effective: Floats) -> Floats:
        """Return the least spend for `effective` samples; infinity beyond the end of the path."""
        out = self._along(self.e0, self.e1, effective, 0)[1]
        beyond = effective > self.top_effective * (1 + 1e-12) + 1e-300
        return np.where(beyond, np.inf, out)

    def spend_of_samples(self, samples: Floats) -> Floats:
        """Return the spend at which each group's fill has drawn `samples` (at most all)."""
        return self._along(self.x0, self.x1, samples, 2)[1]

    def _along(
        self, lower: Floats, upper: Floats, target: Floats, what: int
    ) -> tuple[Floats, Floats]:
        target = np.asarray(target, float)
        at = self.locate(upper < target[self.group])
        ok = at >= 0
        i = np.maximum(at, 0)
        if not self.group.size:
            return np.zeros(self.groups), np.zeros(self.groups)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((target - lower[i]) / (upper[i] - lower[i]), 0.0, 1.0)
        e = self.e0[i] + part * (self.e1[i] - self.e0[i])
        s = self.s0[i] + part * (self.s1[i] - self.s0[i])
        smooth = np.flatnonzero(ok & (self.cell[i] < 0) & (part > 0) & (part < 1))
        if smooth.size:
            level = self._smooth_level(smooth, i[smooth], target[smooth], what)
            e[smooth], s[smooth], _ = self.smooth_totals(smooth, i[smooth], level)
        return np.where(ok, e, 0.0), np.where(ok, s, 0.0)

    def smooth_totals(
        self, groups: np.ndarray, at: np.ndarray, level: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return (effective, spend, samples) of `groups` in smooth segments `at` at `level`."""
        local, rows = self._rows(groups)
        pieces = self._smooth.take(rows)
        r1, e1 = drawn_at(pieces, level[local])
        r0, e0 = drawn_at(pieces, self.high[at][local])
        x = (r1 - r0) * self.cells.unique[pieces.cell]
        n = groups.size
        return (
            self.e0[at] + sum_by(local, e1 - e0, n),
            self.s0[at] + sum_by(local, x * self.cells.cost[pieces.cell], n),
            self.x0[at] + sum_by(local, x, n),
        )

    def _rows(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        where = np.full(self.groups, -1)
        where[groups] = np.arange(groups.size)
        local = where[self._smooth_group]
        rows = np.flatnonzero(local >= 0)
        return local[rows], rows

    def _smooth_level(
        self, groups: np.ndarray, at: np.ndarray, target: Floats, what: int
    ) -> Floats:
        column = {0: 0, 1: 1, 2: 2}[what]

        def gap(log_level: Floats) -> Floats:
            return self.smooth_totals(groups, at, np.exp(log_level))[column] - target

        return np.exp(array_root(gap, np.log(self.low[at]), np.log(self.high[at])))

    def levels(self, effective: Floats) -> tuple[Floats, Floats]:
        """Return the gain per unit of spend just before and after `effective` samples, (G,) each.

        Infinity before the start of a path, 0 after its end.
        """
        return self._level(effective, before=True), self._level(effective, before=False)

    def _level(self, effective: Floats, *, before: bool) -> Floats:
        slack = 1e-11 * self.e1
        e = np.asarray(effective, float)[self.group]
        passed = (self.e1 + slack < e) if before else (self.e1 - slack <= e)
        done = sum_by(self.group, passed, self.groups).astype(int)
        if not self.group.size:
            return np.full(self.groups, np.inf if before else 0.0)
        i = np.minimum(
            self.start + np.minimum(done, np.maximum(self.count - 1, 0)), self.group.size - 1
        )
        out = self.high[i].copy()
        smooth = np.flatnonzero((self.cell[i] < 0) & (self.count > 0) & (done < self.count))
        if smooth.size:
            out[smooth] = self._smooth_level(
                smooth, i[smooth], np.asarray(effective, float)[smooth], 0
            )
        ended = (done >= self.count) & ~np.full(self.groups, before)
        started = np.asarray(effective) <= 0 if before else np.zeros(self.groups, bool)
        return np.where(self.count == 0, 0.0, np.where(ended, 0.0, np.where(started, np.inf, out)))

    def samples(self, effective: Floats) -> Floats:
        """Return the draws of every cell at `effective` samples per group, shape (cells,)."""
        e = np.asarray(effective, float)
        size = self.cells.group.size
        flat = self.cell >= 0
        if not self.group.size:
            return np.zeros(size)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((e[self.group] - self.e0) / (self.e1 - self.e0), 0.0, 1.0)
        part = np.nan_to_num(part)
        x = sum_by(self.cell[flat], (part * (self.x1 - self.x0))[flat], size)
        if self._smooth.cell.size:
            level = self._level(e, before=True)[self._smooth_group]
            r, _ = drawn_at(self._smooth, np.minimum(level, 1e300))
            x += sum_by(
                self._smooth.cell,
                (r - self._smooth.r0) * self.cells.unique[self._smooth.cell],
                size,
            )
        return x
