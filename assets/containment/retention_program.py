"""Choose which tables to keep by an integer program, solved by HiGHS."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array

from assets.containment.retention_bound import dual_ascent
from assets.containment.retention_costs import Table
from assets.containment.retention_forest import Needs

_RELAXED_FIRST = 2_000
"""Options from which on the relaxation is solved by itself first: its interior point method is sure
to give a bound, where the simplex method of the integer solver may not come to one in time."""
_RELAXED_SHARE = 2 / 3
_LEAST_SECONDS = 1.0
"""The interior point method does not heed a time limit that is over before it begins."""
_INTEGRAL = 1e-6


def keep_by_program(
    tables: Mapping[str, Table], needs: Needs, time_limit_seconds: float
) -> tuple[set[str], float]:
    """Minimise keep.x + cost.y with x_v + sum of y into v = 1 and y_e <= x_u for u in e.

    Parameters
    ----------
    tables, needs
        As in `keep_in_forest`.
    time_limit_seconds : float
        When to stop.

    Returns
    -------
    set of str
        The tables to keep; of what was found in time the best.
    float
        A proven lower bound of the cost: of the integer program, of its linear relaxation, or where
        time did not suffice for either, of `dual_ascent`.

    Notes
    -----
    y need not be declared integral: with x fixed, the cheapest open option of each table is best.
    """
    deadline = time.monotonic() + time_limit_seconds
    program = _Program(tables, needs)
    found, bound = [set(tables)], dual_ascent(tables, needs)
    if len(program.options) >= _RELAXED_FIRST and time_limit_seconds >= _LEAST_SECONDS:
        share, relaxed = program.relaxed(_RELAXED_SHARE * time_limit_seconds)
        bound = max(bound, relaxed)
        if share is not None:
            found.append(program.rounded(share))
            if np.all(np.minimum(share, 1 - share) < _INTEGRAL):
                return found[-1], bound
    kept, proven = program.solved(deadline - time.monotonic())
    bound = max(bound, proven)
    if kept is not None:
        found.append(kept)
    return min(found, key=program.cost), bound


class _Program:
    """The program of some tables: variables x by table, then y by option."""

    def __init__(self, tables: Mapping[str, Table], needs: Needs) -> None:
        self.tables, self.needs = tables, needs
        self.names = list(tables)
        self.options = [item for name in self.names for item in needs[name]]
        keep = [tables[name].keep_cost for name in self.names]
        self.costs = np.array(keep + [option.cost for _, option in self.options])
        # HiGHS stops within an absolute gap of 1e-6: bring costs well above it
        self.scale = 1e4 / max(float(self.costs.max()), 1e-300)
        self.once, self.link = self._constraints()

    def _constraints(self) -> tuple[csr_array, csr_array]:
        number = {name: i for i, name in enumerate(self.names)}
        n, m = len(self.names), len(self.options)
        rows = [*range(n), *(number[option.child] for _, option in self.options)]
        once = coo_array((np.ones(n + m), (rows, np.arange(n + m))), shape=(n, n + m))
        links = [
            (n + e, number[parent])
            for e, (need, _) in enumerate(self.options)
            for parent in sorted(need)
        ]
        k = len(links)
        signs, at = np.tile([1.0, -1.0], k), np.repeat(np.arange(k), 2)
        variables = np.array(links, np.int64).ravel()
        return once.tocsr(), coo_array((signs, (at, variables)), shape=(k, n + m)).tocsr()

    def solved(self, seconds: float) -> tuple[set[str] | None, float]:
        """Solve it; returns the tables to keep and a lower bound."""
        n = len(self.names)
        rules = [LinearConstraint(self.once, 1, 1)]
        if self.link.shape[0]:
            rules.append(LinearConstraint(self.link, -np.inf, 0))
        out = milp(
            self.costs * self.scale,
            integrality=np.concatenate([np.ones(n), np.zeros(len(self.options))]),
            bounds=Bounds(0, 1),
            constraints=rules,
            options={"time_limit": max(seconds, 0.01), "mip_rel_gap": 0.0},
        )
        bound = -math.inf
        if out.mip_dual_bound is not None and math.isfinite(out.mip_dual_bound):
            bound = float(out.mip_dual_bound) / self.scale
        return None if out.x is None else self._complete(out.x[:n] > 0.5), bound

    def relaxed(self, seconds: float) -> tuple[npt.NDArray[np.float64] | None, float]:
        """Solve its linear relaxation; returns x and the optimum, or None and no bound."""
        out = linprog(
            self.costs * self.scale,
            A_ub=self.link,
            b_ub=np.zeros(self.link.shape[0]),
            A_eq=self.once,
            b_eq=np.ones(len(self.names)),
            bounds=(0, 1),
            method="highs-ipm",
            options={"time_limit": max(seconds, 0.01)},
        )
        if out.status != 0:
            return None, -math.inf
        return out.x[: len(self.names)], float(out.fun) / self.scale

    def rounded(self, share: npt.NDArray[np.float64]) -> set[str]:
        """Return the best of the plans that keep what the relaxation keeps to some share."""
        plans = (self._complete(share > least) for least in (0.1, 0.25, 0.5, 0.75))
        return min(plans, key=self.cost)

    def _complete(self, kept: npt.NDArray[np.bool_]) -> set[str]:
        """Keep, too, what can't be rebuilt from the tables that are kept."""
        there = {name for name, is_kept in zip(self.names, kept, strict=True) if is_kept}
        return there | {name for name in self.names if not self._open(name, there)}

    def _open(self, name: str, kept: set[str]) -> bool:
        return name in kept or any(need <= kept for need, _ in self.needs[name])

    def cost(self, kept: set[str]) -> float:
        """Return what it costs to keep these and rebuild the rest in the cheapest way."""
        return math.fsum(
            self.tables[name].keep_cost
            if name in kept
            else min((o.cost for need, o in self.needs[name] if need <= kept), default=math.inf)
            for name in self.names
        )
