"""What could be dropped: as much as possible, and never the last holder of a row."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.savings import droppable_tables

ROWS = st.dictionaries(
    st.sampled_from("abcdefg"), st.frozensets(st.integers(0, 4), min_size=1), min_size=1
)


def edges_of(tables: dict[str, frozenset[int]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "child": c,
                "parent": p,
                "containment": len(left & right) / len(left),
                "multiset_containment": len(left & right) / len(left),
                "exact": True,
                "equality": "typed",
                "child_rows": len(left),
                "parent_rows": len(right),
            }
            for c, left in tables.items()
            for p, right in tables.items()
            if c != p
        ],
        schema={
            "child": pl.String, "parent": pl.String, "containment": pl.Float64,
            "multiset_containment": pl.Float64, "exact": pl.Boolean, "equality": pl.String, "child_rows": pl.Int64,
            "parent_rows": pl.Int64,
        },
    )  # fmt: skip


@settings(max_examples=200)
@given(ROWS)
def test_what_stays_holds_all_and_nothing_more_could_go(tables):
    sizes = {name: ord(name) for name in tables}
    drop = droppable_tables(edges_of(tables), sizes)
    stay = set(tables) - set(drop["table"])
    for row in drop.iter_rows(named=True):
        assert row["kept"] in stay
        assert tables[row["table"]] <= tables[row["kept"]]
        assert (row["kind"] == "duplicate") == (tables[row["table"]] == tables[row["kept"]])
        assert row["bytes"] == sizes[row["table"]]
    assert not any(
        tables[a] <= tables[b] for a in stay for b in stay if a != b
    )  # no further table could go
    for row in drop.filter(pl.col("kind") == "duplicate").iter_rows(named=True):
        assert sizes[row["kept"]] < sizes[row["table"]]


def test_of_equal_tables_the_one_that_repeats_rows_is_kept():
    edges = pl.DataFrame(
        {
            "child": ["few", "many"],
            "parent": ["many", "few"],
            "containment": [1.0, 1.0],
            "multiset_containment": [1.0, 0.5],
            "exact": [True, True],
            "equality": ["value", "value"],
            "child_rows": [2, 4],
            "parent_rows": [4, 2],
        }
    )
    drop = droppable_tables(edges, {"few": 1, "many": 2}).row(0, named=True)
    assert (drop["table"], drop["kept"], drop["multiset_containment"]) == ("few", "many", 1.0)


def test_what_is_not_exact_is_never_to_be_dropped() -> None:
    tables = {"a": frozenset({1}), "b": frozenset({1, 2})}
    edges = edges_of(tables)
    assert droppable_tables(edges, {})["table"].to_list() == ["a"]
    assert droppable_tables(edges.with_columns(exact=pl.lit(value=False)), {}).is_empty()
