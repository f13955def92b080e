"""Identities: golden values, what they survive, what changes them, and wrong implementations that must fail."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.canonical import encode_rows
from assets.kernels.identity import RecordIds, content_ids

ROWS = pa.table(
    {
        "n": pa.array([1, None, -7], pa.int64()),
        "x": [0.5, float("nan"), -0.0],
        "s": ["a", None, "ü"],
        "b": [True, None, False],
    }
)


def test_the_scheme_does_not_drift() -> None:
    # pinned: a change here changes every id that anybody has stored, and needs a new scheme version
    assert RecordIds("t").add(ROWS) == [
        "d38224a3f202b08616b96a0c1441b6e9",
        "b3587e2e9501f43d6eb16c633c52d6c5",
        "6f101dd435172b60cf2787db53c4686c",
    ]
    assert content_ids("text", pa.array(["a", None, ""])) == [
        "0be651f764b17060c117eb7e06f3ae6d",
        None,
        "5b0e401029955802ab18deb7e745e02e",
    ]


def _oracle_cell(value: Any) -> bytes:
    """The canonical encoding written again, plainly, for values of Python."""
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"b" + bytes([value])
    if isinstance(value, int):
        return b"i" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"f" + (
            b"\x7f\xf8" + bytes(6) if math.isnan(value) else struct.pack(">d", value + 0.0)
        )
    raw = value.encode()
    return b"s" + len(raw).to_bytes(8, "big") + raw


def _oracle_row(row: dict[str, Any]) -> bytes:
    return b"".join(
        len(name.encode()).to_bytes(8, "big") + name.encode() + _oracle_cell(row[name])
        for name in sorted(row)
    )


cells = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(),
        "s": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        "b": st.none() | st.booleans(),
    }
)
SCHEMA = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("s", pa.string()), ("b", pa.bool_())])


@given(st.lists(cells, max_size=12))
@settings(max_examples=100, deadline=None)
def test_the_encoding_is_the_plain_one(rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    assert encode_rows(table).to_pylist() == [_oracle_row(row) for row in rows]


def _ids(rows: list[dict[str, Any]], sizes: list[int], table: str = "t") -> list[str]:
    maker, out, start = RecordIds(table), [], 0
    for size in [*sizes, len(rows)]:
        part = rows[start : start + size]
        out += maker.add(pa.Table.from_pylist(part, schema=SCHEMA)) if part else []
        start += size
    return out


@given(
    st.lists(cells, max_size=10),
    st.randoms(use_true_random=False),
    st.lists(st.integers(1, 4), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_ids_survive_reordering_and_rechunking(
    rows: list[Any], random: Any, sizes: list[int]
) -> None:
    rows = rows + rows[:3]  # equal rows among them
    shuffled = rows[:]
    random.shuffle(shuffled)
    ids = _ids(rows, [])
    assert len(set(ids)) == len(rows), "equal rows must get distinct ids"
    assert sorted(ids) == sorted(_ids(shuffled, sizes))


def test_ids_survive_another_column_order_and_integer_width() -> None:
    narrow = ROWS.set_column(0, "n", ROWS["n"].cast(pa.int8())).select(["b", "s", "n", "x"])
    assert RecordIds("t").add(narrow) == RecordIds("t").add(ROWS)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.rename_columns(["m", "x", "s", "b"]),
        lambda t: t.set_column(0, "n", t["n"].cast(pa.string())),
        lambda t: t.set_column(2, "s", pa.array(["b", "", "u"])),
        lambda t: t.drop_columns(["b"]),
    ],
    ids=["name", "type", "value", "column"],
)
def test_a_name_a_type_or_a_value_changes_every_id(change: Callable[[pa.Table], pa.Table]) -> None:
    rows = ROWS.take([0, 2])  # a null is a null in a column of any type
    assert not set(RecordIds("t").add(change(ROWS).take([0, 2]))) & set(RecordIds("t").add(rows))


def test_the_table_is_part_of_a_record_and_not_of_a_content() -> None:
    assert not set(RecordIds("t").add(ROWS)) & set(RecordIds("u").add(ROWS))
    assert content_ids("text", pa.array(["a"])) != content_ids("uri", pa.array(["a"]))


def test_an_id_column_alone_identifies_a_row() -> None:
    left = pa.table({"id": ["x", "y"], "v": [1, 2]})
    right = pa.table({"id": ["y", "x"], "v": [5, 6]})
    assert sorted(RecordIds("t", "id").add(left)) == sorted(RecordIds("t", "id").add(right))


def test_an_id_that_repeats_is_told() -> None:
    maker = RecordIds("t", "id")
    maker.add(pa.table({"id": ["x"], "v": [1]}))
    assert maker.repeated is None
    maker.add(pa.table({"id": ["x"], "v": [2]}))
    assert maker.repeated == "x"


def _by_position(rows: list[dict[str, Any]]) -> list[str]:
    return [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(len(rows))]


def _without_occurrence(rows: list[dict[str, Any]]) -> list[str]:
    return [hashlib.blake2b(_oracle_row(row), digest_size=16).hexdigest() for row in rows]


def _by_representation(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{hash(repr(list(row.items())))}{i}" for i, row in enumerate(rows)]


@pytest.mark.parametrize("wrong", [_by_position, _without_occurrence, _by_representation])
def test_wrong_identities_are_caught(wrong: Callable[[list[dict[str, Any]]], list[str]]) -> None:
    """The two properties that the tests above ask for, asked of implementations that lack one."""
    rows = [{"n": i % 2, "x": 1.0, "s": "a", "b": None} for i in range(4)]
    other = [{"n": 5, "x": 1.0, "s": "a", "b": None}, *rows]
    distinct = len(set(wrong(rows))) == len(rows)
    stable = set(wrong(rows)) <= set(wrong(other)) and wrong(rows)[0] == wrong(other)[1]
    assert not (distinct and stable)
