"""Round a division to whole samples without passing the budget or a cap.

Start from the whole part of the optimum and hand out what is left one sample at a time, each to
where it gains most
per unit of cost and still fits. With equal costs and a separable concave sum this is exact: every
whole step below the
optimum gains at least the shadow price and every step beyond it at most that, so the best k
remaining steps are the
k largest. With unequal costs the loss is at most one sample's gain at the end of the budget. For
max-min the sample
goes to the group that is worst off (the marginal gain plays no part). The whole part of the optimum
may be too much here:
two groups that rounding left behind can need a sample more each where only one is left. So when the
budget is spent, a
sample moves from a group that stays above the worst without it, until there is none. With equal
costs that is exact: if a
better division exists, the worst group has fewer samples than it gives, so some other has more, and
stays above with one less.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from assets.allocation.errors import InfeasibleFloors
from assets.allocation.repetition import worth_of_passes
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated
from assets.allocation.tally import sum_by


def whole_samples(stated: Stated, samples: Floats, floors: Floats) -> np.ndarray:
    """Return whole draws per cell, shape (cells,), int64.

    Parameters
    ----------
    stated
        The problem; its budget (for min_cost: none) bounds the spend.
    samples
        The continuous optimum, draws per cell.
    floors
        Least new samples per group (rounded up).

    Notes
    -----
    For min_cost each group is rounded up until its level is reached again or its data ends.
    Cost O(cells log cells) plus one heap step for each sample that rounding freed.
    """
    cells = stated.cells
    x = samples
    with np.errstate(invalid="ignore"):
        cap = np.floor(np.where(cells.unique > 0, cells.unique * cells.max_passes, 0.0) + 1e-9)
    whole = np.minimum(np.floor(x + 1e-9 * np.maximum(1.0, x)), cap).astype(np.int64)
    book = _Book(stated, whole, cap, np.maximum(np.ceil(floors - 1e-9), 0))
    book.raise_floors()
    budget = np.inf if stated.budget is None else stated.budget
    left = budget - float((whole * cells.cost).sum())
    if left < -1e-9 * budget:
        left = book.swap_down(book.take_back(left))
        if left < -1e-9 * budget:
            msg = (
                f"field floor: in whole samples the floors cost {-left:.6g} more than the budget "
                f"{budget:.6g}; raise it, or lower a floor"
            )
            raise InfeasibleFloors(msg)
    if stated.kind == "min_cost":
        book.reach(float(stated.target or 0.0))
    elif stated.kind in SUMS:
        book.hand_out_best(left)
    else:
        book.hand_out_worst(left, leximin=stated.kind == "leximin")
    return whole


class _Book:
    """Whole draws per cell with each group's effective samples kept up to date."""

    def __init__(self, stated: Stated, whole: np.ndarray, cap: Floats, floors: Floats) -> None:
        self.s, self.whole, self.cap, self.floors = stated, whole, cap, floors
        self.worth = stated.cells.worth_of(whole.astype(float))
        groups = stated.fill.groups
        self.have = sum_by(stated.cells.group, whole, groups)
        self.members = np.split(
            np.arange(whole.size), np.cumsum(np.bincount(stated.cells.group, minlength=groups))[:-1]
        )
        self.effective = sum_by(stated.cells.group, self.worth, groups) + stated.held
        self.single = (
            [stated.level.take(np.array([g])) for g in range(groups)] if groups < 20_000 else None
        )
        self.welfare = stated.welfare()

    def worth_at(self, cell: int, draws: int) -> float:
        c = self.s.cells
        unique = c.unique[cell]
        passes = worth_of_passes(c.kind, draws / unique, float(c.parameter[cell]))
        return float(c.worth[cell] * unique * passes)

    def step(self, cell: int) -> float:
        """Return what one more sample is worth."""
        return self.worth_at(cell, self.whole[cell] + 1) - float(self.worth[cell])

    def level(self, g: int, effective: float) -> float:
        curve = self.single[g] if self.single is not None else self.s.level.take(np.array([g]))
        return float(curve.value(np.array([effective]))[0])

    def gain(self, cell: int) -> float:
        g = int(self.s.cells.group[cell])
        now, then = (self.level(g, self.effective[g] + d) for d in (0.0, self.step(cell)))
        e, w = self.welfare.aversion, float(self.welfare.weight[g])
        if w == 0:
            return 0.0
        if e == 0:
            return w * (then - now)
        if now <= 0:
            return 1e300 if then > 0 else 0.0  # the first sample that lifts it above 0
        return float(
            w * (np.log(then / now) if e == 1 else (then ** (1 - e) - now ** (1 - e)) / (1 - e))
        )

    def move(self, cell: int, samples: int) -> None:
        g = self.s.cells.group[cell]
        worth = self.worth_at(cell, self.whole[cell] + samples)
        self.effective[g] += worth - self.worth[cell]
        self.have[g] += samples
        self.whole[cell] += samples
        self.worth[cell] = worth

    def open_cells(self, g: int) -> list[int]:
        return [
            int(c)
            for c in self.members[g]
            if self.whole[c] + 1 <= self.cap[c] and self.s.cells.worth[c] > 0
        ]

    def best_cell(self, g: int, left: float) -> int | None:
        cost = self.s.cells.cost
        fits = [c for c in self.open_cells(g) if cost[c] <= left * (1 + 1e-12) + 1e-12]
        return max(fits, key=lambda c: (self.step(c) / cost[c], -c), default=None)

    def raise_floors(self) -> None:
        for g in np.flatnonzero(self.have < self.floors):
            while self.have[g] < self.floors[g]:
                cell = self.best_cell(int(g), np.inf)
                if cell is None:
                    break
                self.move(cell, 1)

    def take_back(self, left: float) -> float:
        """Take single samples from groups above their floor until the budget holds again."""
        cost, group = self.s.cells.cost, self.s.cells.group
        while left < 0:
            open_ = [c for c in range(group.size) if self.whole[c] and self.may_give(group[c])]
            if not open_:
                break
            cell = min(open_, key=lambda c: (self.gain(c) / cost[c], c))
            self.move(cell, -1)
            left += float(cost[cell])
        return left

    def swap_down(self, left: float) -> float:
        """Swap single samples of groups at their floor for cheaper ones, at the least loss."""
        cost = self.s.cells.cost
        while left < 0:
            pairs = [
                (self.loss_of_last(a) - self.step(b), cost[a] - cost[b], int(a), b)
                for members in self.members
                for a in members
                if self.whole[a]
                for b in self.open_cells(int(self.s.cells.group[a]))
                if cost[b] < cost[a]
            ]
            if not pairs:
                break
            _, saved, source, target = min(pairs, key=lambda v: (v[0] / v[1], v[2:]))
            self.move(source, -1)
            self.move(target, 1)
            left += float(saved)
        return left

    def loss_of_last(self, cell: int) -> float:
        """Return what the cell's last sample is worth."""
        return float(self.worth[cell]) - self.worth_at(cell, self.whole[cell] - 1)

    def may_give(self, g: int) -> bool:
        return bool(self.have[g] > self.floors[g])

    def hand_out_best(self, left: float) -> None:
        cost = self.s.cells.cost
        heap = [
            (-self.gain(c) / cost[c], c)
            for c in range(self.whole.size)
            if self.whole[c] + 1 <= self.cap[c] and self.s.cells.worth[c] > 0
        ]
        heapq.heapify(heap)
        while heap and left > 0:
            key, cell = heapq.heappop(heap)
            if cost[cell] > left * (1 + 1e-12):
                continue
            now = -self.gain(cell) / cost[cell]
            if now > key and (math.isinf(key) or now > key + 1e-15 * abs(key)):
                heapq.heappush(heap, (now, cell))
                continue
            if now >= 0:
                continue
            self.move(cell, 1)
            left -= cost[cell]
            if self.whole[cell] + 1 <= self.cap[cell]:
                heapq.heappush(heap, (-self.gain(cell) / cost[cell], cell))

    def hand_out_worst(self, left: float, *, leximin: bool) -> None:
        """Raise the worst group by single samples: of what is left, then of groups that stay above."""
        cost = self.s.cells.cost
        groups = range(self.s.fill.groups)
        heap = [(self.level(g, float(self.effective[g])), g) for g in groups]
        heapq.heapify(heap)
        givers: list[tuple[float, int]] = []
        for g in groups:
            self.offer(g, givers)
        while heap:
            known, g = heapq.heappop(heap)
            level = self.level(g, float(self.effective[g]))
            if level != known:  # it has given
                heapq.heappush(heap, (level, g))
                continue
            cell = self.best_cell(g, left)
            if cell is None and (wanted := self.best_cell(g, np.inf)) is not None:
                freed = self.free(float(cost[wanted]) - left, level, g, givers)
                left += freed
                cell = wanted if freed else None
            if cell is not None:
                self.move(cell, 1)
                left -= float(cost[cell])
                self.offer(g, givers)
                heapq.heappush(heap, (self.level(g, float(self.effective[g])), g))
            elif not leximin:
                return

    def free(
        self, needed: float, level: float, receiver: int, givers: list[tuple[float, int]]
    ) -> float:
        """Take samples that cost `needed` from groups that stay above `level`; none if they can't."""
        cost = self.s.cells.cost
        above = level + 1e-12 * abs(level)
        taken: list[int] = []
        freed = 0.0
        while givers and freed < needed * (1 - 1e-12):
            known, g = heapq.heappop(givers)
            now = self.level_without(g)
            if now is None or g == receiver:
                continue
            if -now > known:  # less than when it was offered
                heapq.heappush(givers, (-now, g))
                continue
            if now <= above:
                heapq.heappush(givers, (-now, g))
                break
            taken.append(self.last_cell(g))
            self.move(taken[-1], -1)
            freed += float(cost[taken[-1]])
            self.offer(g, givers)
        if freed >= needed * (1 - 1e-12):
            return freed
        for cell in taken:
            self.move(cell, 1)
            self.offer(int(self.s.cells.group[cell]), givers)
        return 0.0

    def offer(self, g: int, givers: list[tuple[float, int]]) -> None:
        if (level := self.level_without(g)) is not None:
            heapq.heappush(givers, (-level, g))

    def level_without(self, g: int) -> float | None:
        """Return the group's level with one sample less, or None if it has none to give."""
        if not self.may_give(g):
            return None
        cell = self.last_cell(g)
        return self.level(g, float(self.effective[g]) - self.loss_of_last(cell))

    def last_cell(self, g: int) -> int:
        """Return the cell whose last sample is worth least for what it costs."""
        drawn = [int(c) for c in self.members[g] if self.whole[c]]
        return min(drawn, key=lambda c: (self.loss_of_last(c) / self.s.cells.cost[c], -c))

    def reach(self, target: float) -> None:
        for g in range(self.s.fill.groups):
            while self.level(g, float(self.effective[g])) < target:
                cell = self.best_cell(g, np.inf)
                if cell is None:
                    break
                self.move(cell, 1)
