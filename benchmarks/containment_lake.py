"""Seeded lakes of Parquet tables that are derived from one another, for the containment benchmarks.

A family is a base table and tables made of it: filters (range, equality, IN), heads, samples, time
windows, shuffles, exact copies, repeated rows, near copies that hold k rows of their own, columns shuffled
against each other, other rows within the same bounds. Every eighth table has a projected child beside it.
Columns: integers, floats, dates, instants, strings of few and of many values, 3 % NULL. Hostile to statistics:
strings that share more than 64 characters, NaN, -0.0, columns of NULL only, files without statistics,
files of two writers, and microseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Draw = np.random.Generator
Rows = npt.NDArray[np.int64]

NULL_SHARE = 0.03
_EPOCH = dt.date(1970, 1, 1)
_NEAR = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True)
class Lake:
    """Tables by family; each family has one schema, but for its projected children."""

    families: list[list[Path]]

    @property
    def tables(self) -> list[Path]:
        """All tables."""
        return [path for family in self.families for path in family]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(path.stat().st_size for path in self.tables)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(pq.read_metadata(path).num_rows for path in self.tables)

    def columns(self) -> dict[Path, tuple[str, ...]]:
        """Return the sorted column names by table."""
        return {path: tuple(sorted(pq.read_schema(path).names)) for path in self.tables}

    def pairs(self) -> list[tuple[Path, Path]]:
        """Return every (child, parent) whose columns allow containment."""
        found = []
        columns = self.columns()
        for family in self.families:
            names = {path: frozenset(columns[path]) for path in family}
            found += [(c, p) for c in family for p in family if c != p and names[c] <= names[p]]
        return found


def lake_of(folder: Path) -> Lake:
    """Return what `build_lake` wrote into a folder."""
    families: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        families.setdefault(path.name.split("_")[0], []).append(path)
    return Lake(list(families.values()))


def build_lake(
    folder: Path,
    *,
    families: Sequence[tuple[int, int]],
    size: int,
    seed: int = 0,
) -> Lake:
    """Write a lake.

    Parameters
    ----------
    folder
        Must exist.
    families
        For each family least and most rows of a table; sizes are spread evenly over their square
        roots, so that the mean is about a third of the most.
    size
        Tables to a schema.
    seed
        The same seed gives the same tables.
    """
    return Lake(
        [
            _family(folder, number, size, rows, np.random.default_rng([seed, number]))
            for number, rows in enumerate(families)
        ]
    )


def base_table(rows: int, family: int, draw: Draw) -> pa.Table:
    """Return a table of 8 to 15 columns, whose names tell its family."""
    words = np.array([f"town {i} of some province" for i in range(200)])
    codes = draw.integers(0, 2**48, rows)
    instants = 1_600_000_000_000_000 + draw.integers(0, 10**14, rows)
    rates = draw.normal(size=rows)
    rates[draw.random(rows) < 0.01] = np.nan
    rates[draw.random(rows) < 0.01] = -0.0
    columns: dict[str, pa.Array] = {
        "id": pa.array(draw.permutation(rows)),
        "amount": pa.array(draw.integers(0, 10**7, rows) / 100),
        "day": pa.array(draw.integers(17_000, 20_000, rows).astype(np.int32), pa.date32()),
        "town": pa.array(words[draw.integers(0, 200, rows)]),
        "code": pa.array(np.char.mod("%012x", codes)),
        "count": pa.array(draw.integers(0, 50, rows).astype(np.int32)),
        "rate": pa.array(rates),
        "at": pa.array(instants, pa.timestamp("us", "UTC")),
        "flag": pa.array(draw.random(rows) < 0.5),
        "state": pa.array(np.array(["new", "open", "paid", "sent"])[draw.integers(0, 4, rows)]),
        "units": pa.array(draw.integers(-1000, 1000, rows)),
        "score": pa.array(draw.random(rows).astype(np.float32)),
        "path": pa.array(np.char.add("x" * 70, draw.integers(0, 300, rows).astype(str))),
        "nothing": pa.nulls(rows, pa.int64()),
        "customer": pa.array(draw.integers(0, max(rows // 10, 1), rows)),
    }
    names = list(columns)[: 8 + (5 * family + 4) % 8]
    arrays = []
    for name in names:
        hidden = pa.array(draw.random(rows) < NULL_SHARE)
        column = columns[name]
        arrays.append(column if name == "nothing" else pc.if_else(hidden, pa.scalar(None), column))
    return pa.table(dict(zip([f"f{family}_{name}" for name in names], arrays, strict=True)))


def _family(folder: Path, number: int, size: int, rows: tuple[int, int], draw: Draw) -> list[Path]:
    spread = (np.linspace(rows[0] ** 0.5, rows[1] ** 0.5, size) ** 2).round().astype(int)
    most = int(spread[-1])
    base = base_table(most, number, draw)
    foreign = base_table(most, number, draw)  # other rows within the same bounds
    paths = []
    last = base
    for i, height in enumerate(draw.permutation(spread).tolist()):
        make = _TRANSFORMATIONS[(i + number) % len(_TRANSFORMATIONS)]
        table = last if i % 8 == 7 else make(base, foreign, height, draw)
        last = table
        paths.append(folder / f"f{number:03}_{i:03}.parquet")
        _write(table, paths[-1], i)
        if i % 8 == 3:
            paths.append(folder / f"f{number:03}_{i:03}_projected.parquet")
            _write(table.select(base.column_names[:-2]), paths[-1], i + 1)
    return paths


def _sorted_by(table: pa.Table, suffix: str) -> pa.Table:
    name = next(name for name in table.column_names if name.endswith(suffix))
    return table.sort_by(name)


def _column(table: pa.Table, suffix: str) -> pl.Series:
    name = next(name for name in table.column_names if name.endswith(suffix))
    return pl.Series(table.column(name))


def _filtered(table: pa.Table, mask: pl.Series, height: int) -> pa.Table:
    return table.filter(pa.array(mask.fill_null(value=False).to_numpy())).slice(0, height)


def _range(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    start = int(draw.integers(0, max(base.num_rows // 4, 1)))
    return _filtered(base, _column(base, "_id") >= start, height)


def _equal(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    return _filtered(base, _column(base, "_count") >= int(draw.integers(0, 10)), height)


def _in(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    towns = _column(base, "_town")
    picked = towns.drop_nulls().unique().sort().sample(fraction=0.7, seed=int(draw.integers(2**31)))
    return _filtered(base, towns.is_in(picked.implode()), height)


def _head(base: pa.Table, _: pa.Table, height: int, __: Draw) -> pa.Table:
    return base.slice(0, height)


def _window(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    start = int(draw.integers(0, base.num_rows - height + 1))
    return _sorted_by(base, "_day").slice(start, height)


def _sample(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    return base.take(pa.array(draw.permutation(base.num_rows)[:height]))


def _shuffled(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    reordered = base.select(draw.permutation(base.column_names).tolist())
    return reordered.slice(0, height).take(pa.array(draw.permutation(height)))


def _repeated(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    return base.take(pa.array(draw.integers(0, max(height // 2, 1), height)))


def _near(base: pa.Table, foreign: pa.Table, height: int, draw: Draw) -> pa.Table:
    share = (*_NEAR, 1 - 1 / height)[int(draw.integers(len(_NEAR) + 1))]
    own = round(height * (1 - share))
    return pa.concat_tables([base.slice(0, height - own), foreign.slice(0, own)])


def _crossed(base: pa.Table, _: pa.Table, height: int, draw: Draw) -> pa.Table:
    part = base.slice(0, height)
    order = pa.array(draw.permutation(height))
    return part.set_column(0, part.column_names[0], part.column(0).take(order))


def _within(_: pa.Table, foreign: pa.Table, height: int, __: Draw) -> pa.Table:
    return foreign.slice(0, height)


_TRANSFORMATIONS: Sequence[Callable[[pa.Table, pa.Table, int, Draw], pa.Table]] = (
    _range,
    _near,
    _sample,
    _equal,
    _shuffled,
    _window,
    _repeated,
    _in,
    _near,
    _head,
    _crossed,
    _within,
)


def _write(table: pa.Table, path: Path, number: int) -> None:
    """Write in one of the ways in which files differ: writer, codec, statistics, row groups."""
    way = number % 4
    if way == 3:
        pl.DataFrame(table).write_parquet(path, compression="zstd", compression_level=1)
        return
    pq.write_table(
        table,
        path,
        compression=("snappy", "zstd", "snappy")[way],
        write_statistics=way != 2,
        row_group_size=(1 << 20, 1 << 16, 1 << 17)[way],
    )
