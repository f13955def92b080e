"""Plan which tables to keep and which to retire, at least cost and within latency limits.

The retention stage of R2D2 as an integer program, extended by unions of parents. The exact form of
the paper's model was not at hand; this one is stated in full in docs/methods/retention.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from assets.containment.retention_costs import (
    Costs,
    Option,
    RetentionInputError,
    Table,
    read_options,
    read_tables,
)
from assets.containment.retention_solve import Solution, solve

__all__ = ["PLAN_SCHEMA", "Costs", "RetentionInputError", "plan_retention"]

PLAN_SCHEMA = {
    "table": pl.String(),
    "decision": pl.String(),
    "parents": pl.List(pl.String),
    "saving": pl.Float64(),
    "rebuild_latency": pl.Float64(),
    "break_even_accesses": pl.Float64(),
    "reason": pl.String(),
    "bytes": pl.Int64(),
    "component": pl.Int64(),
    "method": pl.String(),
    "gap": pl.Float64(),
}


def plan_retention(
    tables: pl.DataFrame,
    edges: pl.DataFrame,
    unions: pl.DataFrame | None = None,
    costs: Costs | None = None,
    *,
    equalities: Iterable[str] = ("typed", "value"),
    time_limit_seconds: float = 60.0,
) -> pl.DataFrame:
    """Decide for each table whether to keep it or to retire and rebuild it when it is read.

    Parameters
    ----------
    tables : pl.DataFrame
        table, bytes; optionally accesses and maintenance_operations per period,
        max_latency_seconds, pinned (a pinned table is kept).
    edges : pl.DataFrame
        Containment edges; only those with containment and multiset containment 1 and `exact`
        count, because a rebuild must give the identical rows as often as they were.
    unions : pl.DataFrame, optional
        child, parents, multiset_containment: tables that several hold together.
    costs : Costs, optional
        Prices; the default is an example.
    equalities : iterable of str, default ("typed", "value")
        Equalities that are good enough. ``text`` is not: it takes NULL for the empty string.
    time_limit_seconds : float, default 60
        For all components together.

    Returns
    -------
    pl.DataFrame
        A row for each table, sorted by name: decision (keep or retire), parents (all kept; empty
        for keep), saving per period, rebuild_latency in seconds, break_even_accesses (accesses
        per period from which on keeping is cheaper; null where no rebuild is possible), reason,
        bytes, component, method (alone, forest, integer program) and gap (proven relative
        distance of the component's cost from the optimum, 0 where it is optimal).

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
    prices = costs or Costs()
    known = read_tables(tables, prices)
    limits = list(equalities)
    options = read_options(known, edges, unions, prices, limits)
    deadline = time.monotonic() + time_limit_seconds
    rows: list[dict[str, object]] = []
    for i, (names, own) in enumerate(_components(known, options)):
        part = {name: known[name] for name in names}
        solution = solve(part, own, max(0.0, deadline - time.monotonic()))
        rows += [{**_row(known[name], own, solution), "component": i} for name in names]
    return pl.DataFrame(rows, schema=PLAN_SCHEMA).sort("table")


def _components(
    tables: Mapping[str, Table], options: Sequence[Option]
) -> list[tuple[list[str], list[Option]]]:
    """Split into weakly connected components; the tables of each in `Table.order`."""
    leader = {name: name for name in tables}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for option in options:
        for parent in option.parents:
            first, second = sorted((find(option.child), find(parent)))
            leader[second] = first
    names: dict[str, list[str]] = {}
    own: dict[str, list[Option]] = {}
    for name in tables:
        names.setdefault(find(name), []).append(name)
    for option in options:
        own.setdefault(find(option.child), []).append(option)
    return [(names[root], own.get(root, [])) for root in sorted(names)]


def _row(table: Table, options: Sequence[Option], solution: Solution) -> dict[str, object]:
    chosen = solution.choice[table.name]
    possible = [option for option in options if option.child == table.name]
    compared = chosen or min(possible, key=lambda o: (o.cost, o.parents), default=None)
    break_even = None
    if compared is not None and compared.rebuild_cost > 0:
        break_even = table.keep_cost / compared.rebuild_cost
    return {
        "table": table.name,
        "decision": "keep" if chosen is None else "retire",
        "parents": [] if chosen is None else list(chosen.parents),
        "saving": 0.0 if chosen is None else table.keep_cost - chosen.cost,
        "rebuild_latency": None if chosen is None else chosen.latency,
        "break_even_accesses": break_even,
        "reason": _reason(table, chosen, possible, solution),
        "bytes": table.size,
        "method": solution.method,
        "gap": solution.gap,
    }


def _reason(
    table: Table, chosen: Option | None, possible: Sequence[Option], solution: Solution
) -> str:
    if chosen is not None:
        source = "its parent" if len(chosen.parents) == 1 else "the union of its parents"
        return f"every row is in {source}; rebuilding it costs less than keeping it"
    if table.pinned:
        return "pinned"
    dependants = sum(
        option is not None and table.name in option.parents for option in solution.choice.values()
    )
    if dependants:
        return f"kept to rebuild {dependants} other table{'s' if dependants > 1 else ''}"
    if possible:
        return "its parents are better retired themselves"
    return "no kept table holds all its rows, in time and for less than keeping it costs"
