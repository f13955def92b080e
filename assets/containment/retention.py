"""Plan which tables to keep and which to retire, at least cost and within latency limits.

The retention stage of R2D2 as an integer program, extended by unions of parents. The exact form of
the paper's model was not at hand; this one is stated in full in docs/methods/retention.md.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from assets.containment.components import connected
from assets.containment.retention_costs import (
    Costs,
    Option,
    RetentionInputError,
    Table,
    paying,
    read_options,
    read_tables,
)
from assets.containment.retention_moves import Moves
from assets.containment.retention_solve import Solution, solve

__all__ = ["PLAN_SCHEMA", "Costs", "PlanTotals", "RetentionInputError", "plan_retention", "totals"]

PLAN_SCHEMA = {
    "table": pl.String(),
    "decision": pl.String(),
    "parents": pl.List(pl.String),
    "saving": pl.Float64(),
    "rebuild_latency": pl.Float64(),
    "break_even_accesses": pl.Float64(),
    "break_even_storage_per_gb": pl.Float64(),
    "reason": pl.String(),
    "bytes": pl.Int64(),
    "cost": pl.Float64(),
    "examples": pl.List(pl.String),
    "component": pl.Int64(),
    "method": pl.String(),
    "gap": pl.Float64(),
}

TIME_LIMIT_SECONDS = 45.0
"""So that a plan for 10,000 tables, its figures worked out, is there within a minute."""


@dataclass(frozen=True)
class PlanTotals:
    """What a plan costs for a period as a whole.

    Attributes
    ----------
    keep_all
        What keeping every table would cost.
    cost
        What the plan costs.
    bound
        What any plan costs at least.
    """

    keep_all: float
    cost: float
    bound: float

    @property
    def gap(self) -> float:
        """The proven relative distance from the optimum at most; 0 is optimal."""
        return 0.0 if self.cost <= 0 else max(0.0, (self.cost - self.bound) / self.cost)

    @property
    def told(self) -> str:
        """Say how good the plan is known to be."""
        if self.gap == 0:
            return "proven optimal"
        return (
            f"time ran out: it costs {self.cost:.6g}, no plan costs less than {self.bound:.6g}, "
            f"so at most {self.gap:.2%} of it could be saved yet"
        )


def totals(plan: pl.DataFrame) -> PlanTotals:
    """Add up a plan of `plan_retention`; needs its columns cost, saving and gap."""
    cost = math.fsum(plan["cost"])
    return PlanTotals(
        cost + math.fsum(plan["saving"]),
        cost,
        cost - math.fsum(c * gap for c, gap in plan.select("cost", "gap").iter_rows()),
    )


def plan_retention(
    tables: pl.DataFrame,
    edges: pl.DataFrame,
    unions: pl.DataFrame | None = None,
    costs: Costs | None = None,
    *,
    equalities: Iterable[str] = ("typed", "value"),
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
) -> pl.DataFrame:
    """Decide for each table whether to keep it or to retire and rebuild it when it is read.

    Parameters
    ----------
    tables : pl.DataFrame
        table, bytes; optionally any field of `Costs` (null: the default), pinned (Boolean, or
        String: why; a pinned table is kept) and reader (String: how a recipe reads its rows; such a
        table is only rebuilt from tables of the same reader).
    edges : pl.DataFrame
        Containment edges; only those with containment and multiset containment 1 and `exact`
        count, because a rebuild must give the identical rows as often as they were.
    unions : pl.DataFrame, optional
        child, parents, multiset_containment: tables that several hold together.
    costs : Costs, optional
        Prices where `tables` states none; the default is an example, and the plan says so.
    equalities : iterable of str, default ("typed", "value")
        Equalities that are good enough. ``text`` is not: it takes NULL for the empty string.
    time_limit_seconds : float, default 45
        For all components together.

    Returns
    -------
    pl.DataFrame
        A row for each table, sorted by name: decision (keep or retire), parents (all kept; empty
        for keep), saving per period, rebuild_latency in seconds, break_even_accesses (accesses
        per period above which keeping is cheaper) and break_even_storage_per_gb (price of a
        gigabyte below which it is), both with all other inputs as they are and null where no kept
        table could rebuild it; reason, bytes, cost (of a period, as decided), examples (inputs of
        this table that nobody stated), component, method (alone, forest, integer program) and gap
        (proven relative distance of the component's cost from the optimum, 0 where it is optimal).

    Raises
    ------
    RetentionInputError
        If the tables or costs can't be used.

    Notes
    -----
    min sum keep_v x_v + sum cost_e y_e, x_v + sum of y_e into v = 1, y_e <= x_u for each parent u
    in e, by weakly connected component. One hop: what a retired table is rebuilt from is kept, so
    of equal tables at least one stays. Ties keep the first by (bytes, name). Deterministic
    unless the time limit ends a search; the order of the rows does not matter.
    """
    deadline = time.monotonic() + time_limit_seconds
    known = read_tables(tables, costs)
    ways = read_options(known, edges, unions, list(equalities))
    options = paying(known, ways)
    into: dict[str, list[Option]] = defaultdict(list)
    for way in ways:
        into[way.child].append(way)
    found = connected(list(known), [(option.child, option.parents) for option in options])
    component = {name: i for i, names in enumerate(found) for name in names}
    own: list[list[Option]] = [[] for _ in found]
    for option in options:
        own[component[option.child]].append(option)
    solved: dict[int, Solution] = {}
    # the smallest first: what one large component leaves open must not take the others' time
    for i in sorted(range(len(found)), key=lambda i: (len(own[i]), i)):
        solved[i] = solve({name: known[name] for name in found[i]}, own[i], deadline)
    rows = _rows(known, into, [solved[i] for i in range(len(found))])
    return pl.DataFrame(rows, schema=PLAN_SCHEMA).sort("table")


def _rows(
    known: Mapping[str, Table],
    into: Mapping[str, Sequence[Option]],
    solved: Sequence[Solution],
) -> Iterable[dict[str, object]]:
    choice = {name: option for solution in solved for name, option in solution.choice.items()}
    dependants = Counter(
        parent for option in choice.values() if option is not None for parent in option.parents
    )
    # ways that do not pay link no components, but they tell where a decision turns
    usable = [way for ways in into.values() for way in ways if way.barred is None]
    moves = Moves(choice, known, usable)
    for i, solution in enumerate(solved):
        for name, chosen in solution.choice.items():
            table = known[name]
            accesses, price = moves.break_even(name)
            cost = table.keep_cost if chosen is None else chosen.cost
            yield {
                "table": name,
                "decision": "keep" if chosen is None else "retire",
                "parents": [] if chosen is None else list(chosen.parents),
                "saving": table.keep_cost - cost,
                "rebuild_latency": None if chosen is None else chosen.latency,
                "break_even_accesses": accesses,
                "break_even_storage_per_gb": price,
                "reason": _reason(table, chosen, into.get(name, ()), dependants[name]),
                "bytes": table.size,
                "cost": cost,
                "examples": list(table.examples),
                "component": i,
                "method": solution.method,
                "gap": solution.gap,
            }


def _reason(table: Table, chosen: Option | None, ways: Sequence[Option], dependants: int) -> str:
    if chosen is not None:
        source = "its parent" if len(chosen.parents) == 1 else "the union of its parents"
        return f"every row is in {source}; rebuilding it costs less than keeping it"
    if table.pinned is not None:
        return table.pinned
    if dependants:
        return f"kept to rebuild {dependants} other table{'s' if dependants > 1 else ''}"
    if not ways:
        return "no other table holds all its rows"
    usable = [way for way in ways if way.barred is None]
    if any(way.cost < table.keep_cost for way in usable):
        return "what holds its rows is better retired itself"
    if usable:
        return "keeping it costs no more than rebuilding it when it is read"
    if any(way.barred == "latency" for way in ways):
        return "rebuilding it would take longer than its limit"
    return "the recipe reads it, and no table that holds its rows becomes the same records"
