"""Choose which tables of a forest to keep, by dynamic programming."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from assets.containment.retention_costs import Option, Table

Needs = Mapping[str, Sequence[tuple[frozenset[str], Option]]]
"""By table its options, each with those of its parents that are yet to be decided."""


def keep_in_forest(tables: Mapping[str, Table], needs: Needs) -> tuple[set[str], float] | None:
    """Solve tables of which each needs at most one other to be rebuilt from, bottom up.

    Parameters
    ----------
    tables : mapping of str to Table
        The tables to decide.
    needs : mapping of str to sequence of (frozenset of str, Option)
        By table its options, each with those of its parents that are yet to be decided. An option
        that needs none of them can always be used.

    Returns
    -------
    (set of str, float) or None
        The tables to keep, and the least cost; None if they are no forest.

    Notes
    -----
    Of the subtree of v the least cost K if v is kept, D if it is rebuilt from its parent or
    without, R if it is rebuilt without its parent; cost_v is the cost of the option that needs the
    parent, free_v of the cheapest that needs none (infinite where there is none):
    K_v = keep_v + sum over children of min(K, D); below_v = sum over children of min(K, R);
    D_v = min(cost_v, free_v) + below_v; R_v = free_v + below_v. Without options that need none
    this is K = keep + sum min(K, D), D = cost + sum K. Cost: linear.
    """
    above: dict[str, str] = {}
    cost = dict.fromkeys(tables, math.inf)
    free = dict.fromkeys(tables, math.inf)
    for name in tables:
        for need, option in needs[name]:
            if not need:
                free[name] = min(free[name], option.cost)
            elif len(need) > 1 or name in above:
                return None
            else:
                (above[name],) = need
                cost[name] = option.cost
    order, children = _top_down(tables, above)
    if len(order) < len(tables):  # a cycle
        return None
    kept: dict[str, float] = {}
    with_parent: dict[str, float] = {}
    without: dict[str, float] = {}
    for name in reversed(order):
        own = children[name]
        kept[name] = tables[name].keep_cost + math.fsum(min(kept[c], with_parent[c]) for c in own)
        below = math.fsum(min(kept[c], without[c]) for c in own)
        with_parent[name] = min(cost[name], free[name]) + below
        without[name] = free[name] + below
    chosen: set[str] = set()
    for name in order:
        rebuilt = with_parent if above.get(name) in chosen else without
        if kept[name] <= rebuilt[name]:
            chosen.add(name)
    roots = [name for name in order if name not in above]
    return chosen, math.fsum(min(kept[name], without[name]) for name in roots)


def _top_down(
    tables: Mapping[str, Table], above: Mapping[str, str]
) -> tuple[list[str], Mapping[str, list[str]]]:
    children: dict[str, list[str]] = defaultdict(list)
    for child, parent in above.items():
        children[parent].append(child)
    order = [name for name in tables if name not in above]
    for name in order:  # grows while it is read: parents come before their children
        order.extend(children[name])
    return order, children
