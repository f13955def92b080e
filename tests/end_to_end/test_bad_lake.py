"""One lake with every kind of bad input, run for real: it ends, every fault is told, and no good row is lost."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from orchestration.cli import main
from resources import delta
from resources.releases import last_release

WHOLE = None
"""Position of a reject that stands for a whole file."""


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def parquet(table: pa.Table) -> Callable[[Path], None]:
    return lambda path: pq.write_table(table, path)


def cut(table: pa.Table, end: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        pq.write_table(table, path)
        path.write_bytes(path.read_bytes()[:end])

    return make


def damaged(table: pa.Table) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        pq.write_table(table, path)
        content = bytearray(path.read_bytes())
        content[20:200] = b"\xff" * 180
        path.write_bytes(content)

    return make


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def delta_without_files(path: Path) -> None:
    pl.DataFrame({"text": ["gone"]}).write_delta(path)
    for file in path.glob("*.parquet"):
        file.unlink()


PLAIN = pa.table({"text": [f"a text of parquet, number {i}" for i in range(400)]})
STRANGE = pa.table(
    {
        "text": ["not a number", "all and more", "less than all"],
        "x": [float("nan"), float("inf"), -float("inf")],
        "day": [dt.date(1600, 1, 1), dt.date(9999, 12, 31), None],
        "time": pa.array([-(10**17), 9 * 10**18, 0], pa.timestamp("us")),
        "nested": [{"a": [1, None], "b": {"c": "d"}}, None, {"a": [], "b": None}],
    }
)
INVALID = pa.table({"text": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())})
FAR = pa.table({"text": ["far"], "time": pa.array([9 * 10**18], pa.timestamp("ms"))})
RANDOM = gzip.compress(
    b"".join(b'{"text": "%s"}\n' % os.urandom(30).hex().encode() for _ in range(2000))
)
NAMES = ["text", *(f"c{i}" for i in range(1999))]

# name: how it is written, rows delivered (None: no table), what is set aside (position, words of the reason)
Aside = list[tuple[int | None, str]]
CASES: dict[str, tuple[Callable[[Path], None], int | None, Aside]] = {
    "good.jsonl": (write(b"".join(b'{"text": "a good text, number %d"}\n' % i for i in range(60))), 60, []),
    "empty.csv": (write(b""), 0, [(WHOLE, "the file is empty")]),
    "empty.parquet": (write(b""), 0, [(WHOLE, "the file is empty")]),
    "nothing.csv.gz": (write(gzip.compress(b"")), 0, [(WHOLE, "no header record")]),
    "header.csv": (write(b"text,b\n"), 0, []),
    "ragged.csv": (
        write(b"text,b\nfine words,2\nx\na,b,c\nmore words,3\n"),
        2,
        [(1, "row has 1 cells"), (2, "row has 3 cells")],
    ),
    "quote.csv": (write(b'text,b\nfine words,1\nbad,"open\nmore,2\n'), 1, [(1, "never closes")]),
    "utf16.csv": (write(codecs.BOM_UTF16_LE + "text,b\nzwölf Wörter,1\n".encode("utf-16-le")), 1, []),
    "utf16.jsonl": (write(codecs.BOM_UTF16_BE + '{"text": "hällo"}\n'.encode("utf-16-be")), 1, []),
    "invalid.csv": (write(b"text,b\n\xff\xfe bad,1\nokay,2\n"), 1, [(0, "invalid UTF-8 at byte 0")]),
    "invalid.jsonl": (write(b'{"text": "okay"}\n{"text": "\xff"}\n'), 1, [(1, "invalid UTF-8")]),
    "invalid.parquet": (parquet(INVALID), 0, [(WHOLE, "column 'text' holds a value that can't be used")]),
    "returns.csv": (write(b"text,b\rone and,1\rtwo and,2\r"), 2, []),
    "mixed.csv": (write(b"text,b\r\none or,1\rtwo or,2\nthree or,3\r\n"), 3, []),
    "nul.csv": (write(b"text,b\na nul\0in it,1\n"), 1, []),
    "nul.jsonl": (write(b'{"text": "a nul\\u0000too"}\n\0\0\0\n'), 1, [(1, "not valid JSON")]),
    "cut.parquet": (cut(PLAIN, -30), 0, [(WHOLE, "unreadable Parquet")]),
    "half.parquet": (cut(PLAIN, 900), 0, [(WHOLE, "unreadable Parquet")]),
    "damaged.parquet": (damaged(PLAIN), 0, [(WHOLE, "unreadable Parquet")]),
    "words.parquet": (write(b"these are only words"), 0, [(WHOLE, "unreadable Parquet")]),
    "cut.jsonl.gz": (write(RANDOM[: len(RANDOM) // 2]), None, [(WHOLE, "gzip data ends early")]),
    "words.csv.gz": (write(b"text\nonly words\n"), 0, [(WHOLE, "damaged gzip data")]),
    "broken.jsonl": (
        write(b'{"text": "the first"}\n{"text": "the se\n{"text": "the third"}\n'),
        2,
        [(1, "not valid JSON")],
    ),
    "deep.jsonl": (
        write(b'{"text":' + b"[" * 9999 + b"]" * 9999 + b'}\n{"text": "shallow"}\n'),
        1,
        [(0, "depth limit")],
    ),
    "surrogate.jsonl": (write(b'{"text": "\\ud800"}\n{"text": "whole"}\n'), 1, [(0, "half of a surrogate pair")]),
    "long.jsonl": (write(b'{"text": "short one"}\n{"text": "' + b"x y " * (2 << 20) + b'"}\n'), 2, []),
    "twice.csv": (write(b"text,text,,text\n1,2,3,4\n"), 1, []),
    "twice.parquet": (parquet(pa.table([pa.array(["a b"]), pa.array(["c d"])], names=["text", "text"])), 1, []),
    "changing/1.parquet": (parquet(pa.table({"text": ["number"], "n": [1]})), 1, []),
    "changing/2.parquet": (parquet(pa.table({"text": ["word"], "n": ["one"]})), 1, []),
    "strange.parquet": (parquet(STRANGE), 3, []),
    "strange.csv": (
        write(b"text,d,t\nearly,1850-01-01,0001-01-01 10:00:00\nlate,2400-12-31,9999-12-31 23:59:59\n"),
        2,
        [],
    ),
    "far.parquet": (parquet(FAR), 0, [(WHOLE, "column 'time' holds a value that can't be used")]),
    "wide.csv": (write((",".join(NAMES) + "\n" + ",".join(str(i) for i in range(2000)) + "\n").encode()), 1, []),
    "wide.parquet": (parquet(pa.table({name: [f"{name} cell"] for name in NAMES})), 1, []),
    "dangling.csv": (link("nowhere"), 0, [(WHOLE, "broken or unreadable link")]),
    "itself.csv": (link("itself.csv"), 0, [(WHOLE, "symbolic link loop")]),
    "loop/up": (link(".."), 0, [(WHOLE, "symbolic link loop")]),
    "pipe.csv": (os.mkfifo, 0, [(WHOLE, "neither a file nor a folder")]),
    "gone": (delta_without_files, 0, [(WHOLE, "No such file")]),
    "odd 'n\" ünï./ça va?#%20.csv": (write(b"text\nodd names are names\n"), 1, []),
    "trailing.": (write(b"a name that ends in a dot"), 1, []),
    "line\nbreak.csv": (write(b"text\na name of two lines\n"), 1, []),
    os.fsdecode(b"n\xff.csv"): (write(b"text\nlost\n"), 0, [(WHOLE, "not UTF-8; rename it")]),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the lake and run it with the command; returns the folder of lake, recipe and output."""
    folder = tmp_path_factory.mktemp("bad")
    for name, (make, _, _) in CASES.items():
        path = folder / "lake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    recipe = {
        "lake": "lake",
        "output": "out",
        "records": [{"tables": "*", "text": "text"}],
        "filtering": {"pools": 2, "proxy": {"seconds": 0.2, "seeds": 1, "records_per_pool": 40}},
        "max_quarantine": 0.01,
        "limits": {"workers": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def first(bad_lake: Path) -> dict[str, Any]:
    return run(bad_lake)


def run(folder: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        result = CliRunner().invoke(main, ["run", str(folder / "recipe.yaml"), "--json"])
    told: dict[str, Any] = json.loads(result.stdout)
    return {**told, "status": result.exit_code}


def table(folder: Path, name: str) -> pl.DataFrame:
    release = last_release(folder / "out")
    assert release is not None
    return delta.scan(folder / "out" / name, release["versions"][name]).collect()


def shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def test_the_run_ends_and_says_that_much_was_set_aside(first: dict[str, Any]) -> None:
    assert first["status"] == 5, first
    assert first["release"] == 1


@pytest.mark.usefixtures("first")
def test_every_fault_is_told_with_its_place_and_reason(bad_lake: Path) -> None:
    aside = table(bad_lake, "ingestion/quarantine")
    expected = {(shown(n), position) for n, (_, _, rows) in CASES.items() for position, _ in rows}
    assert set(aside.select("table", "position").iter_rows()) == expected
    reasons = {
        (t, p): reason for t, p, reason in aside.select("table", "position", "reason").rows()
    }
    for name, (_, _, rows) in CASES.items():
        for position, words in rows:
            assert words in reasons[shown(name), position]
    assert aside["uri"].str.starts_with(str(bad_lake / "lake")).all()


@pytest.mark.usefixtures("first")
def test_every_good_row_is_delivered_and_the_balance_holds(bad_lake: Path) -> None:
    tables = table(bad_lake, "ingestion/tables")
    rows = dict(tables.select("table", "rows").iter_rows())
    expected = {shown(n): count for n, (_, count, _) in CASES.items() if count is not None}
    assert {name: rows[name] for name in expected} == expected
    assert 0 < rows["cut.jsonl.gz"] < 2000
    ledger = table(bad_lake, "publication/ledger").group_by("table").agg(pl.col("rows").sum())
    accounted = dict(ledger.iter_rows())
    for name, counted in tables.select("table", "counted").iter_rows():
        assert accounted.get(name, 0) == (counted or 0), name


@pytest.mark.usefixtures("first")
def test_a_second_run_reads_none_of_it_again(bad_lake: Path) -> None:
    again = run(bad_lake)
    assert (again["status"], again["changed"], again["release"]) == (5, False, 1)
