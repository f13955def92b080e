"""The canonical encoding: pinned bytes, one value whatever the layout, no two values alike, and mutants that fail."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import math
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.canonical import SCHEME, encode_cells, encode_rows
from assets.kernels.identity import content_ids, keyed_digests

D = decimal.Decimal
Encode = Callable[[pa.Table], list[bytes]]


def cell(value: Any, kind: pa.DataType | None = None) -> bytes:
    return encode_cells(pa.array([value], kind))[0].as_py()


PINNED = [
    (None, pa.int8(), "6e"),
    (None, pa.null(), "6e"),
    (True, None, "6201"),
    (-2, pa.int16(), "69fffffffffffffffe"),
    (2**63 - 1, pa.uint64(), "697fffffffffffffff"),
    (2**63, pa.uint64(), "4900000000000000133932323333373230333638353437373538" + "3038"),
    (1.5, None, "663ff8000000000000"),
    (-0.0, None, "660000000000000000"),
    (math.nan, None, "667ff8000000000000"),
    (math.inf, pa.float32(), "667ff0000000000000"),
    ("", None, "730000000000000000"),
    ("ü", None, "730000000000000002c3bc"),
    (b"\x00", None, "79000000000000000100"),
    (dt.date(1969, 12, 31), None, "64ffffffffffffffff"),
    (dt.datetime(1970, 1, 1, 0, 0, 1), None, "7400000000000f4240"),
    (D("1.50"), None, "780000000000000003312e35"),
    ([1, None], None, "6c00000000000000026900000000000000016e"),
    (
        {"b": 1, "a": "x"},
        None,
        "6d0000000000000002"
        + "00000000000000016173000000000000000178"
        + "000000000000000162690000000000000001",
    ),
]


@pytest.mark.parametrize(("value", "kind", "encoded"), PINNED)
def test_the_bytes_do_not_drift(value: Any, kind: pa.DataType | None, encoded: str) -> None:
    # a change here changes every id that anybody has stored: it needs a new SCHEME
    assert SCHEME == "canonical/2"
    assert cell(value, kind).hex() == encoded


SAME = [
    [(1, pa.int8()), (1, pa.uint8()), (1, pa.int64()), (1, pa.uint64())],
    [(0.5, pa.float16()), (0.5, pa.float32()), (0.5, pa.float64())],
    [(-0.0, None), (0.0, None)],
    [(math.nan, None), (math.nan, pa.float32()), (-math.nan, None)],
    [("a", pa.string()), ("a", pa.large_string()), ("a", pa.string_view())],
    [(b"ab", pa.binary()), (b"ab", pa.binary(2)), (b"ab", pa.large_binary())],
    [(dt.date(2020, 2, 29), pa.date32()), (dt.date(2020, 2, 29), pa.date64())],
    [(1, pa.timestamp("s")), (1000, pa.timestamp("ms")), (10**9, pa.timestamp("ns"))],
    [(D("1.5"), None), (D("1.500"), None), (D("1.5"), pa.decimal256(60, 4))],
    [(D("1000"), None), (D("1000.0"), None)],
    [(D("0"), None), (D("-0.00"), None)],
]


@pytest.mark.parametrize("same", SAME)
def test_one_value_has_one_encoding_whatever_its_layout(same: list[Any]) -> None:
    assert len({cell(value, kind) for value, kind in same}) == 1


def test_values_of_different_types_differ() -> None:
    different = [
        cell(None),
        cell(False),
        cell(0),
        cell(0.0),
        cell(""),
        cell(b""),
        cell(dt.date(1970, 1, 1)),
        cell(dt.datetime(1970, 1, 1)),
        cell(D(0)),
        cell([]),
        cell("0"),
        cell("null"),
        cell("n"),
        cell("nan"),
        cell("[]"),
    ]
    assert len(set(different)) == len(different)


def test_slices_and_dictionaries_and_chunks_encode_as_their_values() -> None:
    plain = pa.array(["a", None, "b", "a", "", None])
    expected = encode_cells(plain).to_pylist()
    assert encode_cells(plain.dictionary_encode()).to_pylist() == expected
    assert encode_cells(plain[2:5]).to_pylist() == expected[2:5]
    assert encode_cells(pa.chunked_array([plain[:1], plain[1:1], plain[1:]])).to_pylist() == (
        expected
    )
    for kind in (pa.bool_(), pa.int32(), pa.float32(), pa.timestamp("us")):
        numbers = pa.array([0, None, 1, 1], pa.int64()).cast(kind, safe=False)
        assert encode_cells(numbers[1:3]).to_pylist() == encode_cells(numbers).to_pylist()[1:3]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.int8(), pa.float64(), pa.bool_(), pa.null(), pa.list_(pa.int8())]
)
def test_no_rows_give_no_encodings(kind: pa.DataType) -> None:
    assert encode_cells(pa.array([], kind)).to_pylist() == []
    assert encode_rows(pa.table({"a": pa.array([], kind)})).to_pylist() == []


def test_rows_of_no_columns_are_rows() -> None:
    assert encode_rows(pa.table({"a": [1, 2]}), []).to_pylist() == [b"", b""]


def test_only_the_columns_asked_for_are_encoded() -> None:
    table = pa.table({"b": [1], "a": ["x"], "position": [7]})
    assert encode_rows(table, ["b", "a"]) == encode_rows(table.drop_columns(["position"]))


# -- injectivity ----------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "n": (pa.int64(), st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)),
    "x": (pa.float64(), st.floats() | st.sampled_from([0.0, -0.0, math.nan])),
    "s": (pa.string(), TEXT | st.sampled_from(["", "a", "ab", "n", "s"])),
    "t": (pa.string(), TEXT | st.sampled_from(["", "b", "a", "n", "s"])),
    "y": (pa.binary(), st.binary(max_size=3)),
    "d": (pa.date32(), st.dates()),
    "z": (pa.timestamp("us"), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))),
    "l": (pa.list_(pa.string()), st.lists(TEXT | st.none(), max_size=3)),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, unique=True))
    height = draw(st.integers(1, 8))
    return pa.table(
        {
            name: pa.array(
                draw(st.lists(st.none() | COLUMNS[name][1], min_size=height, max_size=height)),
                COLUMNS[name][0],
            )
            for name in names
        }
    )


def oracle_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """A value that is equal exactly when two rows of one schema are."""

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return "nan" if math.isnan(value) else value + 0.0
        return tuple(value) if isinstance(value, list) else value

    return tuple((name, row[name] is None, plain(row[name])) for name in sorted(row))


def separates(encode: Encode, table: pa.Table) -> bool:
    """Tell whether encodings are equal exactly where rows are."""
    rows, encoded = [oracle_key(row) for row in table.to_pylist()], encode(table)
    return all(
        (rows[i] == rows[j]) == (encoded[i] == encoded[j])
        for i in range(len(rows))
        for j in range(i)
    )


@given(tables())
@settings(max_examples=150)
def test_encodings_are_equal_exactly_where_rows_are(table: pa.Table) -> None:
    assert separates(lambda t: encode_rows(t).to_pylist(), table)


def _without_lengths(table: pa.Table) -> list[bytes]:
    return [
        b"".join(b"n" if v is None else b"s" + str(v).encode() for v in row.values())
        for row in table.to_pylist()
    ]


def _by_repr(table: pa.Table) -> list[bytes]:
    return [repr(list(row.values())).encode() for row in table.to_pylist()]


def _null_as_empty(table: pa.Table) -> list[bytes]:
    return [
        b"".join(len(v or "").to_bytes(8, "big") + (v or "").encode() for v in row.values())
        for row in table.to_pylist()
    ]


def _raw_floats(table: pa.Table) -> list[bytes]:
    return [struct.pack(">d", row["x"]) for row in table.to_pylist()]


TRAPS = {
    "text": pa.table({"s": ["a", "as", "", None], "t": ["sb", "b", None, ""]}),
    "floats": pa.table({"x": [0.0, -0.0, math.nan, -math.nan]}),
}


@pytest.mark.parametrize(
    ("wrong", "trap"),
    [
        (_without_lengths, "text"),
        (_null_as_empty, "text"),
        (_by_repr, "floats"),
        (_raw_floats, "floats"),
    ],
)
def test_wrong_encodings_are_caught(wrong: Encode, trap: str) -> None:
    assert separates(lambda t: encode_rows(t).to_pylist(), TRAPS[trap])
    assert not separates(wrong, TRAPS[trap])


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_neither_chunks_nor_column_order_change_an_encoding(table: pa.Table, random: Any) -> None:
    cut = random.randint(0, table.num_rows)
    names = list(table.schema.names)
    random.shuffle(names)
    other = pa.concat_tables([table[:cut], table[cut:]]).select(names)
    assert encode_rows(other).to_pylist() == encode_rows(table).to_pylist()
    parts = [*encode_rows(table[:cut]).to_pylist(), *encode_rows(table[cut:]).to_pylist()]
    assert parts == encode_rows(table).to_pylist()


def test_a_large_unsigned_number_in_a_chunk_leaves_its_neighbours_alone() -> None:
    numbers = pa.array([5, 2**63, None], pa.uint64())
    together = encode_cells(numbers).to_pylist()
    assert together == [encode_cells(numbers[i : i + 1])[0].as_py() for i in range(3)]


def test_long_decimals_are_told_apart() -> None:
    near = [D("1." + "1" * 36 + end) for end in "12"]
    assert cell(near[0]) != cell(near[1])
    whole = [D("1" * 37 + end) for end in "12"]
    assert cell(whole[0]) != cell(whole[1])


def test_instants_less_than_a_microsecond_apart_are_told_apart() -> None:
    assert cell(1000, pa.timestamp("ns")) != cell(1001, pa.timestamp("ns"))


@pytest.mark.parametrize("kind", [pa.time64("ns"), pa.duration("ns")])
def test_times_and_durations_of_nanoseconds_are_encoded(kind: pa.DataType) -> None:
    assert cell(1, kind) != cell(2, kind)
    assert cell(1000, kind) == cell(
        1, pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")
    )


# -- values of any two types ----------------------------------------------------------------------

INTEGERS = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
Typed = tuple[str, Any, pa.DataType]  # the tag and value that make it what it is, and one layout


@st.composite
def typed_values(draw: st.DrawFn) -> Typed:
    """A cell of any flat type, small enough that equal ones meet; its tag is that of the scheme."""
    number = draw(st.integers(0, 3) | st.integers(60, 127))
    tag = draw(st.sampled_from("nbifsydtx"))
    if tag == "n":
        return "n", None, draw(st.sampled_from([pa.null(), *INTEGERS, *FLOATS, pa.string()]))
    if tag == "b":
        return "b", number % 2 == 1, pa.bool_()
    if tag == "i":
        return "i", number, draw(st.sampled_from([*INTEGERS, pa.uint64()]))
    if tag == "f":
        return "f", number / 4, draw(st.sampled_from(FLOATS))
    if tag == "s":
        text = draw(st.sampled_from([str(number), chr(number), "", "n", "b\x01", "null"]))
        return "s", text, draw(st.sampled_from([pa.string(), pa.large_string()]))
    if tag == "y":
        raw = draw(st.sampled_from([str(number).encode(), bytes([number]), b"", b"n"]))
        return "y", raw, draw(st.sampled_from([pa.binary(), pa.large_binary()]))
    if tag == "d":
        day = dt.date(1970, 1, 1) + dt.timedelta(days=number)
        return "d", day, draw(st.sampled_from([pa.date32(), pa.date64()]))
    if tag == "t":
        unit = draw(st.sampled_from(["s", "ms", "us", "ns"]))
        zone = draw(st.sampled_from([None, "UTC", "Asia/Tokyo"]))
        instant = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=number)
        if zone is not None:
            return "t", instant.replace(tzinfo=dt.UTC), pa.timestamp(unit, zone)
        return "t", instant, pa.timestamp(unit)
    return "x", D(number), draw(st.sampled_from([pa.decimal128(9, 2), pa.decimal128(20, 0)]))


def meaning(value: Typed) -> tuple[str, Any]:
    tag, plain, _ = value
    return tag, plain.replace(tzinfo=None) if isinstance(plain, dt.datetime) else plain


@given(st.lists(typed_values(), min_size=2, max_size=8))
@settings(max_examples=200)
def test_cells_of_any_types_are_equal_exactly_where_tag_and_value_are(values: list[Typed]) -> None:
    encoded = [cell(value, kind) for _, value, kind in values]
    told = [meaning(value) for value in values]
    for i in range(len(values)):
        assert encoded[i][:1] == told[i][0].encode()
        for j in range(i):
            assert (encoded[i] == encoded[j]) == (told[i] == told[j]), (values[i], values[j])


@given(
    st.dictionaries(TEXT, st.none() | TEXT | st.integers(-2, 2), max_size=3),
    st.dictionaries(TEXT, st.none() | TEXT | st.integers(-2, 2), max_size=3),
)
@settings(max_examples=150)
def test_rows_of_any_two_tables_are_equal_exactly_where_names_and_cells_are(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    encoded = []
    for row in (one, two):
        table = pa.table({name: pa.array([value]) for name, value in row.items()})
        encoded.append(encode_rows(table).to_pylist() if row else [b""])
    assert (encoded[0] == encoded[1]) == (one == two)


def test_names_do_not_run_into_their_values() -> None:
    assert encode_rows(pa.table({"ab": ["c"]})) != encode_rows(pa.table({"a": ["bc"]}))
    assert encode_rows(pa.table({"a": [None], "b": [None]})) != encode_rows(pa.table({"a": [None]}))
    assert encode_rows(pa.table({"": ["a"]})) != encode_rows(pa.table({"a": [""]}))


@given(
    st.lists(
        st.none() | st.dictionaries(st.sampled_from("ab"), st.none() | st.integers(-2, 2)),
        min_size=2,
        max_size=6,
    )
)
@settings(max_examples=60)
def test_nested_values_do_not_depend_on_widths_or_the_order_of_fields(rows: list[Any]) -> None:
    forwards = pa.list_(pa.struct([("a", pa.int8()), ("b", pa.int64())]))
    backwards = pa.large_list(pa.struct([("b", pa.int16()), ("a", pa.int32())]))
    lists = [None if row is None else [row] for row in rows]
    assert encode_cells(pa.array(lists, forwards)) == encode_cells(pa.array(lists, backwards))


def inner(value: Any, kind: pa.DataType) -> bytes:
    return cell([value], pa.list_(kind))


def test_zeros_of_both_signs_are_one_inside_a_list() -> None:
    assert inner(-0.0, pa.float64()) == inner(0.0, pa.float64())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((dt.date(2020, 1, 1), pa.date32()), ("2020-01-01", pa.string())),
        ((D("1.5"), pa.decimal128(5, 1)), ("1.5", pa.string())),
        ((b"a", pa.binary()), ({"bytes": "61"}, pa.struct([("bytes", pa.string())]))),
    ],
)
def test_types_differ_inside_a_list(one: tuple[Any, Any], two: tuple[Any, Any]) -> None:
    assert inner(*one) != inner(*two)


def test_a_decimal_is_one_whatever_its_scale_inside_a_list() -> None:
    assert inner(D("1.5"), pa.decimal128(5, 1)) == inner(D("1.50"), pa.decimal128(5, 2))


@pytest.mark.parametrize(
    "kind",
    [
        pa.large_list(pa.int64()),
        pa.list_view(pa.int64()),
        pa.large_list_view(pa.int64()),
        pa.list_(pa.int16(), 2),
    ],
)
def test_a_list_is_one_in_any_layout(kind: pa.DataType) -> None:
    fixed = pa.types.is_fixed_size_list(kind)
    values: list[Any] = [[7, 8], [1, None], None, [3, 4] if fixed else [], [5, 6]]
    whole = encode_cells(pa.array(values, pa.list_(pa.int8()))).to_pylist()
    assert encode_cells(pa.array(values, kind)).to_pylist() == whole
    assert encode_cells(pa.array(values, kind)[1:4]).to_pylist() == whole[1:4]


def test_nested_cells_keep_their_bounds() -> None:
    many: list[list[Any]] = [
        [[], []],
        [[[]]],
        [[], None],
        [None, []],
        [[None]],
        [None],
        [],
        [[[], []]],
    ]
    kind = pa.list_(pa.list_(pa.list_(pa.int8())))
    assert len(set(encode_cells(pa.array(many, kind)).to_pylist())) == len(many)


def test_structs_and_maps_have_no_order() -> None:
    one = pa.array([{"a": 1, "b": "x"}, None])
    two = pa.array([{"b": "x", "a": 1}, None], pa.struct([("b", pa.string()), ("a", pa.int8())]))
    assert encode_cells(one) == encode_cells(two)
    assert encode_cells(one)[0] != encode_cells(pa.array([{"a": 1, "c": "x"}]))[0]
    kind = pa.map_(pa.string(), pa.int8())
    maps = pa.array([[("a", 1), ("b", 2)], [("b", 2), ("a", 1)], [("a", 2), ("b", 1)]], kind)
    first, again, other = encode_cells(maps).to_pylist()
    assert first == again != other


def test_nanoseconds_are_encoded_inside_a_list() -> None:
    assert inner(1001, pa.timestamp("ns")) != inner(1002, pa.timestamp("ns"))


# -- keys ------------------------------------------------------------------------------------------


def _unkeyed(values: pa.Array, purpose: bytes, prefix: bytes = b"") -> list[str]:
    return [hashlib.blake2b(prefix + v, digest_size=16).hexdigest() for v in values.to_pylist()]


@pytest.mark.parametrize(("make", "keyed"), [(keyed_digests, True), (_unkeyed, False)])
def test_digests_are_keyed_by_purpose_and_prefix(make: Callable[..., Any], keyed: bool) -> None:
    values = pa.array([b"a"], pa.large_binary())
    record, content = make(values, b"sluice record"), make(values, b"sluice content")
    assert (record != content) is keyed
    assert make(values, b"sluice record", b"text:") != record


def test_a_content_is_its_learned_values_alone() -> None:
    # label and groups never reach content_ids: two rows that differ in them only are one content
    rows = pa.table({"text": ["same", "same"], "label": [0, 1], "language": ["en", "am"]})
    first, second = content_ids("text", rows["text"])
    assert first == second


def test_features_are_identified_by_value() -> None:
    vectors = pa.array(
        [[1.0, math.nan], [1.0, math.nan], [1.0, None], None], pa.list_(pa.float64())
    )
    one, two, three, four = content_ids("features", vectors)
    assert one == two != three
    assert four is None
    chunked = pa.chunked_array([vectors[:1], vectors[1:]])
    assert content_ids("features", chunked) == [one, two, three, four]
