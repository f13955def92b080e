"""Cell and row hashes: against xxhash, across physical types, and what must differ."""

from __future__ import annotations

import datetime as dt
import decimal
import random

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.cell_hash import (
    DIGEST,
    UnhashableColumnError,
    column_cells,
    combine_cells,
    row_digests,
    row_hashes,
)
from assets.kernels.cell_text import float_texts, scalar_text
from assets.kernels.logical_types import logical_type, type_family
from tests.oracles.containment import cell

D = decimal.Decimal
EQUALITIES = ("typed", "value", "text")


def reference(content: bytes, tag: str, name: str) -> int:
    base = xxhash.xxh64_intdigest(name.encode(), 0)
    return xxhash.xxh64_intdigest(content, xxhash.xxh64_intdigest(tag.encode(), base))


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 9, 12, 31, 32, 33, 63, 64, 65, 100, 1000])
def test_strings_are_xxh64_of_their_bytes(size):
    text = "".join(random.Random(size).choices("abcxyz", k=size))
    array = pa.array(["before", text, "after"])[1:2]
    assert column_cells(array, "näme", "value").tolist() == [
        reference(text.encode(), "string", "näme")
    ]


def test_words_and_nulls_are_xxh64_of_their_bytes():
    cells = column_cells(pa.array([-5, None]), "n", "value").tolist()
    word = (-5).to_bytes(8, "little", signed=True)
    assert cells == [reference(word, "number/int", "n"), reference(b"", "null", "n")]
    assert column_cells(pa.array([7], pa.int32()), "n", "typed").tolist() == [
        reference((7).to_bytes(8, "little"), "int32", "n")
    ]


def test_hashes_do_not_change():
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    assert [hex(h) for h in row_hashes(table, ["a", "b"], "value").tolist()] == GOLDEN


GOLDEN = ["0x5ffe020472e72d43", "0x409daeab2a5def92"]


def one(value, data_type=None, equality="value"):
    return int(column_cells(pa.array([value], data_type), "c", equality)[0])


SAME_BY_VALUE = [
    [(1, pa.int8()), (1, pa.uint64()), (1.0, pa.float32()), (1.0, None), (D("1.00"), None)],
    [(0.5, pa.float32()), (0.5, None), (D("0.5"), None), (D("0.500"), None)],
    [(0.1, None), (D("0.1"), None)],
    [(-0.0, None), (0.0, None), (0, None), (0.0, pa.float16())],
    [(2**63, pa.uint64()), (2.0**63, None), (D(2**63), None)],
    [(float("nan"), None), (float("nan"), pa.float32())],
    [(0, pa.timestamp("s")), (0, pa.timestamp("ns")), (0, pa.timestamp("us", "UTC"))],
    [(1, pa.timestamp("ms")), (1000, pa.timestamp("us", "Africa/Lagos"))],
    [(3, pa.date32()), (3 * 86_400_000, pa.date64())],
    [("ab", pa.string()), ("ab", pa.large_string()), ("ab", pa.string_view())],
    [(b"ab", pa.binary()), (b"ab", pa.binary(2)), (b"ab", pa.binary_view())],
    [(None, pa.int8()), (None, pa.string()), (None, pa.null())],
    [([1], pa.list_(pa.int8())), ([1.0], pa.large_list(pa.float64()))],
]


@pytest.mark.parametrize("group", SAME_BY_VALUE)
def test_value_equality_merges_families(group):
    assert len({one(*item) for item in group}) == 1


def test_value_equality_keeps_apart():
    items = [
        (1, None), (True, None), ("1", None), (b"1", None), (1.5, None), ("", None), (None, None),
        (1, pa.date32()), (1, pa.timestamp("us")), (1, pa.timestamp("ns")), (1, pa.time64("us")),
        (1, pa.duration("us")), (float("nan"), None), (float("inf"), None), (float("-inf"), None),
        (D("0.1000000000000000055"), None), (2.0**63, None), (-(2.0**63), None), (1e300, None),
        (D("12345678901234567890.5"), None), (0.1, pa.float32()), (0.1, None), ([1], None),
        ({"a": 1}, None), ({"a": None}, None), ({"a": "1"}, None), ("null", None), ("nan", None),
        (2**62, pa.timestamp("s")), ([None], pa.list_(pa.int8())), ([], pa.list_(pa.int8())),
    ]  # fmt: skip
    assert len({one(*item) for item in items}) == len(items)


def test_typed_equality_is_strict_about_logical_types_only():
    kinds = [
        pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(5, 2),
        pa.decimal128(6, 2), pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"),
        pa.timestamp("ms"),
    ]  # fmt: skip
    assert len({one(1, kind, "typed") for kind in kinds}) == len(kinds)
    assert len({one(None, kind, "typed") for kind in kinds}) == 1  # NULL equals NULL
    assert one("x", pa.large_string(), "typed") == one("x", pa.string_view(), "typed")
    assert one(D("1"), pa.decimal128(5, 2), "typed") == one(D("1"), pa.decimal256(5, 2), "typed")
    assert one(-0.0, None, "typed") == one(0.0, None, "typed")


TEXTS = [
    (1, None, "1"), (1.0, None, "1.0"), (-0.0, None, "0.0"), (0.1, pa.float32(), "0.1"),
    (1e16, None, "1e+16"), (True, None, "true"), (D("1.50"), None, "1.50"), (b"\xff", None, "ff"),
    (float("nan"), None, "nan"), (dt.date(2024, 2, 29), None, "2024-02-29"),
    (dt.datetime(2024, 2, 29, 1, 2, 3), None, "2024-02-29 01:02:03"),
    (dt.datetime(2024, 2, 29, 1, 2, 3, 5000), pa.timestamp("us", "UTC"),
     "2024-02-29 01:02:03.005Z"),
    (dt.time(1, 2, 3), None, "01:02:03"), (dt.timedelta(seconds=90), pa.duration("ms"), "90"),
    (1, pa.timestamp("ns"), "1970-01-01 00:00:00.000000001"), (None, None, ""), ("", None, ""),
    (None, pa.int64(), ""), ([1, None], None, "[1,null]"),
    ({"b": 1.5, "a": "x"}, None, '{"a":"x","b":1.5}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "text"), TEXTS)
def test_text_equality(value, kind, text):
    assert one(value, kind, "text") == one(text, pa.string(), "text")


def test_text_equality_keeps_cells_as_written():
    assert one("1.0", None, "text") != one("1", None, "text")
    assert one(" a", None, "text") != one("a", None, "text")


SCALARS = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=40), st.booleans()
)


@pytest.mark.parametrize("equality", ["typed", "value"])
@settings(max_examples=300)
@given(left=SCALARS, right=SCALARS)
def test_hashes_are_equal_exactly_where_the_oracle_says(equality, left, right):
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    hashes = [
        column_cells(pa.array([v], kinds.get(type(v), pa.null())), "c", equality)[0]
        for v in (left, right)
    ]
    same = cell(left, equality) == cell(right, equality)
    assert (hashes[0] == hashes[1]) == same


@st.composite
def tables(draw):
    n = draw(st.integers(0, 30))

    def column(values, kind):
        return pa.array(draw(st.lists(st.none() | values, min_size=n, max_size=n)), kind)

    return pa.table(
        {
            "i": column(st.integers(-3, 3), pa.int64()),
            "f": column(st.sampled_from([0.0, -0.0, 1.0, 0.5, float("nan"), 1e300]), pa.float64()),
            "s": column(st.text(max_size=5), pa.string()),
            "d": column(st.decimals(-9, 9, places=2), pa.decimal128(5, 2)),
            "t": column(st.integers(-(2**40), 2**40), pa.timestamp("ns")),
            "l": column(st.lists(st.integers(0, 2), max_size=2), pa.list_(pa.int64())),
        }
    )


@settings(max_examples=60)
@given(table=tables(), equality=st.sampled_from(EQUALITIES), cut=st.integers(0, 30), data=st.data())
def test_order_of_columns_chunks_and_encoding_do_not_matter(table, equality, cut, data):
    names = table.column_names
    whole = row_hashes(table, names, equality)
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert (row_hashes(pieces, data.draw(st.permutations(names)), equality) == whole).all()
    index = table.schema.get_field_index("s")
    coded = table.set_column(index, "s", table["s"].dictionary_encode())
    assert (row_hashes(coded, names, equality) == whole).all()
    order = data.draw(st.permutations(range(table.num_rows)))
    taken = table.take(pa.array(order, pa.int64()))
    assert (row_hashes(taken, names, equality) == whole[list(order)]).all()
    cells = [column_cells(table[name], name, equality) for name in names]
    assert (combine_cells(cells) == whole).all()
    digests = row_digests(table, names, equality, b"key")
    assert digests.dtype == DIGEST
    again = row_digests(coded, list(reversed(names)), equality, b"key")
    assert (digests == again).all()
    # both hashes tell the same rows apart
    assert len(np.unique(whole)) == len(set(digests.tolist()))


def test_values_do_not_wander_between_columns():
    table = pa.table({"a": ["x", "y"], "b": ["y", "x"]})
    assert len(set(row_hashes(table, ["a", "b"], "value").tolist())) == 2
    assert (
        row_digests(table, ["a", "b"], "value", b"k")[0]
        != (row_digests(table, ["a", "b"], "value", b"k")[1])
    )


def test_rename_hashes_a_parent_under_the_childs_names():
    child = pa.table({"a": [1], "b": ["x"]})
    parent = pa.table({"z": ["x"], "a": [1], "y": [2]})
    renamed = row_hashes(parent, ["a", "z"], "value", {"z": "b"})
    assert renamed.tolist() == row_hashes(child, ["a", "b"], "value").tolist()
    digest = row_digests(parent, ["a", "z"], "value", b"k", {"z": "b"})
    assert digest.tolist() == row_digests(child, ["a", "b"], "value", b"k").tolist()
    other = row_digests(child, ["a", "b"], "value", b"K")
    assert digest.tolist() != other.tolist()


def test_dotted_paths_reach_into_structs_and_nulls_stay_null():
    nested = pa.table({"s": pa.array([{"a": 1, "b": {"c": "x"}}, None])})
    flat = pa.table({"s.a": [1, None], "s.b.c": ["x", None]})
    columns = ["s.a", "s.b.c"]
    assert row_hashes(nested, columns, "value").tolist() == (
        row_hashes(flat, columns, "value").tolist()
    )
    assert (
        row_hashes(nested.slice(1), columns, "value").tolist()
        == (row_hashes(flat.slice(1), columns, "value")).tolist()
    )


NESTED = {
    "list": (pa.list_, lambda leaf: [leaf, None]),
    "large list": (pa.large_list, lambda leaf: [leaf, None]),
    "fixed list": (lambda kind: pa.list_(kind, 2), lambda leaf: [leaf, None]),
    "struct": (lambda kind: pa.struct([("a", kind), ("b", pa.list_(kind))]),
               lambda leaf: {"a": leaf, "b": [leaf]}),
    "key": (lambda kind: pa.map_(kind, pa.int8()), lambda leaf: [(leaf, 1)]),
    "value": (lambda kind: pa.map_(pa.string(), kind), lambda leaf: [("k", leaf)]),
}  # fmt: skip
INSTANTS = [  # one instant, date, time or duration in two types
    ((5_000_001, pa.timestamp("us")), (5_000_001_000, pa.timestamp("ns"))),
    ((2**40, pa.timestamp("s", "UTC")), (2**40 * 1000, pa.timestamp("ms", "Europe/Berlin"))),
    ((3, pa.date32()), (3 * 86_400_000, pa.date64())),
    ((61, pa.time32("s")), (61 * 10**9, pa.time64("ns"))),
    ((1, pa.duration("s")), (10**9, pa.duration("ns"))),
]


@pytest.mark.parametrize("shape", list(NESTED))
@pytest.mark.parametrize(("one", "two"), INSTANTS)
def test_nested_instants_of_any_unit(shape, one, two):
    kind, wrap = NESTED[shape]

    def cells(leaf, leaf_type, equality):
        counts = pa.int32() if leaf_type.bit_width == 32 else pa.int64()
        array = pa.array([wrap(leaf), None, wrap(leaf + 1)], kind(counts)).cast(kind(leaf_type))
        return column_cells(array, "n", equality).tolist()

    for equality in ("value", "text"):
        assert cells(*one, equality)[:2] == cells(*two, equality)[:2]
    for equality in EQUALITIES:
        # the next tick of the finer type is another value, and Python need not know it
        assert len(set(cells(*two, equality))) == (2 if pa.types.is_date(two[1]) else 3)


def test_views_of_instants_are_refused_by_name():
    # Arrow 26 loses their items in a cast
    array = pa.array([[1]], pa.list_view(pa.timestamp("ns")))
    with pytest.raises(UnhashableColumnError, match=r"list_view.*cast it"):
        column_cells(array, "n", "value")


def test_no_columns_no_rows():
    assert len(set(row_hashes(pa.table({"a": [1, 2]}), [], "value").tolist())) == 1
    assert row_hashes(pa.table({"a": pa.array([], pa.string())}), ["a"], "text").size == 0
    assert column_cells(pa.chunked_array([], pa.string()), "a", "value").size == 0


def test_what_can_not_be_hashed_says_so():
    with pytest.raises(UnhashableColumnError, match="no column 'b'"):
        row_hashes(pa.table({"a": [1]}), ["b"], "value")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(UnhashableColumnError, match="2 times"):
        row_hashes(twice, ["a"], "value")
    union = pa.UnionArray.from_dense(
        pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]
    )
    with pytest.raises(UnhashableColumnError, match="cast it"):
        column_cells(union, "u", "value")
    with pytest.raises(ValueError, match="key"):
        row_digests(pa.table({"a": [1]}), ["a"], "value", b"")


def test_types_have_one_name():
    coded = pa.dictionary(pa.int8(), pa.large_string())
    assert logical_type(coded) == logical_type(pa.string()) == "string"
    assert type_family(pa.decimal256(40, 3)) == type_family(pa.uint8()) == "number"
    assert logical_type(pa.map_(pa.string(), pa.int8())) == "map<string,int8>"
    assert logical_type(pa.struct([("b", pa.int8()), ("a", pa.list_(pa.date64()))])) == (
        "struct<a:list<date>,b:int8>"
    )


@pytest.mark.parametrize("equality", EQUALITIES)
def test_long_decimals_are_told_apart(equality):
    near = [D("1." + "1" * 36 + end) for end in "12"]
    assert one(near[0], None, equality) != one(near[1], None, equality)
    assert one([near[0]], None, equality) != one([near[1]], None, equality)


@settings(max_examples=300)
@given(st.lists(st.floats() | st.floats(-1e17, 1e17) | st.integers(-(10**17), 10**17).map(float)))
def test_floats_are_written_alike_one_by_one_and_together(numbers):
    together = float_texts(np.array(numbers, np.float64))
    assert together == [scalar_text(number).encode() for number in numbers]
