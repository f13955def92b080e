"""Selection: the plan to the row, nested in the budget, independent of order."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.publication.selection import select_records, spread


def candidates(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "record_id": [f"{i:032x}" for i in range(count)],
            "group": ["a" if i % 2 else "b" for i in range(count)],
            "pool": pl.Series([i % 3 for i in range(count)], dtype=pl.Int32),
            "quality": [i / count for i in range(count)],
        }
    )


def plan(samples: int, records: int) -> pl.DataFrame:
    cells = [(g, p, samples, records) for g in "ab" for p in range(3)]
    return pl.DataFrame(
        cells,
        schema={"group": pl.String, "pool": pl.Int32, "samples": pl.Int64, "records": pl.Int64},
        orient="row",
    )


@given(st.integers(0, 10), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=60)
def test_each_cell_shows_exactly_what_is_planned(records: int, passes: int, extra: int) -> None:
    samples = records * passes + min(extra, max(records - 1, 0))
    frame = candidates(60)
    chosen = select_records(frame, plan(samples, records), seed=0).join(frame, on="record_id")
    for _, cell in chosen.group_by("group", "pool"):
        assert cell["passes"].sum() == samples
        assert cell.height == records
        assert cell["passes"].max() - cell["passes"].min() <= 1  # type: ignore[operator]
    if records == 0:
        assert chosen.is_empty()


def test_a_larger_budget_contains_a_smaller_one_and_order_does_not_matter() -> None:
    frame = candidates(60)
    small = select_records(frame, plan(3, 3), seed=5)
    large = select_records(frame.sample(fraction=1, shuffle=True, seed=1), plan(7, 7), seed=5)
    assert set(small["record_id"]) < set(large["record_id"])
    again = select_records(frame.reverse(), plan(3, 3), seed=5)
    assert again.equals(small)
    assert set(select_records(frame, plan(3, 3), seed=6)["record_id"]) != set(small["record_id"])


def test_within_best_takes_the_highest_quality() -> None:
    frame = candidates(60)
    chosen = select_records(frame, plan(2, 2), seed=0, within="best").join(frame, on="record_id")
    for (group, pool), cell in chosen.group_by("group", "pool"):
        rest = frame.filter(pl.col("group") == group, pl.col("pool") == pool)
        assert cell["quality"].min() >= rest["quality"].sort(descending=True)[1]


@pytest.mark.parametrize(("samples", "records"), [(0, 0), (7, 3), (6, 3), (2, 3)])
def test_an_even_spread_sums_to_the_samples(samples: int, records: int) -> None:
    assert spread(samples, records).sum() == (samples if records else 0)


def test_records_without_a_group_follow_the_cell_without_one() -> None:
    candidates = pl.DataFrame(
        {
            "record_id": ["a" * 32, "b" * 32],
            "group": [None, "en"],
            "pool": [0, 0],
            "quality": [1, 1],
        },
        schema_overrides={"group": pl.String},
    )
    plan = pl.DataFrame({"group": [None], "pool": [0], "samples": [3], "records": [1]}).cast(
        {"group": pl.String}
    )
    chosen = select_records(candidates, plan, seed=0)
    assert chosen.rows() == [("a" * 32, 3)]
