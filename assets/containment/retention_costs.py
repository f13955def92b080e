"""Price what it costs to keep a table, and to rebuild it from others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import polars as pl

_GB = 1e9


class RetentionInputError(ValueError):
    """The tables, edges or costs of a retention plan can't be used."""


@dataclass(frozen=True)
class Costs:
    """Prices of a table for one period, a month say. The defaults are examples, not advice.

    Parameters
    ----------
    storage_per_gb : float
        Price of a gigabyte (10^9 bytes) kept for a period.
    maintenance_per_gb : float
        Price of one maintenance operation (a privacy scan, a compaction) on a gigabyte.
    read_per_gb, write_per_gb : float
        Price, compute included, of reading a gigabyte of this table to rebuild another, and of
        writing one to rebuild it.
    read_gb_per_second, write_gb_per_second : float
        Speeds, for the time that a rebuild takes.
    overhead_seconds : float
        What any rebuild takes beside.
    accesses, maintenance_operations : float
        Per period.
    max_latency_seconds : float
        The longest rebuild that is allowed; infinite is no limit, which is no example.

    Raises
    ------
    RetentionInputError
        If a number is negative, not a number, or (but for the limit) infinite, or a speed 0.
    """

    storage_per_gb: float = 0.02
    maintenance_per_gb: float = 0.005
    read_per_gb: float = 0.005
    write_per_gb: float = 0.005
    read_gb_per_second: float = 0.1
    write_gb_per_second: float = 0.05
    overhead_seconds: float = 1.0
    accesses: float = 1.0
    maintenance_operations: float = 1.0
    max_latency_seconds: float = math.inf

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            problem = problem_of(name, value)
            if problem is not None:
                message = f"costs.{name} is {value}; {problem}"
                raise RetentionInputError(message)


INPUTS = tuple(field.name for field in fields(Costs))
"""What a cost table or a column of the planned tables may state, in the order of `Costs`."""


def problem_of(name: str, value: float) -> str | None:
    """Say why a value can't be used as an input, or return None."""
    if not value >= 0:
        return "give a number that is not negative"
    if name.endswith("per_second") and value == 0:
        return "a speed must be above 0"
    if math.isinf(value) and name != "max_latency_seconds":
        return "give a number that is not infinite"
    return None


@dataclass(frozen=True)
class Table:
    """A table with what keeping it costs for a period.

    Attributes
    ----------
    reader
        How a recipe reads its rows, None if it does not: a table that is read may only be rebuilt
        from tables that are read alike, whose rows become the same records.
    pinned
        Why it must be kept; None if it need not.
    examples
        Inputs of it that nobody stated.
    """

    name: str
    size: int
    costs: Costs
    pinned: str | None = None
    reader: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def keep_cost(self) -> float:
        """What keeping it costs for a period."""
        own = self.costs
        price = own.storage_per_gb + own.maintenance_per_gb * own.maintenance_operations
        return price * self.size / _GB

    @property
    def order(self) -> tuple[int, str]:
        """Where costs are equal, the first by size and name is kept."""
        return self.size, self.name


@dataclass(frozen=True)
class Option:
    """A way to rebuild a table: from one parent, or from the union of some.

    Attributes
    ----------
    rebuild_cost
        Of one rebuild.
    cost
        Of a period: accesses times `rebuild_cost`.
    latency
        Seconds of one rebuild.
    barred
        Why it may not be used: ``pinned``, ``reader`` or ``latency``; None if it may.
    """

    child: str
    parents: tuple[str, ...]
    rebuild_cost: float
    cost: float
    latency: float
    barred: str | None = None


def read_tables(frame: pl.DataFrame, costs: Costs | None = None) -> dict[str, Table]:
    """Read and price the tables.

    Parameters
    ----------
    frame : pl.DataFrame
        table and bytes; optionally any of `INPUTS` (a null means the default of `costs`), pinned
        (Boolean, or String: why), reader (String).
    costs : Costs, optional
        The prices where a table states none; without it the examples, which are then named.

    Returns
    -------
    dict of str to Table
        By name, in the order of `Table.order`.

    Raises
    ------
    RetentionInputError
        If a column is missing, a table named twice, or a number can't be used.
    """
    missing = [name for name in ("table", "bytes") if name not in frame.columns]
    if missing:
        message = f"the tables of a retention plan lack the column(s) {missing}; add them"
        raise RetentionInputError(message)
    if frame["table"].n_unique() != frame.height:
        message = "the tables of a retention plan name a table twice; give each one row"
        raise RetentionInputError(message)
    base = costs or Costs()
    tables = [_table(row, base, named=costs is not None) for row in frame.iter_rows(named=True)]
    return {table.name: table for table in sorted(tables, key=lambda table: table.order)}


def _table(row: Mapping[str, Any], base: Costs, *, named: bool) -> Table:
    stated = {name: float(row[name]) for name in INPUTS if row.get(name) is not None}
    size = row["bytes"]
    if size is None or size < 0:
        message = f"table {row['table']!r}: bytes is {size}; give a number that is not negative"
        raise RetentionInputError(message)
    for name, value in stated.items():
        problem = problem_of(name, value)
        if problem is not None:
            message = f"table {row['table']!r}: {name} is {value}; {problem}"
            raise RetentionInputError(message)
    pinned = row.get("pinned")
    return Table(
        row["table"],
        size,
        replace(base, **stated),
        pinned or None if isinstance(pinned, str) else ("pinned" if pinned else None),
        row.get("reader"),
        () if named else tuple(n for n in INPUTS if n not in stated and n != "max_latency_seconds"),
    )


def read_options(
    tables: Mapping[str, Table],
    edges: pl.DataFrame,
    unions: pl.DataFrame | None,
    equalities: Iterable[str],
) -> list[Option]:
    """List the ways to rebuild tables exactly, those that may not be used included.

    Parameters
    ----------
    tables : mapping of str to Table
        From `read_tables`.
    edges : pl.DataFrame
        child, parent, containment, multiset_containment, exact, equality.
    unions : pl.DataFrame or None
        child, parents, multiset_containment.
    equalities : iterable of str
        The equalities under which equal rows are good enough to rebuild from.

    Returns
    -------
    list of Option
        Sorted by child and parents. Left out: inexact ways and unknown tables.
    """
    whole = edges.filter(
        (pl.col("containment") == 1.0)
        & (pl.col("multiset_containment") == 1.0)
        & pl.col("exact")
        & pl.col("equality").is_in(list(equalities))
    )
    ways = {(child, (parent,)) for child, parent in whole.select("child", "parent").iter_rows()}
    if unions is not None:
        exact = unions.filter(pl.col("multiset_containment") == 1.0)
        ways |= {
            (child, tuple(sorted(parents)))
            for child, parents in exact.select("child", "parents").iter_rows()
        }
    return [
        _option(tables[child], [tables[parent] for parent in parents])
        for child, parents in sorted(ways)
        if child in tables and all(p in tables and p != child for p in parents)
    ]


def _option(child: Table, parents: list[Table]) -> Option:
    write = child.size / _GB
    rebuild = child.costs.write_per_gb * write
    latency = child.costs.overhead_seconds + write / child.costs.write_gb_per_second
    for parent in parents:
        read = parent.size / _GB
        rebuild += parent.costs.read_per_gb * read
        latency += read / parent.costs.read_gb_per_second
    barred = None
    if child.pinned is not None:
        barred = "pinned"
    elif child.reader is not None and any(p.reader != child.reader for p in parents):
        barred = "reader"
    elif latency > child.costs.max_latency_seconds:
        barred = "latency"
    names = tuple(parent.name for parent in parents)
    cost = child.costs.accesses * rebuild
    return Option(child.name, names, rebuild, cost, latency, barred)


def paying(tables: Mapping[str, Table], options: Iterable[Option]) -> list[Option]:
    """Return the options that may be used and cost less than keeping the table.

    Keeping a table is never worse than an option that is left out, whatever else is decided.
    """
    return [o for o in options if o.barred is None and o.cost < tables[o.child].keep_cost]
