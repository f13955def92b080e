"""Random tables, written in every format and compression, are read back equal."""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.ingestion.discover import discover
from assets.ingestion.infer import infer_types, typed
from assets.ingestion.model import POSITION_COLUMN, ReadOptions
from assets.ingestion.read import read
from tests.ingestion.helpers import compressed, read_all, source_of

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
CELL = st.one_of(st.none(), st.just(""), TEXT)
SCALARS = {
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "s": TEXT,
    "b": st.booleans(),
    "l": st.lists(st.integers(-5, 5), max_size=3),
}
SUFFIXES = st.sampled_from(["", ".gz", ".zst"])
RELAXED = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip


def frames(columns):
    row = st.fixed_dictionaries({name: st.none() | SCALARS[name] for name in columns})
    return st.lists(row, min_size=1, max_size=12)


@RELAXED
@given(
    st.lists(st.tuples(CELL, CELL), max_size=15), SUFFIXES, st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.sampled_from(["csv", "tsv"]),
    st.integers(1, 20),
)  # fmt: skip
def test_csv(rows, suffix, end, encoding, kind, batch_rows):
    out = io.StringIO()
    delimiter = "," if kind == "csv" else "\t"
    for row in [("left", "right"), *rows]:
        cells = ["" if c is None else '"' + c.replace('"', '""') + '"' for c in row]
        out.write(delimiter.join(cells) + end)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{kind}{suffix}"
        path.write_bytes(compressed(out.getvalue().encode(encoding), suffix))
        got, stream = read_all(source_of(path), batch_rows=batch_rows)
    assert [tuple(row.values()) for row in got] == rows
    assert not stream.rejects


@RELAXED
@given(frames("ifsbl"), SUFFIXES, st.sampled_from(["jsonl", "json", "parquet"]), st.integers(1, 20))
def test_typed_formats(rows, suffix, kind, batch_rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{kind}{suffix}"
        if kind == "parquet":
            sink = pa.BufferOutputStream()
            types = dict(zip("ifsbl", [pa.int64(), pa.float64(), pa.large_string(), pa.bool_(),
                                       pa.large_list(pa.int64())], strict=True))  # fmt: skip
            pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(types)), sink)
            content = sink.getvalue().to_pybytes()
        elif kind == "json":
            content = json.dumps(rows).encode()
        else:
            content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
        path.write_bytes(compressed(content, suffix))
        got, stream = read_all(source_of(path), batch_rows=batch_rows)
    assert got == rows
    assert not stream.rejects


@RELAXED
@given(st.lists(TEXT.map(lambda t: "".join(t.split("\r"))), min_size=1, max_size=9), SUFFIXES)
def test_text(parts, suffix):
    content = "\n".join(parts)
    lines = content.split("\n")
    if lines[-1] == "":
        lines.pop()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.txt{suffix}"
        path.write_bytes(compressed(content.encode(), suffix))
        got, _ = read_all(source_of(path), ReadOptions(text="line"))
        whole, _ = read_all(source_of(path))
    has_mark = content.startswith("\ufeff")
    assert [row["text"] for row in whole] == [content[has_mark:]]
    assert "\n".join(row["text"] for row in got) == "\n".join(lines)[has_mark:]


@RELAXED
@given(frames("ifs"), st.integers(1, 5))
def test_delta_and_parquet_folders(rows, parts):
    frame = pl.DataFrame(rows, schema={"i": pl.Int64, "f": pl.Float64, "s": pl.String})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "p").mkdir()
        for part in range(parts):
            frame[part::parts].write_parquet(root / "p" / f"{part}.parquet")
        frame.write_delta(root / "d")
        found = discover(root)
        assert [source.table for source in found.sources] == ["d", "p"]
        delta, _ = read_all(found.sources[0], batch_rows=3)
        parquet, _ = read_all(found.sources[1], batch_rows=3)
    assert delta == rows
    assert parquet == [row for part in range(parts) for row in rows[part::parts]]


@RELAXED
@given(frames("ifb"))
def test_landed_strings_get_their_types_back(rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow("ifb")
    for row in rows:
        floats = None if row["f"] is None else repr(row["f"])
        writer.writerow([row["i"], floats, row["b"]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(out.getvalue())
        batches = list(read(source_of(path)))
        types = infer_types(batches, ["i", "f", "b"])
        table = pl.from_arrow(pa.Table.from_batches(batches)) if batches else pl.DataFrame()
        got = typed(table, types)
    for name, kind in (("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_())):
        values = [row[name] for row in rows]
        if any(value is not None for value in values):
            assert types[name] == kind
            assert all(
                a == b and math.copysign(1, a or 0) == math.copysign(1, b or 0)
                for a, b in zip(got[name].to_list(), values, strict=True)
                if a is not None or b is not None
            )


@pytest.mark.parametrize("batch_rows", [1, 7, 8192])
def test_positions_do_not_depend_on_batches(tmp_path, batch_rows):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i},x\n{i}\n" for i in range(50)))
    batches = list(read(source_of(path), batch_rows=batch_rows))
    assert all(batch.num_rows <= batch_rows for batch in batches)
    positions = [p for batch in batches for p in batch.column(POSITION_COLUMN).to_pylist()]
    assert positions == list(range(0, 100, 2))
