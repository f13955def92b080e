"""Cells as written: rows of any width, any bytes, JSON values as their text; nothing is rejected for it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ingestion.csv_reader import read_csv
from assets.ingestion.model import ReadOptions
from assets.ingestion.read import read
from tests.ingestion.helpers import rows_of, source_of
from tests.ingestion.test_csv_twins import BODIES, HEADERS


def cells_of(path: Path, **settings_) -> list[tuple]:
    stream = read_csv(source_of(path), ReadOptions(), as_text=True, **settings_)
    rows = [tuple(row.values()) for row in rows_of(stream)]
    return [rows, stream.rejects, stream.error]


@settings(max_examples=250)
@given(HEADERS, BODIES, st.integers(1, 50), st.integers(1, 5))
def test_the_parsers_agree_for_any_bytes(header, body, block_bytes, batch_rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(header + body)
        expected = cells_of(path, careful=True)
        assert cells_of(path) == expected
        assert cells_of(path, block_bytes=block_bytes, batch_rows=batch_rows) == expected
        assert all("never closes" in reject.reason for reject in expected[1])


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"1,2,3\n4,5,6\n", [("1", "2"), ("4", "5")]),
        (b"1\n2\n", [("1", None), ("2", None)]),
        (b"1,2\n3\n4,5,6\n", [("1", "2"), ("3", None), ("4", "5")]),
        (b"\xff,\xc3(\n", [("\ufffd", "\ufffd(")]),
    ],
)
def test_rows_of_another_width_and_ill_formed_bytes_are_kept(tmp_path, body, rows):
    path = tmp_path / "t.csv"
    path.write_bytes(b"h,k\n" + body)
    stream = read(source_of(path), as_text=True)
    batches = [batch.to_pydict() for batch in stream]
    found = [pair for batch in batches for pair in zip(batch["h"], batch["k"], strict=True)]
    assert found == rows
    assert stream.rejects == []
    assert bool(stream.notes) == (b"\xff" not in body)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_values_are_their_text(tmp_path, suffix):
    records = [
        {"a": 1, "b": "x", "c": [1, "é"]},
        {"a": 1.0, "b": "1", "c": None},
        {"a": True, "b": '"q"', "c": {"k": 2}},
    ]
    path = tmp_path / f"t.{suffix}"
    lines = [json.dumps(record) for record in records]
    path.write_text("[" + ",".join(lines) + "]" if suffix == "json" else "\n".join(lines))
    (batch,) = [batch.to_pydict() for batch in read(source_of(path), as_text=True)]
    assert batch["a"] == ["1", "1.0", "true"]
    assert batch["b"] == ["x", "1", '"q"']
    assert batch["c"] == ['[1,"é"]', None, '{"k":2}']
