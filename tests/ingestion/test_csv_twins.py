"""The block parser, the careful parser and the counter agree, on any bytes and any block size."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ingestion.count import independent_count
from assets.ingestion.csv_reader import read_csv
from assets.ingestion.model import ReadOptions, SourceError
from tests.ingestion.helpers import compressed, rows_of, source_of

TOKENS = st.sampled_from(
    [b",", b",", b"\n", b"\n", b"\r\n", b"\r", b'"', b'"', b'""', b"a", b"bc", b" ", b"\0", b"\xff",
     "ü".encode(), b"1", b'","', b'\n"', b'"\n']
)  # fmt: skip
BODIES = st.lists(TOKENS, max_size=40).map(b"".join)
HEADERS = st.sampled_from([b"h\n", b"h,k\n", b"h,k\r", b'h,"k"\r\n', b"h,,k\n"])


def outcome(source, options, **settings_):
    stream = read_csv(source, options, **settings_)
    rows = rows_of(stream)
    return rows, stream.rejects, stream.error


@settings(max_examples=250)
@given(HEADERS, BODIES, st.integers(1, 50), st.integers(1, 5), st.sampled_from(['"', "", "a"]))
def test_any_bytes_any_block_size(header, body, block_bytes, batch_rows, quote):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(header + body)
        source = source_of(path)
        options = ReadOptions(quote=quote)
        expected = outcome(source, options, careful=True)
        assert outcome(source, options) == expected
        assert outcome(source, options, block_bytes=block_bytes, batch_rows=batch_rows) == expected
        rows, rejects, _ = expected
        assert len(rows) + len(rejects) == independent_count(source, options)


@pytest.mark.parametrize("block_bytes", [1, 2, 4, 5, 100])
@pytest.mark.parametrize("start", [b"", b"\r\n\r\n\n"])
def test_the_limit_of_a_header_does_not_depend_on_blocks(tmp_path, start, block_bytes):
    path = tmp_path / "t.csv"
    path.write_bytes(start + b'h,"k"\r\n1,2\r\n')
    source = source_of(path)
    rows, _, _ = outcome(source, ReadOptions(max_record_bytes=5), block_bytes=block_bytes)
    assert len(rows) == 1
    with pytest.raises(SourceError, match=r"the header is longer than max_record_bytes \(4\)"):
        outcome(source, ReadOptions(max_record_bytes=4), block_bytes=block_bytes)


@settings(max_examples=200)
@given(HEADERS, BODIES, st.integers(1, 50), st.integers(4, 30))
def test_record_limit_does_not_depend_on_blocks(header, body, block_bytes, limit):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(header + body)
        source = source_of(path)
        options = ReadOptions(max_record_bytes=limit)
        if len(header.rstrip(b"\r\n")) > limit:
            for settings_ in ({"careful": True}, {"block_bytes": block_bytes}):
                with pytest.raises(SourceError, match="the header is longer"):
                    outcome(source, options, **settings_)
            return
        rows, rejects, _ = outcome(source, options, careful=True)
        small = outcome(source, options, block_bytes=block_bytes)
        assert small[0] == rows
        assert [(r.position, r.reason) for r in small[1]] == [
            (r.position, r.reason) for r in rejects
        ]
        assert len(rows) + len(rejects) == independent_count(source, options)


@settings(max_examples=150)
@given(HEADERS, BODIES, st.integers(1, 40), st.sampled_from([".gz", ".zst"]), st.integers(1, 30))
def test_cut_archives_conserve(header, body, block_bytes, suffix, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.csv{suffix}"
        path.write_bytes(compressed(header + body, suffix)[:-cut])
        source = source_of(path)
        options = ReadOptions()
        try:
            expected = outcome(source, options, careful=True)
        except SourceError:
            with pytest.raises(SourceError):
                read_csv(source, options)
            return
        small = outcome(source, options, block_bytes=block_bytes)
        assert small == expected == outcome(source, options)
        placed = sum(reject.position is not None for reject in expected[1])
        assert len(expected[0]) + placed == independent_count(source, options)


@settings(max_examples=200)
@given(BODIES)
def test_cells_agree_with_the_standard_library(body):
    body = body.replace(b"\xff", b"x")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(b"h,k\n" + body)
        rows, rejects, _ = outcome(source_of(path), ReadOptions())
    lines = [row for row in csv.reader(io.StringIO(body.decode(), newline="")) if row]
    unclosed = any("never closes" in reject.reason for reject in rejects)
    whole = lines[:-1] if unclosed else lines
    assert [[v or "" for v in row.values()] for row in rows] == [r for r in whole if len(r) == 2]
