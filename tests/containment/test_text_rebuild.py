"""Text files come back byte for byte; how well they are predicted decides only the patch."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from assets.containment.text_rebuild import (
    apply_patch,
    make_patch,
    manner_of,
    pack,
    packing_of,
    predict,
)
from assets.ingestion.model import Format, ReadOptions

ROWS = pa.table({"a": ["1", "2", None], "b": ['x, "y"', "plain", ""]})
OBJECTS = pa.table({"n": [1, 2, None], "s": ["é", 'q"', "z"]})


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_patch_makes_the_content_of_any_prediction(prediction: bytes, content: bytes) -> None:
    assert apply_patch(prediction, make_patch(prediction, content)) == content


def test_a_patch_of_one_changed_cell_is_small() -> None:
    lines = [f"{i},{i * i * 7919 % 104729},word{i % 97}\n" for i in range(20_000)]
    prediction = "".join(lines).encode()
    lines[12_345] = "changed\n"
    patch = make_patch(prediction, "".join(lines).encode())
    assert patch is not None
    assert len(patch) < 2_000


@pytest.mark.parametrize(
    ("kind", "rows", "content"),
    [
        ("csv", ROWS, b'a,b\n1,"x, ""y"""\n2,plain\n,\n'),
        ("csv", ROWS, b'a,b\r\n1,"x, ""y"""\r\n2,plain\r\n,\r\n'),
        ("csv", ROWS, b'\xef\xbb\xbfa,b\n1,"x, ""y"""\n2,plain\n,\n'),
        ("csv", ROWS.slice(0, 2), b'"a","b"\n"1","x, ""y"""\n"2","plain"\n'),
        ("tsv", ROWS.slice(1, 1), b"a\tb\n2\tplain\n"),
        ("jsonl", OBJECTS.slice(0, 2), '{"n": 1, "s": "é"}\n{"n": 2, "s": "q\\""}\n'.encode()),
        ("jsonl", OBJECTS, b'{"n":1,"s":"\\u00e9"}\n{"n":2,"s":"q\\""}\n{"s":"z"}'),
        ("json", OBJECTS.slice(1, 1), b'[\n{"n": 2, "s": "q\\""}\n]\n'),
        ("text", pa.table({"text": ["one", "two"]}), b"one\ntwo\n"),
    ],
)
def test_usual_manners_need_no_patch(kind: Format, rows: pa.Table, content: bytes) -> None:
    manner = manner_of(kind, rows, content, ReadOptions())
    assert predict(rows, manner) == content
    assert json.loads(json.dumps(manner)).keys() == manner.keys()


def _gzipped(content: bytes, **settings: Any) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", **settings) as file:
        file.write(content)
    return out.getvalue()


CONTENT = b"".join(b"%d,%d\n" % (i, i * i % 977) for i in range(3000))


@pytest.mark.parametrize(
    "packed",
    [
        _gzipped(CONTENT, compresslevel=6, mtime=5, filename="name.csv"),
        _gzipped(CONTENT, compresslevel=9, mtime=0),
        gzip.compress(CONTENT, 1),
    ],
)
def test_gzip_by_the_same_library_comes_back_with_its_header(packed: bytes) -> None:
    told = packing_of("gzip", packed, CONTENT)
    assert told["same"]
    assert pack(CONTENT, told) == packed


def test_what_is_compressed_otherwise_comes_back_with_the_same_content() -> None:
    packed = _gzipped(CONTENT[:100]) + _gzipped(CONTENT[100:])
    told = packing_of("gzip", packed, CONTENT)
    assert not told["same"]
    assert gzip.decompress(pack(CONTENT, told)) == CONTENT
    packed = zstandard.ZstdCompressor(level=3).compress(CONTENT)
    assert pack(CONTENT, packing_of("zstd", packed, CONTENT)) == packed
