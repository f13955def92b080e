from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.filtering.pools import PoolError, PoolState, assign, cut_points


def frame(count, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, 3, count).astype(float) if ties else rng.standard_normal(count)
    return pl.DataFrame(
        {
            "id": [f"{i * 2654435761 % 2**64:032x}" for i in range(count)],
            "group": [f"g{i % 3}" for i in rng.integers(0, 9, count)],
            "quality": quality,
        }
    )


@settings(max_examples=40)
@given(
    count=st.integers(1, 120), pools=st.integers(1, 7), seed=st.integers(0, 99), ties=st.booleans()
)
def test_sizes_differ_by_at_most_one_within_each_group(count, pools, seed, ties):
    f = frame(count, seed, ties)
    state = cut_points(f["quality"], f["group"], f["id"], pools=pools, seed=seed)
    pool = assign(state, f["quality"], f["group"], f["id"])
    out = f.with_columns(pool)
    for _, part in out.group_by("group"):
        sizes = [part.filter(pl.col("pool") == p).height for p in range(pools)]
        assert max(sizes) - min(sizes) <= 1
        tops = [part.filter(pl.col("pool") == p)["quality"] for p in range(pools)]
        for better, worse in pairwise(tops):
            if len(better) and len(worse):
                assert better.min() >= worse.max()


def test_assignment_is_row_local_and_order_free():
    f = frame(200, 1, ties=True)
    state = cut_points(f["quality"], f["group"], f["id"])
    shuffled = f.sample(fraction=1.0, shuffle=True, seed=1)
    assert cut_points(shuffled["quality"], shuffled["group"], shuffled["id"]) == state
    whole = assign(state, f["quality"], f["group"], f["id"]).to_list()
    stored = PoolState.from_json(json.loads(json.dumps(state.to_json())))
    single = [
        assign(stored, row["quality"], row["group"], row["id"])[0]
        for row in (f[i : i + 1] for i in range(f.height))
    ]
    assert whole == single


def test_records_without_quality_go_to_the_median_pool():
    f = frame(100).with_columns(
        quality=pl.when(pl.int_range(pl.len()) < 10).then(None).otherwise("quality")
    )
    state = cut_points(f["quality"], None, f["id"], pools=4)
    pool = assign(state, f["quality"], None, f["id"])
    assert state.nulls == 10
    assert pool[:10].to_list() == [2] * 10
    assert sorted(pool[10:].value_counts()["count"].to_list()) == [22, 22, 23, 23]


def test_a_group_that_is_bad_overall_still_has_a_best_pool():
    f = pl.DataFrame(
        {
            "id": [f"{i:032x}" for i in range(40)],
            "group": ["good"] * 20 + ["bad"] * 20,
            "quality": [10.0 + i for i in range(20)] + [float(i) / 100 for i in range(20)],
        }
    )
    within = assign(
        cut_points(f["quality"], f["group"], f["id"]), f["quality"], f["group"], f["id"]
    )
    overall = assign(cut_points(f["quality"], None, f["id"]), f["quality"], None, f["id"])
    assert (within[20:] == 0).sum() == 5
    # mutant: global cuts leave the group without any record in the better half
    assert (overall[20:] < 2).sum() == 0


def test_bad_pools():
    f = frame(5)
    with pytest.raises(PoolError, match=r"filtering\.pools is 0"):
        cut_points(f["quality"], None, f["id"], pools=0)
    with pytest.raises(PoolError, match="not numeric"):
        cut_points(f["group"], None, f["id"])
    with pytest.raises(PoolError, match="one length"):
        cut_points(f["quality"], None, f["id"][:3])
    empty = frame(5).head(0)
    state = cut_points(empty["quality"], None, empty["id"])
    assert assign(state, empty["quality"], None, empty["id"]).len() == 0
