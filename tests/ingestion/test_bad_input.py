"""Every kind of bad input: what is delivered, what is set aside, and that the counts agree."""

from __future__ import annotations

import codecs
import gzip
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from assets.ingestion.count import independent_count
from assets.ingestion.discover import discover
from assets.ingestion.model import ReadOptions, SourceError
from assets.ingestion.read import read
from assets.ingestion.source_changes import has_changed
from tests.ingestion.helpers import compressed, read_all, rows_of, source_of, write

A = {"a": "1", "b": "2"}


def rejected(stream):
    return [(r.position, r.reason.split(" ")[0]) for r in stream.rejects]


@pytest.mark.parametrize(
    ("content", "rows", "rejects"),
    [
        (b"a,b\n", [], []),
        (b"a,b", [], []),
        (b"a,b\n1,2", [A], []),
        (b"a,b\n1,2\n3\n4,5,6\n1,2\n", [A, A], [(1, "row"), (2, "row")]),
        (b'a,b\n1,2\n3,"4\n5,6\n', [A], [(1, "a")]),
        (b'a,b\n1,2\n"3\n', [A], [(1, "a")]),
        (codecs.BOM_UTF8 + b"a,b\n1,2\n", [A], []),
        (codecs.BOM_UTF16_LE + "a,b\r\n1,ü\r\n".encode("utf-16-le"), [{"a": "1", "b": "ü"}], []),
        (codecs.BOM_UTF16_BE + "a,b\n1,2\n".encode("utf-16-be"), [A], []),
        (codecs.BOM_UTF16_LE + "a,b\n1,2\n3,4".encode("utf-16-le")[:-1], [A], [(1, "invalid")]),
        (codecs.BOM_UTF32_LE + "a,b\n1,2\n".encode("utf-32-le"), [A], []),
        (b"a,b\n1,\xff\n1,2\n", [A], [(0, "invalid")]),
        (b"a,b\n\xff\n1,2\n", [A], [(0, "invalid")]),
        (b"a,b\r1,2\r1,2\r", [A, A], []),
        (b"a,b\r\n1,2\n1,2\r1,2\n\r\n\r\r1,2", [A] * 4, []),
        (b"a,b\n1\x00,2\n", [{"a": "1\0", "b": "2"}], []),
        (b'a,b\n"x\ny","u\r\nv"\n', [{"a": "x\ny", "b": "u\r\nv"}], []),
        (b'a,b\n"",\n', [{"a": "", "b": None}], []),
        (b'a,b\n"1""2",x"y\n', [{"a": '1"2', "b": 'x"y'}], []),
        (b'a,b\n"1"z,"2" \n', [{"a": "1z", "b": "2 "}], []),
        (b'\n\na,b\n\n1,2\n\n', [A], []),
        (b"a,a,,A,b\n1,2,3,4,5\n",
         [{"a": "1", "a_2": "2", "column_3": "3", "A_3": "4", "b": "5"}], []),
        (b"a,sluice_position\n1,2\n", [{"a": "1", "sluice_position_2": "2"}], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_csv(tmp_path, content, rows, rejects, suffix):
    source = write(tmp_path, f"t.csv{suffix}", compressed(content, suffix))
    got, stream = read_all(source)
    assert got == rows
    assert rejected(stream) == rejects
    assert stream.error is None


def test_csv_quoting_off_and_other_delimiters(tmp_path):
    source = write(tmp_path, "t.tsv", b'a\tb\n"1\t2\n')
    rows, stream = read_all(source, ReadOptions(quote=""))
    assert rows == [{"a": '"1', "b": "2"}]
    assert not stream.rejects
    source = write(tmp_path, "t.csv", b"a;b\n'1;1';2\n")
    rows, _ = read_all(source, ReadOptions(delimiter=";", quote="'"))
    assert rows == [{"a": "1;1", "b": "2"}]


def test_csv_stated_encoding(tmp_path):
    source = write(tmp_path, "t.csv", "a,b\n1,é\n".encode("cp1252"))
    rows, _ = read_all(source, ReadOptions(encoding="cp1252"))
    assert rows == [{"a": "1", "b": "é"}]


@pytest.mark.parametrize("content", [b"\n\n", b"\xef\xbb\xbf", b'"a,b\n1,2\n', b"\xff,b\n1,2\n"])
def test_csv_without_header_is_refused_with_a_remedy(tmp_path, content):
    with pytest.raises(SourceError) as caught:
        read(write(tmp_path, "t.csv", content))
    assert caught.value.remedy.endswith(".")


def test_rejects_say_where_and_why(tmp_path):
    source = write(tmp_path, "t.csv", b"a,b\n1,2\n3,\xff\xfe\n4\n" + b"5," * 4000 + b"\n")
    _, stream = read_all(source)
    first, second, third = stream.rejects
    assert (first.position, first.raw) == (1, "3,\\xff\\xfe")
    assert first.reason == "invalid UTF-8 at byte 2 of the record"
    assert (second.position, second.raw) == (2, "4")
    assert second.reason == "row has 1 cells, the header has 2"
    assert len(third.raw) == 2000
    assert stream.take_rejects() == [first, second, third]
    assert stream.rejects == []


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt"])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_truncated_archive_keeps_what_came_before(tmp_path, name, suffix):
    line = b'{"a": %d, "b": "xyz"}\n'
    lines = [b"a\n", *(b"%d\n" % (i * 7919) for i in range(60_000))]
    if name == "t.jsonl":
        lines = [line % (i * 7919) for i in range(60_000)]
    whole = b"".join(lines)
    packed = compressed(whole, suffix)
    options = ReadOptions(text="line")
    complete, _ = read_all(write(tmp_path, name + suffix, packed), options)
    source = write(tmp_path, name + suffix, packed[: len(packed) * 2 // 3])
    rows, stream = read_all(source, options)
    assert "ends early" in (stream.error or "")
    assert stream.rejects[-1].position is None
    assert rows == complete[: len(rows)]
    assert 0 < len(rows) < len(complete)


def test_damaged_and_trailing_archives(tmp_path):
    whole = gzip.compress(b"a\n1\n") + gzip.compress(b"2\n") + b"\0" * 100
    rows, stream = read_all(write(tmp_path, "t.csv.gz", whole))
    assert rows == [{"a": "1"}, {"a": "2"}]
    assert stream.error is None
    frames = zstandard.compress(b"a\n1\n") + zstandard.compress(b"2\n")
    rows, stream = read_all(write(tmp_path, "t.csv.zst", frames))
    assert rows == [{"a": "1"}, {"a": "2"}]
    rows, stream = read_all(write(tmp_path, "t.csv.gz", gzip.compress(b"a\n1\n") + b"garbage!"))
    assert rows == [{"a": "1"}]
    assert "damaged" in (stream.error or "")
    for suffix in (".gz", ".zst"):
        with pytest.raises(SourceError):
            read(write(tmp_path, "t.csv" + suffix, b"not an archive\n" * 3))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_bomb_stops_at_the_limit(tmp_path, suffix):
    line = b"1234567,abcdefg\n"
    count = (96 << 20) // len(line)
    packed = compressed(b"a,b\n" + line * count, suffix)
    assert len(packed) < 1 << 20
    source = write(tmp_path, "t.csv" + suffix, packed)
    options = ReadOptions(max_decompressed_ratio=1.0)
    stream = read(source, options)
    delivered = sum(batch.num_rows for batch in stream)
    assert "max_decompressed_ratio" in (stream.error or "")
    assert delivered == ((64 << 20) - 4) // len(line) == independent_count(source, options)


def test_jsonl_with_broken_lines(tmp_path):
    content = (
        b'{"a": 1, "b": null}\n\n   \n{"a": 2, "b": [1, 2]\n[1]\n7\n{"a": \xff}\n'
        b'{"a": 3}\r\n{"a": NaN}\r{"a": 1e999, "c": "x"}\n{"a": "\\ud800"}'
    )
    rows, stream = read_all(write(tmp_path, "t.jsonl", content))
    assert [r.position for r in stream.rejects] == [1, 2, 3, 4, 8]
    assert [row["a"] for row in rows][:2] == [1.0, 3.0]
    assert rows[2]["a"] != rows[2]["a"]
    assert rows[3] == {"a": float("inf"), "b": None, "c": "x"}


def test_json_types(tmp_path):
    content = b"""
    [{"i": 1, "f": 1, "m": 1, "big": 1, "s": {"x": 1, "y": [1]}, "l": [], "e": {}, "n": null},
     {"i": 9007199254740993, "f": 2.5, "m": "one", "big": 18446744073709551616,
      "s": {"x": null, "z": "q"}, "l": [{"k": true}], "e": {}, "n": null, "": 5, "I": 2}]"""
    rows, stream = read_all(write(tmp_path, "t.json", content))
    schema = stream.schema
    assert schema.field("i").type == pa.int64()
    assert schema.field("f").type == pa.float64()
    assert pa.types.is_struct(schema.field("s").type)
    assert pa.types.is_list(schema.field("l").type)
    for name in ("m", "big", "e", "n"):
        assert schema.field(name).type == pa.string()
    assert rows[1]["i"] == 9007199254740993
    assert [row["big"] for row in rows] == ["1", "18446744073709551616"]
    assert [row["m"] for row in rows] == ["1", '"one"']
    assert rows[0]["e"] == "{}"
    assert rows[1]["column_9"] == 5
    assert rows[1]["I_2"] == 2
    assert rows[0]["s"] == {"x": 1, "y": [1], "z": None}


def test_integers_and_floats_that_do_not_mix_without_loss_stay_text(tmp_path):
    content = b'{"a": 9007199254740993}\n{"a": 0.5}\n'
    rows, _ = read_all(write(tmp_path, "t.jsonl", content))
    assert [row["a"] for row in rows] == ["9007199254740993", "0.5"]


def test_deep_and_wide_json_becomes_text(tmp_path):
    deep = b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}\n"
    too_deep = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    wide = b'{"a": {' + b",".join(b'"k%d": 1' % i for i in range(300)) + b"}}\n"
    for content in (deep, wide):
        rows, stream = read_all(write(tmp_path, "t.jsonl", content))
        assert stream.schema.field("a").type == pa.string()
        assert rows[0]["a"].startswith(("[[[", '{"k0":1,'))
    rows, stream = read_all(write(tmp_path, "t.jsonl", deep + too_deep))
    assert len(rows) == 1
    assert stream.rejects[0].position == 1


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'[{"a": 1}, 5, {"a": 2}]', 2),
        (b'{"a": 1, "b": [1]}', 1),
        (b'{"data": [{"a": 1}, {"a": 2}]}', 2),
        (b'{"data": []}', 1),
        (b"[]", 0),
        (b'{"a": 1}\n{"a": 2}\nbroken\n', 2),
        (codecs.BOM_UTF8 + b'[{"a": 1}]', 1),
        (codecs.BOM_UTF16_LE + '[{"a": "é"}]'.encode("utf-16-le"), 1),
        (b'[{"a": NaN}, {"a": "\\ud800\\udc00"}]', 2),
    ],
)
def test_json_documents(tmp_path, content, rows):
    got, _ = read_all(write(tmp_path, "t.json", content))
    assert len(got) == rows


@pytest.mark.parametrize("content", [b"[1, 2]", b"3", b'"x"', b'[{"a": 1}', b"[{]", b" "])
def test_json_that_is_no_table_is_refused(tmp_path, content):
    source = write(tmp_path, "t.json", content)
    with pytest.raises(SourceError):
        read(source)
    with pytest.raises(SourceError):
        independent_count(source)


def test_text(tmp_path):
    content = b"eins\n\nzwei\r\ndrei\rvier"
    source = write(tmp_path, "t.txt", content)
    rows, _ = read_all(source)
    assert rows == [{"text": content.decode()}]
    rows, _ = read_all(source, ReadOptions(text="line"))
    assert [row["text"] for row in rows] == ["eins", "", "zwei", "drei", "vier"]
    rows, stream = read_all(write(tmp_path, "t.md", b"a\n\xff\nb\n"), ReadOptions(text="line"))
    assert [row["text"] for row in rows] == ["a", "b"]
    assert rejected(stream) == [(1, "invalid")]
    rows, stream = read_all(write(tmp_path, "t.rst", b"a\n\xff\nb\n"))
    assert rows == []
    assert rejected(stream) == [(0, "invalid")]
    broken = gzip.compress(os.urandom(10_000).hex().encode())[:5000]
    rows, stream = read_all(write(tmp_path, "t.txt.gz", broken))
    assert rows == []
    assert [r.position for r in stream.rejects] == [0]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt"])
def test_long_records_are_delivered_or_rejected_alone(tmp_path, name):
    size = 12 << 20
    long = {"t.csv": b'"' + b"x,\n" * (size // 3) + b'"', "t.txt": b"x" * size}.get(
        name, b'{"a": "' + b"x" * size + b'"}'
    )
    short = b'{"a": "1"}' if name == "t.jsonl" else b"1"
    header = [b"a"] if name == "t.csv" else []
    content = b"\n".join([*header, short, long, short, b""])
    source = write(tmp_path, name, content)
    rows, stream = read_all(source, ReadOptions(text="line"))
    assert (len(rows), stream.rejects) == (3, [])
    assert len(next(iter(rows[1].values()))) >= size - 3
    for limit in (1 << 20, len(long) - 1):
        rows, stream = read_all(source, ReadOptions(text="line", max_record_bytes=limit))
        assert len(rows) == 2
        assert rows[0] == rows[1]
        assert [r.position for r in stream.rejects] == [1]
        assert "max_record_bytes" in stream.rejects[0].reason
        assert len(stream.rejects[0].raw) == 2000
    rows, stream = read_all(source, ReadOptions(text="line", max_record_bytes=len(long)))
    assert (len(rows), stream.rejects) == (3, [])


def test_unclosed_quote_over_a_long_file(tmp_path):
    content = b'a,b\n1,2\n3,"' + b"4,5\n" * 2_000_000
    source = write(tmp_path, "t.csv", content)
    for options in (ReadOptions(), ReadOptions(max_record_bytes=1 << 20)):
        rows, stream = read_all(source, options)
        assert rows == [A]
        assert [(r.position, r.reason[:13]) for r in stream.rejects] == [(1, "a quote opens")]


def test_two_thousand_columns(tmp_path):
    names = [f"c{i}" for i in range(2000)]
    line = ",".join(str(i) for i in range(2000))
    content = (",".join(names) + "\n" + (line + "\n") * 50).encode()
    rows, stream = read_all(write(tmp_path, "t.csv", content))
    assert len(rows) == 50
    assert len(stream.schema.names) == 2001
    record = "{" + ",".join(f'"{n}": 1' for n in names) + "}\n"
    rows, stream = read_all(write(tmp_path, "t.jsonl", record.encode("ascii") * 3))
    assert len(stream.schema.names) == 2001


def test_truncated_parquet_is_refused_with_its_name(tmp_path):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), whole)
    content = whole.read_bytes()
    bad = write(tmp_path, "bad.parquet", content[:-20])
    with pytest.raises(SourceError, match=r"bad\.parquet"):
        read(bad)
    damaged = bytearray(content)
    damaged[10:400] = b"\xff" * 390
    source = write(tmp_path, "hurt.parquet", bytes(damaged))
    with pytest.raises(SourceError, match=r"hurt\.parquet"):
        rows_of(read(source))
    entry = {u.table: u.reason for u in discover(tmp_path).unreadable}
    assert "unreadable Parquet" in entry[bad.table]


def test_a_file_that_grows_is_read_to_where_it_was_and_seen(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    source = source_of(path)
    assert not has_changed(source)
    stream = read(source)
    with path.open("ab") as handle:
        handle.write(b'{"a": "text now", "b": 1}\n')
    assert len(rows_of(stream)) == 2 == independent_count(source)
    assert has_changed(source)
    path.unlink()
    assert has_changed(source)


def test_strange_values_survive_parquet(tmp_path):
    import datetime as dt

    table = pa.table(
        {
            "f": [float("nan"), float("inf"), -0.0],
            "t": pa.array(
                [dt.datetime(1, 1, 1), dt.datetime(2500, 1, 1), None], pa.timestamp("us")
            ),
            "d": pa.array([dt.date(1600, 2, 29), None, dt.date(9999, 12, 31)]),
            "n": [{"x": [1, None]}, None, {"x": []}],
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    rows, _ = read_all(source_of(path))
    assert rows[0]["f"] != rows[0]["f"]
    for name in ("t", "d", "n"):
        assert [row[name] for row in rows] == table.column(name).to_pylist()


def test_unopenable_file(tmp_path):
    source = write(tmp_path, "t.csv", b"a\n1\n")
    source.path.unlink()
    with pytest.raises(SourceError, match="cannot be opened"):
        read(source)
    assert sys.getrefcount(source) > 0


@pytest.mark.slow
def test_a_hundred_megabyte_record(tmp_path):
    size = 100 << 20
    source = write(tmp_path, "t.csv", b'a,b\n1,2\n3,"' + b"x\n" * (size // 2) + b'"\n1,2\n')
    rows, stream = read_all(source)
    assert len(rows) == 3
    assert not stream.rejects
    source = write(tmp_path, "t.jsonl", b'{"a": "' + b"x" * size + b'"}\n{"a": "1"}\n')
    rows, stream = read_all(source)
    assert len(rows) == 2
