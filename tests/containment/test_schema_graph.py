"""The schema graph against all pairs, and a wrong clustering that the same lakes reject."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.schema_graph import SchemaModeError, flat_schema, schema_edges
from tests.oracles.containment import schema_pairs

SCHEMAS = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.dictionaries(st.sampled_from("vwxyz"), st.sampled_from(["n", "s", "null"]), max_size=5),
    max_size=12,
)


def random_lake(seed, n=40):
    rng = random.Random(seed)
    names = "abcdefgh"
    return {f"t{i}": dict.fromkeys(rng.sample(names, rng.randint(1, 6)), "") for i in range(n)}


@settings(max_examples=200)
@given(schemas=SCHEMAS)
def test_inverted_index_finds_all_pairs_and_no_other(schemas):
    assert schema_edges(schemas) == schema_pairs(schemas)


@pytest.mark.parametrize("seed", range(10))
def test_both_modes_agree(seed):
    lake = random_lake(seed)
    assert schema_edges(lake, "paper") == schema_edges(lake) == schema_pairs(lake)


def first_centre_only(schemas):
    """A wrong clustering: each schema joins only the first centre that holds it."""
    clusters = []
    for name in sorted(schemas, key=lambda name: -len(schemas[name])):
        own = set(schemas[name])
        for cluster in clusters:
            if own <= cluster[0]:
                cluster[1].append(name)
                break
        else:
            clusters.append((own, [name]))
    return sorted(
        (child, parent)
        for _, members in clusters
        for child in members
        for parent in members
        if child != parent and set(schemas[child]) <= set(schemas[parent])
    )


def test_joining_the_first_centre_only_is_caught():
    missed = [
        set(schema_pairs(lake)) - set(first_centre_only(lake))
        for lake in map(random_lake, range(5))
    ]
    assert all(missed)


def test_order_of_tables_and_columns_does_not_matter():
    lake = random_lake(1)
    shuffled = {
        name: dict(reversed(list(lake[name].items())))
        for name in sorted(lake, key=lambda n: n[::-1])
    }
    assert schema_edges(shuffled) == schema_edges(lake)


def test_equal_schemas_go_both_ways_and_no_columns_are_in_nothing():
    lake = {"a": {"x": ""}, "b": {"x": ""}, "empty": {}}
    assert schema_edges(lake) == [("a", "b"), ("b", "a")]


def test_a_column_without_values_fits_any_type():
    lake = {"void": {"x": "null"}, "text": {"x": "string"}, "number": {"x": "number"}}
    assert ("text", "number") not in schema_edges(lake)
    assert {("void", "text"), ("number", "void")} <= set(schema_edges(lake))


def test_wide_tables():
    wide = {f"c{i}": "number" for i in range(5000)}
    lake = {"wide": wide, "copy": wide, "narrow": {"c4999": "number"}, "typed": {"c1": "string"}}
    assert schema_edges(lake) == [
        ("copy", "wide"), ("narrow", "copy"), ("narrow", "wide"), ("wide", "copy"),
    ]  # fmt: skip


def test_unknown_mode():
    with pytest.raises(SchemaModeError, match="inverted"):
        schema_edges({}, "clever")


def test_structs_are_flattened_unless_names_clash():
    inner = pa.struct([("b", pa.int8()), ("c", pa.struct([("d", pa.string())]))])
    assert flat_schema(pa.schema([("a", inner), ("l", pa.list_(pa.int8()))]), "typed") == {
        "a.b": "int8", "a.c.d": "string", "l": "list<int8>",
    }  # fmt: skip
    clash = flat_schema(pa.schema([("a", inner), ("a.b", pa.int64())]), "value")
    assert clash == {"a": "nested", "a.b": "number"}
    assert flat_schema(pa.schema([("a", pa.int8())]), "text") == {"a": ""}
