"""Price what it costs to keep a table, and to rebuild it from others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

_GB = 1e9


class RetentionInputError(ValueError):
    """The tables, edges or costs of a retention plan can't be used."""


@dataclass(frozen=True)
class Costs:
    """Prices of a lake for one period, a month say. The defaults are examples, not advice.

    Parameters
    ----------
    storage_per_gb : float
        Price of a gigabyte (10^9 bytes) kept for a period.
    maintenance_per_gb : float
        Price of one maintenance operation (a privacy scan, a compaction) on a gigabyte.
    read_per_gb, write_per_gb : float
        Price, compute included, of reading and of writing a gigabyte in a rebuild.
    read_gb_per_second, write_gb_per_second : float
        Speeds, for the time that a rebuild takes.
    overhead_seconds : float
        What any rebuild takes beside.
    accesses, maintenance_operations : float
        Of a table, per period, where the tables do not say.
    max_latency_seconds : float
        The longest rebuild that is allowed, where the tables do not say.
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
            speed = name.endswith("per_second")
            if not value >= 0 or (speed and value == 0):
                message = f"costs.{name} is {value}; give a number that is not negative"
                raise RetentionInputError(message)


@dataclass(frozen=True)
class Table:
    """A table with what keeping it costs for a period."""

    name: str
    size: int
    keep_cost: float
    accesses: float
    max_latency: float
    pinned: bool

    @property
    def order(self) -> tuple[int, str]:
        """Where costs are equal, the first by size and name is kept."""
        return self.size, self.name


@dataclass(frozen=True)
class Option:
    """A way to rebuild a table: from one parent, or from the union of some."""

    child: str
    parents: tuple[str, ...]
    rebuild_cost: float  # of one rebuild
    cost: float  # of a period
    latency: float


def read_tables(frame: pl.DataFrame, costs: Costs) -> dict[str, Table]:
    """Read and price the tables.

    Parameters
    ----------
    frame : pl.DataFrame
        table and bytes; optionally accesses, maintenance_operations, max_latency_seconds and
        pinned, where a null means the default of `costs` (not pinned).
    costs : Costs
        The prices.

    Returns
    -------
    dict of str to Table
        By name, in the order of `Table.order`.

    Raises
    ------
    RetentionInputError
        If a column is missing, a table named twice, or a number negative.
    """
    missing = [name for name in ("table", "bytes") if name not in frame.columns]
    if missing:
        message = f"the tables of a retention plan lack the column(s) {missing}; add them"
        raise RetentionInputError(message)
    if frame["table"].n_unique() != frame.height:
        message = "the tables of a retention plan name a table twice; give each one row"
        raise RetentionInputError(message)
    tables = []
    for row in frame.iter_rows(named=True):
        operations = _given(row, "maintenance_operations", costs.maintenance_operations)
        accesses = _given(row, "accesses", costs.accesses)
        size = row["bytes"]
        if size is None or size < 0 or operations < 0 or accesses < 0:
            message = f"table {row['table']!r}: bytes, accesses and operations must be 0 or more"
            raise RetentionInputError(message)
        price = costs.storage_per_gb + costs.maintenance_per_gb * operations
        tables.append(
            Table(
                row["table"],
                size,
                price * size / _GB,
                accesses,
                _given(row, "max_latency_seconds", costs.max_latency_seconds),
                bool(row.get("pinned")),
            )
        )
    return {table.name: table for table in sorted(tables, key=lambda table: table.order)}


def _given(row: Mapping[str, Any], name: str, default: float) -> float:
    value = row.get(name)
    return default if value is None else float(value)


def read_options(
    tables: Mapping[str, Table],
    edges: pl.DataFrame,
    unions: pl.DataFrame | None,
    costs: Costs,
    equalities: Iterable[str],
) -> list[Option]:
    """List the ways to rebuild tables that are exact, quick enough, and save anything.

    Parameters
    ----------
    tables : mapping of str to Table
        From `read_tables`.
    edges : pl.DataFrame
        child, parent, containment, multiset_containment, exact, equality.
    unions : pl.DataFrame or None
        child, parents, multiset_containment.
    costs : Costs
        The prices.
    equalities : iterable of str
        The equalities under which equal rows are good enough to rebuild from.

    Returns
    -------
    list of Option
        Sorted. Left out: pinned children, rebuilds slower than the child's limit, rebuilds that
        cost as much as keeping the child (keeping it is then never worse), unknown tables.
    """
    allowed = set(equalities)
    ways = {
        (row["child"], (row["parent"],))
        for row in edges.iter_rows(named=True)
        if row["containment"] == 1.0
        and row["multiset_containment"] == 1.0
        and row["exact"]
        and row["equality"] in allowed
    }
    if unions is not None:
        ways |= {
            (row["child"], tuple(sorted(row["parents"])))
            for row in unions.iter_rows(named=True)
            if row["multiset_containment"] == 1.0
        }
    options = []
    for child, parents in sorted(ways):
        if child not in tables or any(p not in tables or p == child for p in parents):
            continue
        own = tables[child]
        read = sum(tables[parent].size for parent in parents) / _GB
        write = own.size / _GB
        rebuild = costs.read_per_gb * read + costs.write_per_gb * write
        latency = costs.overhead_seconds
        latency += read / costs.read_gb_per_second + write / costs.write_gb_per_second
        cost = own.accesses * rebuild
        if not own.pinned and latency <= own.max_latency and cost < own.keep_cost:
            options.append(Option(child, parents, rebuild, cost, latency))
    return options
