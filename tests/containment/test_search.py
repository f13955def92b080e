"""The search of a lake against brute force, and what it must not lose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment import edges
from assets.containment.described import Described, described_columns, described_statistics
from assets.containment.hash_store import HashStore
from assets.containment.search import find_edges
from assets.ingestion.summaries import TableSummary

cells = {
    "a": st.none() | st.integers(0, 3),
    "b": st.none() | st.sampled_from(["", "x", "y" * 40]),
    "c": st.none() | st.sampled_from([float("nan"), 0.0, -0.0, 1.5]),
}
SCHEMA = {"a": pl.Int64, "b": pl.String, "c": pl.Float64}


def search(tables: dict[str, pl.DataFrame], cache: Path, **settings_: Any) -> pl.DataFrame:
    columns = pl.concat(
        [
            pl.DataFrame(
                [
                    (name, c, i, str(s.type), s.nulls, s.min, s.max, s.bounds_exact)
                    for i, (c, s) in enumerate(_summary(frame).items())
                ],
                schema={
                    "table": pl.String,
                    "column": pl.String,
                    "ordinal": pl.Int64,
                    "type": pl.String,
                    "nulls": pl.Int64,
                    "min": pl.String,
                    "max": pl.String,
                    "bounds_exact": pl.Boolean,
                },
                orient="row",
            )
            for name, frame in tables.items()
        ]
    )
    rows = {name: frame.height for name, frame in tables.items()}
    facts, statistics = described_columns(columns, rows), described_statistics(columns, rows)
    keys = {n: {c: fact.family for c, fact in own.items()} for n, own in facts.items()}
    described = {
        n: Described(n, str(hash(f.write_json())), f.height, keys[n], facts[n], statistics[n])
        for n, f in tables.items()
    }

    def read(name: str, names: Sequence[str]) -> Iterator[pa.Table]:
        yield _arrow(tables[name]).select(list(names))

    return find_edges(described, HashStore(described, read, "value", cache), **settings_).edges


def _arrow(frame: pl.DataFrame) -> pa.Table:
    table = frame.to_arrow()
    return table.cast(
        pa.schema(
            [(f.name, pa.string() if "string" in str(f.type) else f.type) for f in table.schema]
        )
    )


def _summary(frame: pl.DataFrame) -> dict[str, Any]:
    table = _arrow(frame)
    summary = TableSummary(table.schema)
    summary.update(table)
    return summary.result()


def brute_force(tables: dict[str, pl.DataFrame], least: float) -> dict[tuple[str, str], float]:
    found = {}
    for child, left in tables.items():
        for parent, right in tables.items():
            if (
                child == parent
                or left.is_empty()
                or right.is_empty()
                or not set(left.columns) <= set(right.columns)
            ):
                continue
            rows = set(_rows(left, left.columns))
            share = len(rows & set(_rows(right, left.columns))) / len(rows)
            if share >= least:
                found[child, parent] = share
    return found


def _rows(frame: pl.DataFrame, names: list[str]) -> list[tuple[Any, ...]]:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return "NaN" if value != value else value + 0.0
        return value

    return [tuple(plain(v) for v in row) for row in frame.select(names).iter_rows()]


@given(st.data())
@settings(max_examples=150)
def test_edges_are_those_of_brute_force(tmp_path_factory: Any, data: st.DataObject) -> None:
    tables = {}
    for number in range(data.draw(st.integers(2, 5))):
        names = data.draw(st.sampled_from([["a", "b", "c"], ["a", "b"], ["b", "c"]]))
        rows = data.draw(
            st.lists(st.fixed_dictionaries({n: cells[n] for n in names}), min_size=1, max_size=6)
        )
        tables[f"t{number}"] = pl.DataFrame(
            rows, schema={n: SCHEMA[n] for n in names}, orient="row"
        )
    least = data.draw(st.sampled_from([0.01, 0.5, 1.0]))
    # tables of a few plain values are wanted here, so nothing is left out as a coincidence
    with mock.patch.object(edges, "needs_evidence", return_value=False):
        found = search(tables, tmp_path_factory.mktemp("c"), min_containment=least)
    got = {(c, p): s for c, p, s in found.select("child", "parent", "containment").iter_rows()}
    assert got == brute_force(tables, least)
    for child, parent, witness in found.select("child", "parent", "witness").iter_rows():
        names = tables[child].columns
        held = _rows(tables[parent], names)
        assert (witness is None) == (got[child, parent] == 1.0)
        assert witness is None or _rows(tables[child], names)[witness] not in held


def test_partial_edges_beyond_the_parents_range_are_kept(tmp_path: Path) -> None:
    parent = pl.DataFrame({"n": range(100), "s": [f"text number {i}" for i in range(100)]})
    child = pl.DataFrame({"n": range(50, 120), "s": [f"text number {i}" for i in range(50, 120)]})
    found = search({"p": parent, "c": child}, tmp_path)
    got = {(c, p): s for c, p, s in found.select("child", "parent", "containment").iter_rows()}
    assert got == {("c", "p"): 50 / 70, ("p", "c"): 0.5}
    assert search({"p": parent, "c": child}, tmp_path, min_containment=1.0).is_empty()
    missing = {
        c: child["n"][row] for c, row in found.select("child", "witness").iter_rows() if c == "c"
    }
    assert missing["c"] >= 100
    (row,) = found.filter(pl.col("child") == "p")["witness"]
    assert parent["n"][row] < 50


def test_a_table_is_hashed_once_and_then_never_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(30), "s": [f"text number {i}" for i in range(30)]})
    first = search({"a": frame, "b": frame.head(20)}, tmp_path)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.u64")}
    assert search({"a": frame, "b": frame.head(20)}, tmp_path).equals(first)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.u64")} == files
