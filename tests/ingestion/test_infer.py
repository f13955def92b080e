"""Types of landed strings: canonical forms only, and independent of order and batching."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.ingestion.infer import TypeState, canonical_integer, infer_types, typed

UTC = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "-17", None], pa.int64()),
        (["9223372036854775807", "-9223372036854775808"], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["01"], pa.string()),
        (["+1"], pa.string()),
        (["-0"], pa.float64()),
        ([" 1"], pa.string()),
        ([""], pa.string()),
        (["1\n"], pa.string()),
        (["1.5", "1", "-2e10", "1E-3"], pa.float64()),
        (["1.", ".5"], pa.string()),
        (["nan"], pa.string()),
        (["inf", "1.0"], pa.string()),
        (["1e999"], pa.string()),
        (["true", "false"], pa.bool_()),
        (["TRUE", "TRUE"], pa.bool_()),
        (["true", "False"], pa.string()),
        (["0001-01-01", "9999-12-31", "1969-02-28"], pa.date32()),
        (["2023-02-29"], pa.string()),
        (["2020-01-01", "2020-01-01T00:00:00"], pa.string()),
        (["2020-01-01T10:11:12", "2400-01-01 10:11:12.123456"], pa.timestamp("us")),
        (["2020-01-01T10:11:12Z", "2020-01-01 10:11:12+05:30"], UTC),
        (["2020-01-01T10:11:12Z", "2020-01-01T10:11:12"], pa.string()),
        (["2020-01-01T25:11:12"], pa.string()),
        ([None, None], pa.string()),
        ([], pa.string()),
    ],
)
def test_types(cells, expected):
    frame = pl.DataFrame({"c": cells}, schema={"c": pl.String})
    types = infer_types([frame], ["c"])
    assert types == {"c": expected}
    cast = typed(frame, types)
    assert typed(frame.lazy(), types).collect().equals(cast)
    assert cast["c"].null_count() == frame["c"].null_count()


def test_cast_values():
    cells = ["2020-01-01T10:11:12Z", "1960-01-01 10:11:12.5+05:30"]
    frame = pl.DataFrame({"t": cells, "b": ["TRUE", "FALSE"]})
    got = typed(frame, infer_types([frame], ["t", "b"]))
    assert got["t"].to_list() == [
        dt.datetime(2020, 1, 1, 10, 11, 12, tzinfo=dt.UTC),
        dt.datetime(1960, 1, 1, 4, 41, 12, 500_000, tzinfo=dt.UTC),
    ]
    assert got["b"].to_list() == [True, False]


WORDS = [
    "1",
    "-2",
    "0.5",
    "1e3",
    "true",
    "TRUE",
    "2020-01-01",
    "2020-01-01T00:00:00",
    "x",
    "",
    None,
]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), max_size=8), st.randoms(), st.integers(0, 8))
def test_order_and_batches_do_not_matter(cells, random, cut):
    def state(part):
        made = TypeState(["c"])
        made.update(pl.DataFrame({"c": part}, schema={"c": pl.String}))
        return made

    expected = state(cells).result()
    shuffled = list(cells)
    random.shuffle(shuffled)
    left, right = state(shuffled[:cut]), state(shuffled[cut:])
    right.merge(left)
    assert right.result() == expected


@given(st.integers() | st.text("0123456789+- ", max_size=5))
def test_canonical_integers(value):
    text = str(value)
    try:
        expected = str(int(text)) == text and -(2**63) <= int(text) < 2**63
    except ValueError:
        expected = False
    assert canonical_integer(text) == expected
    types = infer_types([pl.DataFrame({"c": [text]})], ["c"])
    assert (types["c"] == pa.int64()) == expected
