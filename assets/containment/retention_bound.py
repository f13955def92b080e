"""Bound the cost of a retention plan from below without a solver, by dual ascent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from assets.containment.retention_costs import Table
from assets.containment.retention_forest import Needs


def dual_ascent(tables: Mapping[str, Table], needs: Needs) -> float:
    """Raise what each table is ready to pay until nothing that could serve it is free to take more.

    Parameters
    ----------
    tables, needs
        As in `keep_in_forest`.

    Returns
    -------
    float
        A proven lower bound of the cost of these tables.

    Notes
    -----
    A feasible point of the dual of the linear relaxation: table v offers t_v, is served by itself
    at 0 or by a parent u at the cost of an option, and sum over v of max(0, t_v - cost_vu) may not
    exceed what keeping u costs; the bound is sum t_v. The offers rise in turn from cost to cost
    (the ascent of Erlenkotter 1978, without his adjustments), so the bound is near that of the
    relaxation, not equal. Of an option with several parents one counts, which only lowers it.
    Work: options times passes, of which there are few.
    """
    slack = {name: table.keep_cost for name, table in tables.items()}
    offers = dict.fromkeys(tables, 0.0)
    served = {name: _served_by(name, needs) for name in tables}
    reached = dict.fromkeys(tables, 0)
    rising = list(tables)
    while rising:
        rising = [name for name in rising if _rise(name, served[name], offers, slack, reached)]
    return math.fsum(offers.values())


def _served_by(name: str, needs: Needs) -> list[tuple[float, str | None]]:
    """List who could serve a table, at which cost; None always could, and ends the list."""
    cheapest: dict[str | None, float] = {name: 0.0}
    for need, option in needs[name]:
        parent = min(need) if need else None
        cheapest[parent] = min(option.cost, cheapest.get(parent, math.inf))
    found = sorted((cost, parent or "", parent) for parent, cost in cheapest.items())
    listed = [(cost, parent) for cost, _, parent in found]
    free = next((at for at, (_, parent) in enumerate(listed) if parent is None), len(listed))
    return listed[: free + 1]


def _rise(
    name: str,
    served: list[tuple[float, str | None]],
    offers: dict[str, float],
    slack: dict[str, float],
    reached: dict[str, int],
) -> bool:
    """Raise one offer to the next cost, as far as all that it has reached can take; True if it got there."""
    at = reached[name]
    above = served[at][0] if at < len(served) else math.inf
    paid = [parent for _, parent in served[:at] if parent is not None]
    step = min([above - offers[name], *(slack[parent] for parent in paid)])
    offers[name] += step
    for parent in paid:
        slack[parent] -= step
    arrived = at < len(served) and offers[name] >= above
    if not arrived or served[at][1] is None:
        return False
    reached[name] = at + 1
    return True
