"""Which names of a lake are tables, whatever the names and the order of listing."""

from __future__ import annotations

import os
import random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.ingestion import discover as module
from assets.ingestion.discover import discover
from assets.ingestion.model import SourceError
from assets.ingestion.source_changes import fingerprint
from tests.ingestion.helpers import read_all


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def build(root):
    parquet(root / "one" / "a.parquet", x=[1], y=["a"])
    parquet(root / "one" / "deeper" / "b.PARQUET", y=["b"], x=[2])
    parquet(root / "two" / "a.parquet", x=[1])
    parquet(root / "two" / "b.parquet", z=[1])
    parquet(root / "hive" / "k=1" / "j=a%20b" / "f.parquet", x=[1])
    parquet(root / "hive" / "k=2" / "j=__HIVE_DEFAULT_PARTITION__" / "f.parquet", x=[2])
    pl.DataFrame({"x": [1]}).write_delta(root / "delta")
    (root / "sp ace.").mkdir()
    for name in ("a'b \"ü.CSV", "t.Jsonl.GZ", "t.tsv.zst", "README", "n.md"):
        (root / "sp ace." / name).write_bytes(b"a,b\n1,2\n")
    (root / "sp ace." / "binary").write_bytes(b"\0\1\2")
    (root / "sp ace." / "empty.csv").touch()
    (root / "sp ace." / "t.xlsx").write_bytes(b"PK")
    (root / "sp ace." / ".hidden.csv").write_bytes(b"a\n")
    (root / "_skipped").mkdir()
    (root / "_skipped" / "t.csv").write_bytes(b"a\n")
    (root / "sp ace." / os.fsdecode(b"n\xff\xfe.csv")).write_bytes(b"a\n1\n")
    (root / "link.csv").symlink_to(root / "sp ace." / "n.md")
    (root / "broken.csv").symlink_to(root / "nowhere")
    (root / "sp ace." / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "one" / "bad.parquet").write_bytes(b"PAR1 no")


TABLES = [
    "delta", "hive", "link.csv", "one", "sp ace./README", "sp ace./a'b \"ü.CSV", "sp ace./n.md",
    "sp ace./t.Jsonl.GZ", "sp ace./t.tsv.zst", "two/a.parquet", "two/b.parquet",
]  # fmt: skip
UNREADABLE = {
    "broken.csv": "broken", "one/bad.parquet": "unreadable Parquet", "self": "symbolic link loop",
    "sp ace./binary": "unknown format", "sp ace./empty.csv": "empty", "sp ace./loop": "loop",
    "sp ace./n\\xff\\xfe.csv": "not UTF-8; rename it", "sp ace./t.xlsx": "unknown format",
}  # fmt: skip


def test_tables_and_what_is_none(tmp_path):
    root = tmp_path / ".lake"
    build(root)
    found = discover(root)
    assert [source.table for source in found.sources] == TABLES
    assert [entry.table for entry in found.unreadable] == list(UNREADABLE)
    for entry in found.unreadable:
        assert UNREADABLE[entry.table] in entry.reason
    by_name = {source.table: source for source in found.sources}
    assert by_name["sp ace./t.Jsonl.GZ"].compression == "gzip"
    assert by_name["delta"].version == 0
    assert by_name["hive"].partition_columns == ("k", "j")
    rows, _ = read_all(by_name["hive"])
    assert rows == [{"x": 1, "k": 1, "j": "a b"}, {"x": 2, "k": 2, "j": None}]
    rows, _ = read_all(by_name["one"])
    assert rows == [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]


def test_order_of_listing_does_not_matter(tmp_path, monkeypatch):
    build(tmp_path)
    expected = discover(tmp_path)
    listing = os.listdir
    for seed in range(3):
        shuffler = random.Random(seed)

        def shuffled(path, shuffler=shuffler):
            names = listing(path)
            shuffler.shuffle(names)
            return names

        monkeypatch.setattr(module.os, "listdir", shuffled)
        assert discover(tmp_path) == expected


def test_what_is_remembered_is_not_opened_again(tmp_path, monkeypatch):
    build(tmp_path)
    first = discover(tmp_path)

    def refuse(*_):
        raise AssertionError("opened")

    monkeypatch.setattr("assets.ingestion.parquet_files.footer_schema", refuse)
    monkeypatch.setattr(module, "sniff", refuse)
    assert discover(tmp_path, footers=first.footers) == first
    with pytest.raises(AssertionError, match="opened"):
        discover(tmp_path)


def test_fingerprints_see_each_kind_of_change(tmp_path):
    build(tmp_path)

    def prints():
        return {source.table: fingerprint(source) for source in discover(tmp_path).sources}

    before = prints()
    assert len(set(before.values())) == len(before)
    assert all(len(text) == 32 for text in before.values())
    assert prints() == before
    pl.DataFrame({"x": [1]}).write_delta(tmp_path / "delta", mode="append")
    os.utime(tmp_path / "sp ace." / "README", ns=(1, 1))
    parquet(tmp_path / "one" / "c.parquet", x=[1], y=["a"])
    changed = {table for table, text in prints().items() if before[table] != text}
    assert changed == {"delta", "sp ace./README", "one"}


def test_root_is_a_table_only_if_delta_or_hive(tmp_path):
    parquet(tmp_path / "a" / "x.parquet", x=[1])
    parquet(tmp_path / "b" / "x.parquet", x=[1])
    assert [source.table for source in discover(tmp_path).sources] == ["a", "b"]
    parquet(tmp_path / "h" / "k=1" / "x.parquet", x=[1])
    assert [source.table for source in discover(tmp_path / "h").sources] == ["."]
    pl.DataFrame({"x": [1]}).write_delta(tmp_path / "d")
    assert [source.table for source in discover(tmp_path / "d").sources] == ["."]
    with pytest.raises(SourceError, match="does not exist"):
        discover(tmp_path / "none")


def test_a_broken_log_is_unreadable(tmp_path):
    pl.DataFrame({"x": [1]}).write_delta(tmp_path / "d")
    log = tmp_path / "d" / "_delta_log" / f"{0:020d}.json"
    log.write_bytes(log.read_bytes()[:50])
    (entry,) = discover(tmp_path).unreadable
    assert "Delta log" in entry.reason
