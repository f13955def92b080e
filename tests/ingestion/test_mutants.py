"""Named wrong readers and counters, each rejected by the conservation equation or a twin."""

from __future__ import annotations

import pytest

from assets.ingestion import csv_reader, lines, transcode
from assets.ingestion.csv_blocks import Cut
from assets.ingestion.lines import Lines
from assets.ingestion.model import ReadOptions, RowStream
from tests.ingestion.helpers import compressed, read_all, write

HOSTILE = b'a,b\n1,2\n3\n"4\n5",6\n7,"8\n'


def conserves(source, options=None):
    try:
        read_all(source, options)
    except (AssertionError, IndexError):
        return False
    return True


def test_the_real_reader_conserves(tmp_path):
    assert conserves(write(tmp_path, "t.csv", HOSTILE))


def test_dropping_ragged_rows_silently_is_caught(tmp_path, monkeypatch):
    def silent(self, position, reason, raw):
        if "cells" not in reason:
            honest(self, position, reason, raw)

    honest = RowStream.reject
    monkeypatch.setattr(RowStream, "reject", silent)
    assert not conserves(write(tmp_path, "t.csv", HOSTILE))


def test_cutting_blocks_at_any_line_end_is_caught(tmp_path, monkeypatch):
    def naive(buffer, delimiter, quote, *, final):
        return Cut(len(buffer) if final else buffer.rfind(b"\n") + 1, dirty=False)

    monkeypatch.setattr(csv_reader, "find_cut", naive)
    assert not conserves(write(tmp_path, "t.csv", b'a\n"' + b"x\n" * (3 << 20) + b'"\n'))


def test_keeping_the_cut_off_tail_is_caught(tmp_path, monkeypatch):
    source = write(tmp_path, "t.csv.gz", compressed(b"a,b\n1,2\n3,4", ".gz")[:-9])
    assert conserves(source)
    monkeypatch.setattr(csv_reader._State, "cut_short", property(lambda self: False))
    assert not conserves(source)


def test_splitting_lines_at_lf_only_is_caught(tmp_path, monkeypatch):
    def lf_only(buffer, *, final):
        return buffer.rfind(b"\n") + 1

    source = write(tmp_path, "t.txt", b"a\rb\rc")
    assert conserves(source, ReadOptions(text="line"))
    monkeypatch.setattr(lines, "_last_end", lf_only)
    assert not conserves(source, ReadOptions(text="line"))


def test_ignoring_the_byte_order_mark_is_caught(tmp_path, monkeypatch):
    source = write(tmp_path, "t.jsonl", '\ufeff{"a": 1}\n\n{"a": 2}\n'.encode("utf-16-le"))
    assert conserves(source)
    monkeypatch.setattr(transcode, "encoding_of", lambda head, stated: ("utf-8", 0))
    assert not conserves(source)


class Pieces:
    """A stream that hands out a text in pieces of a fixed size."""

    error = None

    def __init__(self, content, size):
        self.content, self.size = content, size

    def read(self, size):
        piece, self.content = self.content[: self.size], self.content[self.size :]
        return piece

    def close(self):
        pass


@pytest.mark.parametrize("content", [b"a\r\nbb\rccc\n\n\r\rdddd", b"\r\n", b"", b"abcdefgh\r\nx\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("limit", [3, 100])
def test_lines_do_not_depend_on_blocks(content, size, limit):
    got, long = [], []
    for block in Lines(Pieces(content, size), limit, block_bytes=1):
        long += [len(got) + i for i in sorted(block.too_long)]
        got += block.lines
    expected = content.splitlines()
    assert len(got) == len(expected)
    assert long == [i for i, line in enumerate(expected) if len(line) > limit]
    for i, (line, wanted) in enumerate(zip(got, expected, strict=True)):
        assert line == wanted if i not in long else wanted.startswith(line[:limit])
