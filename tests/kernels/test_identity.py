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

from assets.kernels import identity
from assets.kernels.canonical import encode_rows
from assets.kernels.identity import RecordIds, content_ids, keyed_digests

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
        "27141c5ae7e43094f9d7a7a9c85d69b8",
        "78525f3b9eac4fcd0ba80842485837c1",
        "ed123da3af821062dbff194b063f6cf6",
    ]
    assert content_ids("text", pa.array(["a", None, ""])) == [
        "a82e0d9fccd247227b55eddb5c3f5d35",
        None,
        "25304178746ef257bc2109ffdff0d413",
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
@settings(max_examples=100)
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
@settings(max_examples=100)
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


EQUAL_ROWS = ["a28370e9440aec9f6628342fd150bf03", "d8bfd8700ea1bea83b186f62c84dc927"]
ID_COLUMN = ["8f501aa76029ea8d3e5b67d2b30a45d7", "d49979eb869373004e6627df3b0a2dba"]
FEATURES = ["427227c933a1c87d590520ef2b3cb4d8", "8c2544a43ff94590d400a3981b7286cb"]
URI = ["26b96bdbca06a939ada4546c9342ee48"]


def test_more_of_the_scheme_does_not_drift() -> None:
    # pinned, as above: equal rows, an id column, features, uris, and the empty row
    equal = pa.table({"a": ["x", "x"]})
    assert RecordIds("t").add(equal) == EQUAL_ROWS
    assert RecordIds("t", "a").add(pa.table({"a": ["x", "y"]})) == ID_COLUMN
    assert content_ids("features", pa.array([[1.0, None], []], pa.list_(pa.float64()))) == FEATURES
    assert content_ids("uri", pa.array(["a"])) == URI


@given(st.lists(cells, min_size=1, max_size=6), st.lists(st.integers(1, 3), max_size=4))
@settings(max_examples=40)
def test_ids_are_32_hex_digits_that_any_kind_of_batch_gives(
    rows: list[Any], cuts: list[int]
) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    whole = RecordIds("t").add(table)
    assert all(len(i) == 32 and set(i) <= set("0123456789abcdef") for i in whole)
    maker, out = RecordIds("t"), []
    for batch in table.to_batches(max_chunksize=cuts[0] if cuts else 2):
        out += maker.add(batch)
    assert out == whole
    large = table.set_column(2, "s", table["s"].cast(pa.large_string()).dictionary_encode())
    assert RecordIds("t").add(large) == whole


@given(st.lists(cells, min_size=2, max_size=8, unique_by=_oracle_row), st.data())
@settings(max_examples=40)
def test_a_row_keeps_its_id_when_others_come_and_go(rows: list[Any], data: Any) -> None:
    ids = dict(zip(map(_oracle_row, rows), _ids(rows, []), strict=True))
    kept = data.draw(st.lists(st.sampled_from(rows), unique_by=_oracle_row))
    assert _ids(kept, []) == [ids[_oracle_row(row)] for row in kept]


def test_one_more_equal_row_adds_one_id_and_changes_none() -> None:
    row = {"n": 1, "x": 0.0, "s": "", "b": None}
    for count in range(1, 5):
        fewer, more = _ids([row] * count, []), _ids([row] * (count + 1), [1])
        assert more[:count] == fewer
        assert len(set(more)) == count + 1


def test_zeros_and_numbers_that_are_none_count_as_equal_and_nothing_else_does() -> None:
    def first(value: Any, kind: pa.DataType) -> str:
        return RecordIds("t").add(pa.table({"a": pa.array([value], kind)}))[0]

    number = pa.float64()
    assert first(0.0, number) == first(-0.0, number)
    assert first(math.nan, number) == first(-math.nan, number)
    different = [
        first(None, number),
        first(math.nan, number),
        first(0.0, number),
        first(math.inf, number),
        first(-math.inf, number),
        first(0, pa.int64()),
        first("", pa.string()),
        first("0", pa.string()),
        first("nan", pa.string()),
        first(False, pa.bool_()),
        first(b"", pa.binary()),
    ]
    assert len(set(different)) == len(different)
    assert first(None, number) == first(None, pa.string()), "a null is a null of any type"


def test_positions_and_other_helpers_do_not_enter() -> None:
    table = ROWS.append_column("sluice_position", pa.array([7, 8, 9]))
    assert RecordIds("t").add(table, ROWS.schema.names) == RecordIds("t").add(ROWS)
    assert RecordIds("t").add(table) != RecordIds("t").add(ROWS)


def test_an_id_is_typed_and_apart_from_a_whole_row() -> None:
    def by_id(values: pa.Array) -> list[str]:
        return RecordIds("t", "id").add(pa.table({"id": values}))

    assert by_id(pa.array([1], pa.int8())) == by_id(pa.array([1], pa.int64()))
    assert by_id(pa.array([1])) != by_id(pa.array(["1"]))
    table = pa.table({"id": ["x"]})
    assert RecordIds("t", "id").add(table) != RecordIds("t").add(table)


def test_a_table_name_does_not_run_into_the_row() -> None:
    names = ["t", "t/u", "tr", "", "t\x00", "ü"]
    assert len({RecordIds(name).add(ROWS)[0] for name in names}) == len(names)


def test_label_and_groups_are_in_the_row_and_not_in_the_content() -> None:
    row = pa.table({"text": ["a"], "label": ["x"], "language": ["en"]})
    other = row.set_column(1, "label", pa.array(["y"]))
    elsewhere = row.set_column(2, "language", pa.array(["am"]))
    record = {RecordIds("t").add(t)[0] for t in (row, other, elsewhere)}
    assert len(record) == 3
    assert len({content_ids("text", t["text"])[0] for t in (row, other, elsewhere)}) == 1


def test_keys_and_the_version_of_the_encoding_tell_ids_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = pa.array([b"a", b""], pa.large_binary())
    purposes = [b"sluice record", b"sluice content", b"sluice row", b"", b"other"]
    found = {tuple(keyed_digests(values, purpose)) for purpose in purposes}
    assert len(found) == len(purposes)
    assert keyed_digests(values, b"k", b"text:") != keyed_digests(values, b"k", b"uri:")
    before = RecordIds("t").add(ROWS), content_ids("text", pa.array(["a"]))
    monkeypatch.setattr(identity, "SCHEME", "canonical/0")
    after = RecordIds("t").add(ROWS), content_ids("text", pa.array(["a"]))
    assert not set(before[0]) & set(after[0])
    assert before[1] != after[1]


def test_a_digest_is_the_keyed_hash_of_the_plain_encoding() -> None:
    """The whole identity written again with nothing but hashlib."""
    rows = [{"n": 1, "x": 2.5, "s": "a", "b": True}] * 2
    expected = [
        hashlib.blake2b(
            (1).to_bytes(8, "big") + b"t" + b"r" + _oracle_row(row) + number.to_bytes(8, "big"),
            digest_size=16,
            key=b"sluice record",
            person=b"canonical/2",
        ).hexdigest()
        for number, row in enumerate(rows)
    ]
    assert _ids(rows, []) == expected
    text = hashlib.blake2b(
        b"text:" + _oracle_cell("a"), digest_size=16, key=b"sluice content", person=b"canonical/2"
    )
    assert content_ids("text", pa.array(["a"])) == [text.hexdigest()]
