"""A key that stands twice in an object loses a value, and that is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.ingestion.json_parse import parse_json, repeated_key
from tests.ingestion.helpers import read_all, write

KEYS = st.sampled_from(["a", "b", 'q": ', "a\\", "é", ""])
LEAVES = st.one_of(st.none(), st.integers(), st.sampled_from(['"x": 1', '{"a":1,"a":2}', ""]))
#: an object is ("object", pairs), so that a key may stand twice
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(lambda pairs: ("object", pairs)),
    ),
    max_leaves=12,
)


def written(value, colon):
    if isinstance(value, tuple):
        pairs = value[1]
        return "{" + ",".join(json.dumps(k) + colon + written(v, colon) for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(v, colon) for v in value) + "]"
    return json.dumps(value)


def repeats(value):
    if isinstance(value, tuple):
        keys = [key for key, _ in value[1]]
        return len(set(keys)) < len(keys) or any(repeats(v) for _, v in value[1])
    return isinstance(value, list) and any(map(repeats, value))


@given(VALUES, st.sampled_from([":", " : ", "\t:", ": "]))
def test_it_is_found_wherever_it_stands(value, colon):
    raw = written(value, colon).encode()
    found = repeated_key(raw, parse_json(raw))
    assert (found is not None) == repeats(value)


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        (
            "t.jsonl",
            b'{"a": 0}\n{"a": 1, "a": 2}\n{"b": {"c": 1, "c": 2}}\n',
            "2 records repeat a key, whose last value is kept: key 'a' of the record at position 1 first",
        ),
        (
            "t.json",
            b'[{"a": 1, "a": 2}]',
            "key 'a' stands twice in an object: its last value is kept",
        ),
    ],
)
def test_the_table_says_so(tmp_path, name, content, note):
    rows, stream = read_all(write(tmp_path, name, content))
    assert stream.notes == [note]
    assert 2 in [row["a"] for row in rows]
