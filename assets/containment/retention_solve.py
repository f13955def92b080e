"""Choose which tables of one connected component to keep, at least cost.

Uncapacitated facility location with hyper-edges: every table is kept, or rebuilt by one option all
of whose parents are kept. NP-hard in general; forests are solved by dynamic programming, the rest
by an integer program, polished by exact local moves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assets.containment.retention_costs import Option, Table

Choice = dict[str, Option | None]
"""By table the option that rebuilds it; None is kept."""


@dataclass(frozen=True)
class Solution:
    """A choice with its cost for a period, and a proven bound from below."""

    choice: Choice
    method: str
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """The proven relative distance from the optimum at most; 0 is optimal."""
        return 0.0 if self.cost <= 0 else max(0.0, (self.cost - self.bound) / self.cost)


def cost_of(choice: Mapping[str, Option | None], tables: Mapping[str, Table]) -> float:
    """Add up what a choice costs for a period.

    Parameters
    ----------
    choice : mapping of str to Option or None
        The option by table; None is kept.
    tables : mapping of str to Table
        The tables.

    Returns
    -------
    float
        The cost, summed without rounding error that depends on the order.
    """
    return math.fsum(
        tables[name].keep_cost if option is None else option.cost for name, option in choice.items()
    )


def choose(
    kept: Iterable[str], tables: Mapping[str, Table], options: Sequence[Option]
) -> Choice | None:
    """Assign each table that is not kept its cheapest option.

    Parameters
    ----------
    kept : iterable of str
        The tables that are kept.
    tables : mapping of str to Table
        All tables.
    options : sequence of Option
        The options.

    Returns
    -------
    dict or None
        The choice; None if a table can't be rebuilt from those kept.
    """
    there = set(kept)
    choice: Choice = dict.fromkeys(tables)
    for option in sorted(options, key=lambda option: (option.cost, option.parents)):
        open_ = option.child not in there and choice[option.child] is None
        if open_ and there.issuperset(option.parents):
            choice[option.child] = option
    if any(choice[name] is None and name not in there for name in tables):
        return None
    return choice


def solve(
    tables: Mapping[str, Table], options: Sequence[Option], time_limit_seconds: float
) -> Solution:
    """Solve one connected component.

    Parameters
    ----------
    tables : mapping of str to Table
        The tables of the component, in `Table.order`.
    options : sequence of Option
        Its options.
    time_limit_seconds : float
        When to stop with what there is; the gap then says how far it may be from the optimum.

    Returns
    -------
    Solution
        Deterministic unless the time limit ends the search.
    """
    if not options:
        choice: Choice = dict.fromkeys(tables)
        cost = cost_of(choice, tables)
        return Solution(choice, "alone", cost, cost)
    parents: dict[str, list[Option]] = defaultdict(list)
    for option in options:
        parents[option.child].append(option)
    kept = _forest(tables, parents)
    if kept is not None:
        return _finished(kept, tables, options, "forest", -math.inf)
    kept, bound = _integer_program(tables, options, time_limit_seconds)
    return _finished(kept, tables, options, "integer program", bound)


def _finished(
    kept: set[str],
    tables: Mapping[str, Table],
    options: Sequence[Option],
    method: str,
    bound: float,
) -> Solution:
    choice = choose(kept, tables, options)
    if choice is None:  # only where the solver ended without an answer
        choice = dict.fromkeys(tables)
    choice = _polish(choice, tables, options)
    cost = cost_of(choice, tables)
    return Solution(choice, method, cost, cost if method == "forest" else min(bound, cost))


def _forest(tables: Mapping[str, Table], parents: Mapping[str, list[Option]]) -> set[str] | None:
    """Solve a forest, in which each table has at most one parent, bottom up; None if it is none.

    K is the least cost of a subtree whose root is kept, D of one whose root is rebuilt:
    K_v = keep_v + sum over children of min(K, D), D_v = rebuild_v + sum over children of K.
    """
    if any(len(own) > 1 or len(own[0].parents) > 1 for own in parents.values()):
        return None
    children: dict[str, list[str]] = defaultdict(list)
    for child, own in parents.items():
        children[own[0].parents[0]].append(child)
    order = [name for name in tables if name not in parents]
    for name in order:  # grows while it is read: parents come before their children
        order.extend(children[name])
    if len(order) < len(tables):  # a cycle
        return None
    kept_cost: dict[str, float] = {}
    rebuilt_cost: dict[str, float] = {}
    for name in reversed(order):
        below = children[name]
        kept_cost[name] = tables[name].keep_cost + math.fsum(
            min(kept_cost[child], rebuilt_cost[child]) for child in below
        )
        own_cost = parents[name][0].cost if name in parents else math.inf
        rebuilt_cost[name] = own_cost + math.fsum(kept_cost[child] for child in below)
    kept: set[str] = set()
    for name in order:
        parent = parents[name][0].parents[0] if name in parents else None
        if parent is None or parent not in kept or kept_cost[name] <= rebuilt_cost[name]:
            kept.add(name)
    return kept


def _integer_program(
    tables: Mapping[str, Table], options: Sequence[Option], time_limit_seconds: float
) -> tuple[set[str], float]:
    """Minimise keep.x + cost.y with x_v + sum of y into v = 1 and y_e <= x_u for u in e.

    y need not be declared integral: with x fixed, the cheapest open option of each table is best.
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    names = list(tables)
    number = {name: i for i, name in enumerate(names)}
    n, m = len(names), len(options)
    costs = np.array([tables[name].keep_cost for name in names] + [o.cost for o in options])
    # HiGHS stops within an absolute gap of 1e-6: bring costs well above it
    scale = 1e4 / max(float(costs.max()), 1e-300)
    rows = list(range(n)) + [number[option.child] for option in options]
    columns = list(range(n + m))
    once = coo_array((np.ones(n + m), (rows, columns)), shape=(n, n + m)).tocsr()
    links = [(n + e, number[p]) for e, option in enumerate(options) for p in option.parents]
    k = len(links)
    at = np.repeat(np.arange(k), 2)
    variables = np.array(links, np.int64).ravel()
    signs = np.tile([1.0, -1.0], k)
    link = coo_array((signs, (at, variables)), shape=(k, n + m)).tocsr()
    solved = milp(
        costs * scale,
        integrality=np.concatenate([np.ones(n), np.zeros(m)]),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(once, 1, 1), LinearConstraint(link, -np.inf, 0)],
        options={"time_limit": max(time_limit_seconds, 0.01), "mip_rel_gap": 0.0},
    )
    bound = -math.inf
    if solved.mip_dual_bound is not None and math.isfinite(solved.mip_dual_bound):
        bound = float(solved.mip_dual_bound) / scale
    if solved.x is None:
        return set(names), max(bound, 0.0)
    return {name for name, value in zip(names, solved.x[:n], strict=True) if value > 0.5}, bound


def _polish(choice: Choice, tables: Mapping[str, Table], options: Sequence[Option]) -> Choice:
    """Apply single moves (keep one more, retire one more) while they save anything.

    This settles what a solver's tolerance leaves open, tables of bytes beside tables of
    terabytes, and is the whole heuristic where the time limit left no solution.
    """
    into: dict[str, list[Option]] = defaultdict(list)
    out_of: dict[str, list[Option]] = defaultdict(list)
    for option in sorted(options, key=lambda option: (option.cost, option.parents)):
        into[option.child].append(option)
        for parent in option.parents:
            out_of[parent].append(option)

    def best(name: str, without: str) -> Option | None:
        for option in into[name]:
            if without not in option.parents and all(choice[p] is None for p in option.parents):
                return option
        return None

    def retire(name: str) -> dict[str, Option] | None:
        """Return the changes that retiring a kept table makes, if they save anything."""
        own = best(name, name)
        if own is None:
            return None
        changes = {name: own}
        saved = tables[name].keep_cost - own.cost
        for option in out_of[name]:
            if choice[option.child] is option:
                other = best(option.child, name)
                if other is None:
                    return None
                changes[option.child] = other
                saved += option.cost - other.cost
        return changes if saved > 1e-12 * tables[name].keep_cost else None

    def keep(name: str) -> dict[str, Option | None] | None:
        """Return the changes that keeping a rebuilt table makes, if they save anything."""
        now = choice[name]
        if now is None:
            return None
        changes: dict[str, Option | None] = {name: None}
        saved = now.cost - tables[name].keep_cost
        for option in out_of[name]:
            current = changes.get(option.child, choice[option.child])
            others = [parent for parent in option.parents if parent != name]
            cheaper = current is not None and option.cost < current.cost
            if current is not None and cheaper and all(choice[p] is None for p in others):
                changes[option.child] = option
                saved += current.cost - option.cost
        return changes if saved > 1e-12 * tables[name].keep_cost else None

    moved = True
    while moved:
        moved = False
        for name in sorted(tables, key=lambda name: tables[name].order, reverse=True):
            changes: Mapping[str, Option | None] | None
            changes = retire(name) if choice[name] is None else keep(name)
            if changes is not None:
                choice.update(changes)
                moved = True
    return _swap_equals(choice, tables, options)


def _swap_equals(choice: Choice, tables: Mapping[str, Table], options: Sequence[Option]) -> Choice:
    """Keep the first by (bytes, name) of two tables that hold each other, at equal cost."""
    pairs = {(o.child, o.parents[0]) for o in options if len(o.parents) == 1}
    mutual = sorted((c, p) for c, p in pairs if (p, c) in pairs)
    if len(tables) > 200:
        mutual = []  # a tie is settled by the solver, which is deterministic too
    for first, second in mutual:
        swap = tables[first].order < tables[second].order
        if swap and choice[first] is not None and choice[second] is None:
            kept = {name for name, option in choice.items() if option is None}
            other = choose(kept - {second} | {first}, tables, options)
            now = cost_of(choice, tables)
            if other is not None and cost_of(other, tables) <= now * (1 + 1e-12):
                choice = other
    return choice
