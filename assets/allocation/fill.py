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

import itertools
from dataclasses import dataclass

import numpy as np

from assets.allocation.curves import Welfare
from assets.allocation.repetition import Cells, Pieces, drawn_at
from assets.allocation.roots import Floats, array_root
from assets.allocation.tally import sum_by


@dataclass(frozen=True)
class _Segments:
    group: np.ndarray
    cell: np.ndarray  # -1 on smooth segments
    high: Floats
    low: Floats
    samples: Floats
    effective: Floats
    spend: Floats


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

    Notes
    -----
    Building costs O(M log M) for M stretches; each query O(G) plus a root search for groups on a
    smooth segment.
    """

    def __init__(self, cells: Cells, groups: int, budget: float | None) -> None:
        self.cells, self.groups = cells, groups
        pieces = cells.pieces(budget)
        curved = pieces.curve > 0
        self._smooth = pieces.take(np.flatnonzero(curved))
        self._smooth_group = cells.group[self._smooth.cell]
        seg = _segments(cells, pieces)
        self._group, self._cell, self.high, self.low = seg.group, seg.cell, seg.high, seg.low
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
        if self._group.size == self.groups and (self.count == 1).all():
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
        done = sum_by(self._group, passed, self.groups).astype(int)
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
        at = self.locate(upper < target[self._group])
        ok = at >= 0
        i = np.maximum(at, 0)
        if not self._group.size:
            return np.zeros(self.groups), np.zeros(self.groups)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((target - lower[i]) / (upper[i] - lower[i]), 0.0, 1.0)
        e = self.e0[i] + part * (self.e1[i] - self.e0[i])
        s = self.s0[i] + part * (self.s1[i] - self.s0[i])
        smooth = np.flatnonzero(ok & (self._cell[i] < 0) & (part > 0) & (part < 1))
        if smooth.size:
            level = self._smooth_level(smooth, i[smooth], target[smooth], what)
            e[smooth], s[smooth], _ = self._smooth_totals(smooth, i[smooth], level)
        return np.where(ok, e, 0.0), np.where(ok, s, 0.0)

    def _smooth_totals(
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
            return self._smooth_totals(groups, at, np.exp(log_level))[column] - target

        return np.exp(array_root(gap, np.log(self.low[at]), np.log(self.high[at])))

    def levels(self, effective: Floats) -> tuple[Floats, Floats]:
        """Return the gain per unit of spend just before and after `effective` samples, (G,) each.

        Infinity before the start of a path, 0 after its end.
        """
        return self._level(effective, before=True), self._level(effective, before=False)

    def _level(self, effective: Floats, *, before: bool) -> Floats:
        slack = 1e-11 * self.e1
        e = np.asarray(effective, float)[self._group]
        passed = (self.e1 + slack < e) if before else (self.e1 - slack <= e)
        done = sum_by(self._group, passed, self.groups).astype(int)
        if not self._group.size:
            return np.full(self.groups, np.inf if before else 0.0)
        i = np.minimum(
            self.start + np.minimum(done, np.maximum(self.count - 1, 0)), self._group.size - 1
        )
        out = self.high[i].copy()
        smooth = np.flatnonzero((self._cell[i] < 0) & (self.count > 0) & (done < self.count))
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
        flat = self._cell >= 0
        if not self._group.size:
            return np.zeros(size)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((e[self._group] - self.e0) / (self.e1 - self.e0), 0.0, 1.0)
        part = np.nan_to_num(part)
        x = sum_by(self._cell[flat], (part * (self.x1 - self.x0))[flat], size)
        if self._smooth.cell.size:
            level = self._level(e, before=True)[self._smooth_group]
            r, _ = drawn_at(self._smooth, np.minimum(level, 1e300))
            x += sum_by(
                self._smooth.cell,
                (r - self._smooth.r0) * self.cells.unique[self._smooth.cell],
                size,
            )
        return x


class Response:
    """Each group's best effective samples at a price per unit of spend.

    The price at which every segment begins and ends does not depend on the price asked, so a query
    compares, then
    solves one segment per group: O(M) comparisons and O(G) solves.
    """

    def __init__(self, fill: Fill, welfare: Welfare, held: Floats | None = None) -> None:
        self.fill = fill
        self.welfare = welfare
        self.held = np.zeros(fill.groups) if held is None else held
        group = fill._group
        by_segment = welfare.take(group)
        with np.errstate(invalid="ignore", over="ignore"):
            self.ends = by_segment.marginal(self.held[group] + fill.e1, left=True) * fill.low
            self.begins = np.nan_to_num(
                by_segment.marginal(self.held[group] + fill.e0) * fill.high, nan=0.0, posinf=np.inf
            )

    def at(self, price: float) -> Floats:
        """Return effective new samples per group, shape (G,), at `price` > 0."""
        fill = self.fill
        if not fill._group.size:
            return np.zeros(fill.groups)
        at = fill.locate(self.ends >= price)
        i = np.maximum(at, 0)
        e0, e1 = fill.e0[i], fill.e1[i]
        flat = fill._cell[i] >= 0
        out = e0.copy()
        held = self.held
        welfare = self.welfare
        if flat.all():
            out = welfare.inverse(price / fill.high[i], held + e0, held + e1) - held
        else:
            on = np.flatnonzero(flat)
            out[on] = (
                welfare.take(on).inverse(price / fill.high[i][on], (held + e0)[on], (held + e1)[on])
                - held[on]
            )
            curved = np.flatnonzero(~flat & (at >= 0))
            out[curved] = self._smooth(curved, i[curved], price)
        out = np.clip(out, e0, e1)
        return np.where(at >= 0, out, 0.0)

    def _smooth(self, groups: np.ndarray, at: np.ndarray, price: float) -> Floats:
        fill = self.fill
        part = self.welfare.take(groups)
        held = self.held[groups]

        def gap(log_level: Floats) -> Floats:
            level = np.exp(log_level)
            e = fill._smooth_totals(groups, at, level)[0]
            with np.errstate(divide="ignore"):
                worth = np.log(part.marginal(held + e)) + log_level - np.log(price)
            return np.clip(worth, -800.0, 800.0)

        lo, hi = np.log(fill.low[at]), np.log(fill.high[at])
        root = array_root(gap, lo, hi)
        return fill._smooth_totals(groups, at, np.exp(root))[0]


def _segments(cells: Cells, pieces: Pieces) -> _Segments:
    group = cells.group[pieces.cell]
    curved = pieces.curve > 0
    sizes = np.bincount(cells.group)
    mixed = np.zeros(sizes.size, bool)
    if curved.any():
        mixed[np.unique(group[curved])] = True
        mixed &= sizes > 1
    simple = np.flatnonzero(~mixed[group])
    parts = [
        _Segments(
            group[simple],
            np.where(curved[simple], -1, pieces.cell[simple]),
            pieces.high[simple],
            pieces.low[simple],
            pieces.samples[simple],
            pieces.effective[simple],
            pieces.spend[simple],
        )
    ]
    rest = np.flatnonzero(mixed[group])
    rest = rest[np.argsort(group[rest], kind="stable")]
    cuts = np.flatnonzero(np.diff(group[rest])) + 1
    parts += [
        _merge(cells, pieces.take(rows), group[rows[0]])
        for rows in np.split(rest, cuts)
        if rows.size
    ]
    names = list(_Segments.__dataclass_fields__)
    joined = {n: np.concatenate([getattr(q, n) for q in parts]) for n in names}
    order = np.lexsort((joined["cell"], -joined["low"], -joined["high"], joined["group"]))
    return _Segments(**{n: v[order] for n, v in joined.items()})


def _merge(cells: Cells, pieces: Pieces, group: int) -> _Segments:
    """Interleave flat and curved stretches of several cells of one group by falling gain."""
    curved = pieces.take(np.flatnonzero(pieces.curve > 0))
    straight = pieces.take(np.flatnonzero(pieces.curve == 0))
    marks = np.unique(np.concatenate([straight.high, curved.high, curved.low]))[::-1]
    rows = [
        (int(c), k, k, x, e, s)
        for c, k, x, e, s in zip(
            straight.cell,
            straight.high,
            straight.samples,
            straight.effective,
            straight.spend,
            strict=True,
        )
    ]
    for high, low in itertools.pairwise(marks.tolist()):
        active = np.flatnonzero((curved.high >= high) & (curved.low <= low))
        if not active.size:
            continue
        part = curved.take(active)
        (r1, e1), (r0, e0) = (drawn_at(part, np.full(active.size, m)) for m in (low, high))
        x = (r1 - r0) * cells.unique[part.cell]
        rows.append(
            (
                -1,
                high,
                low,
                float(x.sum()),
                float((e1 - e0).sum()),
                float((x * cells.cost[part.cell]).sum()),
            )
        )
    columns = [np.array(c, float) for c in zip(*rows, strict=True)]
    size = len(rows)
    return _Segments(np.full(size, group), columns[0].astype(int), *columns[1:])
