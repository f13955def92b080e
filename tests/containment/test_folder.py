"""The search of any folder: against plain loops, for every format, and with what a folder can go wrong."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment import source_tables
from assets.containment.folder import FolderSearch, search_folder
from assets.containment.paper_content import PaperSettings
from assets.containment.sampling import Sampling
from assets.ingestion.model import MIB, SourceError

CITIES = ["Addis Ababa", "Lagos, Nigeria", "Kigali", 'the "old" town', "Zürich", "", "N'Djamena"]


def write_csv(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def base(count: int, start: int = 0) -> list[dict[str, str]]:
    return [
        {
            "id": str(i),
            "city": CITIES[i % len(CITIES)],
            "share": repr(i / 7),
            "day": f"2026-{1 + i % 12:02}-{1 + i % 28:02}",
        }
        for i in range(start, start + count)
    ]


def pairs(found: FolderSearch) -> dict[tuple[str, str], float]:
    return {
        (child, parent): share
        for child, parent, share in found.edges.select("child", "parent", "containment").rows()
    }


def names(found: FolderSearch) -> dict[tuple[str, str], str]:
    return {
        (child, parent): name
        for child, parent, name in found.edges.select("child", "parent", "equality").rows()
    }


TEXT_CELLS = st.sampled_from(["", "1", "1.0", "01", "x", "a,b", "é", " "])


@settings(max_examples=30)
@given(st.data())
def test_text_fractions_are_those_of_plain_loops(tmp_path_factory, data):
    lake = tmp_path_factory.mktemp("lake")
    tables = {}
    for number in range(data.draw(st.integers(2, 5))):
        columns = data.draw(st.sampled_from([["a", "b", "c"], ["b", "a"], ["c"], ["a", "b", "d"]]))
        row = st.tuples(*[TEXT_CELLS] * len(columns)).filter(any)  # blank lines are no records
        rows = data.draw(st.lists(row, min_size=1, max_size=8))
        suffix = data.draw(st.sampled_from(["csv", "json", "jsonl"]))
        name = f"t{number}.{suffix}"
        records = [dict(zip(columns, row, strict=True)) for row in rows]
        if suffix == "csv":
            write_csv(lake / name, records)
        else:
            lines = [json.dumps(record) for record in records]
            text = "[" + ",".join(lines) + "]" if suffix == "json" else "\n".join(lines)
            (lake / name).write_text(text)
        tables[name] = records
    expected = {}
    for child, left in tables.items():
        for parent, right in tables.items():
            if child != parent and set(left[0]) <= set(right[0]):
                mine = {tuple(row[c] for c in left[0]) for row in left}
                theirs = {tuple(row[c] for c in left[0]) for row in right}
                if mine & theirs:
                    expected[child, parent] = len(mine & theirs) / len(mine)
    found = search_folder(lake, equality="text", min_containment=1e-9)
    assert pairs(found).items() <= expected.items()
    missing = len(expected) - found.edges.height
    assert missing == found.coincidences  # what is left out is counted


def test_every_format_meets_every_other(tmp_path):
    rows = base(60)
    write_csv(tmp_path / "all.csv", rows)
    write_csv(tmp_path / "deep" / "half.tsv", rows[:30], "\t")
    typed = [
        {**r, "id": int(r["id"]), "share": float(r["share"]), "city": r["city"] or None}
        for r in rows
    ]
    (tmp_path / "some.jsonl").write_text("\n".join(json.dumps(r) for r in typed[10:30]))
    frame = pl.DataFrame(typed).with_columns(pl.col("day").str.to_date())
    frame.write_parquet(tmp_path / "copy.parquet")
    frame.head(20).write_delta(tmp_path / "delta")
    found = pairs(search_folder(tmp_path))
    for child in ("deep/half.tsv", "copy.parquet", "delta"):
        assert found[child, "all.csv"] == 1.0
    assert found["delta", "copy.parquet"] == 1.0
    assert found["all.csv", "copy.parquet"] == 1.0
    # in JSON a day is a string, in the others a date; the rest of the columns is compared elsewhere
    assert not any("some.jsonl" in pair for pair in found)
    by_text = pairs(search_folder(tmp_path, equality="text", min_containment=0.5))
    assert by_text["some.jsonl", "all.csv"] == 1.0
    # without quoting a cell of TSV with a quote in it is another text
    assert 0.8 < by_text["deep/half.tsv", "all.csv"] < 1.0


@pytest.mark.parametrize("equality", ["text", "value", "typed"])
def test_workers_memory_and_held_tables_change_nothing(tmp_path, monkeypatch, equality):
    for number in range(6):
        write_csv(tmp_path / f"{number}.csv", base(40 + number, 5 * number))
    expected = search_folder(tmp_path, equality=equality, min_containment=0.1)
    assert expected.edges.height > 10
    many = search_folder(tmp_path, equality=equality, min_containment=0.1, workers=4)
    assert many.edges.equals(expected.edges)
    monkeypatch.setattr(source_tables, "HELD_BYTES", 0)
    small = search_folder(tmp_path, equality=equality, min_containment=0.1, memory_bytes=1)
    assert small.edges.equals(expected.edges)


def test_the_lake_is_only_read(tmp_path):
    lake = tmp_path / "lake"
    write_csv(lake / "a.csv", base(20))
    write_csv(lake / "b.csv", base(10))
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in [lake, *lake.rglob("*")]}
    search_folder(lake)
    search_folder(lake, cache=tmp_path / "cache")
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in [lake, *lake.rglob("*")]} == before


@pytest.mark.parametrize("damage", ["turned", "cut"])
def test_a_cache_is_used_and_one_that_was_tampered_with_is_not(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(source_tables, "HELD_BYTES", 0)
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    write_csv(lake / "a.csv", base(50))
    write_csv(lake / "b.csv", base(25))
    first = search_folder(lake, equality="text", cache=cache)
    again = search_folder(lake, equality="text", cache=cache)
    assert again.edges.equals(first.edges)
    hashed = again.stages.filter(pl.col("stage") == "content")
    assert hashed.select("tables", "rows", "bytes_read").row(0) == (0, 0, 0)
    assert again.stages["bytes_read"].sum() == 0  # nothing was opened
    assert (again.rows_read, again.set_aside) == (first.rows_read, first.set_aside)
    for file in [*cache.rglob("*.u64"), *cache.rglob("*.json")]:
        raw = bytearray(file.read_bytes())
        raw[3] ^= 1
        file.write_bytes(raw if damage == "turned" else raw[:-8])
    assert search_folder(lake, equality="text", cache=cache).edges.equals(first.edges)


@pytest.mark.parametrize("equality", ["text", "value"])
def test_unreadable_tables_are_told_and_stop_nothing(tmp_path, equality):
    write_csv(tmp_path / "a.csv", base(20))
    write_csv(tmp_path / "b.csv", base(10))
    (tmp_path / "empty.csv").touch()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "binary.xyz").write_bytes(b"\0\1")
    (tmp_path / "no.json").write_text("[1, 2")
    (tmp_path / "header.csv").write_text("id,city,share,day\n")
    (tmp_path / "nul.csv").write_bytes(b"id,ci\0ty\n1,x\n")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_text("id,city\n1,x\n")
    union = pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    )
    with pa.ipc.new_file(tmp_path / "c.arrow", pa.schema([("u", union.type)])) as sink:
        sink.write(pa.record_batch([union], names=["u"]))
    found = search_folder(tmp_path, equality=equality, renamed=True)
    assert pairs(found) == {("b.csv", "a.csv"): 1.0}
    assert set(found.unreadable) == {
        "empty.csv",
        "broken.parquet",
        "binary.xyz",
        "no.json",
        "c.arrow",
        "nul.csv",
        "\\xff.csv",
    }
    with pytest.raises(SourceError, match="does not exist"):
        search_folder(tmp_path / "nowhere")


def test_a_table_that_changes_while_it_is_read_is_left_out(tmp_path, monkeypatch):
    for name in ("a.csv", "b.csv", "c.csv"):
        write_csv(tmp_path / name, base(20))
    monkeypatch.setattr(source_tables, "HELD_BYTES", 0)
    real = source_tables.read

    def writing(source, *args, **settings_):
        stream = real(source, *args, **settings_)
        if source.table == "b.csv":
            os.utime(source.path, ns=(0, 0))
        return stream

    monkeypatch.setattr(source_tables, "read", writing)
    found = search_folder(tmp_path, equality="text")
    assert set(pairs(found)) == {("a.csv", "c.csv"), ("c.csv", "a.csv")}
    assert "changed while it was read" in found.unreadable["b.csv"]


def test_the_strictest_equality_that_holds_is_named(tmp_path):
    rows = base(30)
    write_csv(tmp_path / "a.csv", rows)
    write_csv(tmp_path / "same.csv", rows[:15])
    write_csv(tmp_path / "words.csv", [*[{**r, "share": "n/a"} for r in rows[:1]], *rows])
    frame = pl.DataFrame(
        [
            {**r, "id": int(r["id"]), "share": float(r["share"]), "city": r["city"] or None}
            for r in rows
        ]
    ).with_columns(pl.col("day").str.to_date(), pl.col("id").cast(pl.Int32))
    frame.write_parquet(tmp_path / "narrow.parquet")
    by_text = names(search_folder(tmp_path, equality="text", min_containment=0.5))
    assert by_text["same.csv", "a.csv"] == "typed"
    assert by_text["a.csv", "words.csv"] == "text"  # share is no number there
    by_value = names(search_folder(tmp_path, min_containment=0.5))
    assert by_value["same.csv", "a.csv"] == "typed"
    assert by_value["narrow.parquet", "a.csv"] == "value"  # int32 and int64
    by_type = names(search_folder(tmp_path, equality="typed", min_containment=0.5))
    assert by_type == {pair: "typed" for pair, name in by_value.items() if name == "typed"}


def test_an_empty_text_is_null_by_text_only(tmp_path):
    city = pl.Series(["a long name of a city", "", "x"] * 5)
    frame = pl.DataFrame({"n": range(100, 115), "city": city, "k": ["some key"] * 15})
    frame.write_parquet(tmp_path / "empty.parquet")
    frame.with_columns(pl.col("city").replace("", None)).write_parquet(tmp_path / "null.parquet")
    pair = ("empty.parquet", "null.parquet")
    assert pairs(search_folder(tmp_path, equality="text")) == {pair: 1.0, pair[::-1]: 1.0}
    assert names(search_folder(tmp_path, equality="text"))[pair] == "text"
    assert pairs(search_folder(tmp_path, min_containment=0.1))[pair] == 2 / 3


def test_null_nan_and_minus_zero_are_equal_to_themselves(tmp_path):
    numbers = [float("nan"), 0.0, None, 1.5, *range(100, 110)]
    texts = [f"a text of some length {i}" for i in range(len(numbers))]
    pq.write_table(pa.table({"x": numbers, "t": texts}), tmp_path / "a.parquet")
    numbers[1] = -0.0
    pq.write_table(pa.table({"x": numbers, "t": texts}), tmp_path / "b.parquet")
    assert set(pairs(search_folder(tmp_path, equality="typed")).values()) == {1.0}
    assert set(pairs(search_folder(tmp_path)).values()) == {1.0}


@pytest.mark.parametrize("equality", ["value", "typed"])
def test_a_column_of_nothing_but_null_fits_any_type(tmp_path, equality):
    texts = [f"a text of some length {i}" for i in range(20)]
    nothing = pa.table({"t": texts[:10], "x": pa.array([None] * 10, pa.float64())})
    pq.write_table(nothing, tmp_path / "nothing.parquet")
    some = pa.table({"t": texts, "x": pa.array([None] * 10 + list(range(10)), pa.int32())})
    pq.write_table(some, tmp_path / "some.parquet")
    found = search_folder(tmp_path, equality=equality)
    assert names(found) == {("nothing.parquet", "some.parquet"): "typed"}


def test_generic_tables_do_not_flood_the_result(tmp_path):
    for number in range(12):
        write_csv(tmp_path / f"ids{number}.csv", [{"id": str(i)} for i in range(5 + number)])
        write_csv(tmp_path / f"big{number}.csv", base(40, number))
    found = search_folder(tmp_path, min_containment=0.9)
    assert not any(child.startswith("ids") for child, _ in pairs(found))
    assert found.coincidences > 50


def test_evidence_does_not_depend_on_batches(tmp_path, monkeypatch):
    # the ends of the range come first: alone they would tell more than the whole list does
    numbers = [1, 10**9, *range(2, 3000)]
    pq.write_table(pa.table({"n": numbers}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": numbers, "m": numbers}), tmp_path / "b.parquet")
    expected = search_folder(tmp_path)
    monkeypatch.setattr(source_tables, "HELD_BYTES", 0)
    for rows in (1, 7, 1 << 13):
        monkeypatch.setattr(source_tables, "_LEAST_ROWS", rows)
        monkeypatch.setattr(source_tables, "_MOST_ROWS", rows)
        found = search_folder(tmp_path)
        assert found.edges.equals(expected.edges)
        assert found.coincidences == expected.coincidences


def test_texts_that_are_not_utf8_stop_nothing(tmp_path):
    """A writer that checks nothing stores them; rows are compared by their bytes."""
    texts = pa.array([b"abc\xff\xfe", b"a fine text of some length"])
    texts = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    for name in ("a", "b"):
        pq.write_table(pa.table({"t": texts}), tmp_path / f"{name}.parquet")
    plain = {"t": ["the text of one row", "and that of another"]}
    pq.write_table(pa.table(plain), tmp_path / "c.parquet")
    write_csv(tmp_path / "d.csv", [{"t": text} for text in plain["t"]])
    found = search_folder(tmp_path)
    names = ("a.parquet", "b.parquet"), ("c.parquet", "d.csv")
    assert set(pairs(found)) == {pair for x, y in names for pair in ((x, y), (y, x))}
    assert not found.unreadable


def test_wide_tables_and_structs(tmp_path):
    wide = {f"c{i}": [f"{i} first", f"{i} second", f"{i} third"] for i in range(5000)}
    pq.write_table(pa.table(wide), tmp_path / "wide.parquet")
    pq.write_table(
        pa.table(wide).slice(1).select([f"c{i}" for i in range(0, 5000, 7)]),
        tmp_path / "narrow.parquet",
    )
    place = [{"city": f"a city with number {i}", "zip": i} for i in range(20)]
    pq.write_table(pa.table({"place": place, "n": range(20)}), tmp_path / "struct.parquet")
    flat = pa.table({"place.city": [p["city"] for p in place[:12]], "n": range(12)})
    pq.write_table(flat, tmp_path / "flat.parquet")
    found = pairs(search_folder(tmp_path))
    assert found == {
        ("narrow.parquet", "wide.parquet"): 1.0,
        ("flat.parquet", "struct.parquet"): 1.0,
    }


def test_records_set_aside_are_counted(tmp_path):
    write_csv(tmp_path / "a.csv", base(20))
    write_csv(tmp_path / "b.csv", base(20))
    with (tmp_path / "b.csv").open("a") as file:
        file.write("one cell\n" * 5)
    found = search_folder(tmp_path)
    assert found.set_aside == {"b.csv": 5}
    assert found.set_aside_share == pytest.approx(5 / 45)
    assert search_folder(tmp_path, memory_bytes=64 * MIB).set_aside == {"b.csv": 5}


def test_tables_without_columns_or_rows_have_no_edges(tmp_path):
    write_csv(tmp_path / "a.csv", base(20))
    pq.write_table(pa.table({}), tmp_path / "nothing.parquet")
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    pl.DataFrame({"id": []}, schema={"id": pl.Int64}).write_delta(tmp_path / "empty")
    (tmp_path / "header.csv").write_text("id,city\n")
    for settings_ in (
        {},
        {"equality": "text"},
        {"renamed": True, "unions": True, "versions": True},
    ):
        found = search_folder(tmp_path, min_containment=0.1, **settings_)
        assert found.edges.is_empty()
        assert found.unions.is_empty()
    assert search_folder(tmp_path, paper=PaperSettings()).edges.is_empty()
    assert search_folder(tmp_path, sampling=Sampling(10)).edges.is_empty()


def test_a_delta_table_that_moves_on_is_read_at_the_version_that_was_found(tmp_path, monkeypatch):
    frame = pl.DataFrame({"n": range(40), "t": [f"the text of row {i}" for i in range(40)]})
    frame.write_delta(tmp_path / "d")
    frame[:20].write_parquet(tmp_path / "part.parquet")
    real = source_tables.read

    def writing(source, *args, **settings_):
        if source.table == "d":
            frame.with_columns(n=pl.col("n") + 100).write_delta(tmp_path / "d", mode="overwrite")
        return real(source, *args, **settings_)

    monkeypatch.setattr(source_tables, "read", writing)
    found = search_folder(tmp_path)
    assert pairs(found) == {("part.parquet", "d"): 1.0}
    assert found.edges["parent_rows"].to_list() == [40]


def test_a_parquet_file_that_changes_between_listing_and_reading_is_left_out(tmp_path, monkeypatch):
    frame = pl.DataFrame({"n": range(40), "t": [f"the text of row {i}" for i in range(40)]})
    for name in ("a", "b", "c"):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    real = source_tables.SourceTable.cells

    def writing(self, *args, **settings_):
        if self.source.table == "b.parquet":
            os.utime(self.source.path, ns=(0, 0))
        yield from real(self, *args, **settings_)

    monkeypatch.setattr(source_tables.SourceTable, "cells", writing)
    found = search_folder(tmp_path)
    assert set(pairs(found)) == {("a.parquet", "c.parquet"), ("c.parquet", "a.parquet")}
    assert "changed while it was read" in found.unreadable["b.parquet"]


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_data_file_that_cannot_be_read_sets_its_table_apart(tmp_path, damage):
    frame = pl.DataFrame({"n": range(40), "t": [f"the text of row {i}" for i in range(40)]})
    for name in ("a", "b", "c"):
        frame.write_delta(tmp_path / name)
    (file,) = (tmp_path / "b").glob("*.parquet")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    found = search_folder(tmp_path, workers=2)
    assert set(pairs(found)) == {("a", "c"), ("c", "a")}
    assert set(found.unreadable) == {"b"}
    assert str(file.name) in found.unreadable["b"] or "unreadable Parquet" in found.unreadable["b"]
