from __future__ import annotations

import numpy as np
import polars as pl

from assets.filtering.cuts import cuts_for
from assets.filtering.pools import assign, cut_points, moved


def records(count, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "record_id": [f"{(i + 977 * seed) * 2654435761 % 2**64:032x}" for i in range(count)],
            "group": [f"g{i % 2}" for i in range(count)],
            "quality": rng.standard_normal(count) + shift,
        }
    )


def cuts(train, kept=None, scoring="s", most_moved=0.1):
    return cuts_for(
        train,
        scoring=scoring,
        by_group=True,
        pools=4,
        seed=0,
        kept=None if kept is None else kept.to_frame(),
        reason="it is the first",
        most_moved=most_moved,
    )


def test_cuts_are_kept_while_few_records_would_move():
    first = cuts(records(400))
    assert first.renewed
    assert first.reason == "it is the first"
    more = pl.concat([records(400), records(8, seed=1)])
    later = cuts(more, first)
    assert not later.renewed
    assert 0.0 < later.moved <= 0.1
    assert later.identity == first.identity
    assert later.state == first.state


def test_cuts_are_made_anew_when_many_would_move_or_the_scores_were():
    first = cuts(records(400))
    worse = pl.concat([records(400), records(400, seed=2, shift=-3.0)])
    later = cuts(worse, first)
    assert later.renewed
    assert "would change their pool, more than 0.1" in later.reason
    assert later.identity != first.identity
    other = cuts(records(400), first, scoring="t")
    assert (other.renewed, other.reason) == (True, "the scores were calibrated anew")
    assert other.identity != first.identity, "equal cuts of other scores are other pools"


def test_a_group_that_the_cuts_have_not_seen_counts_as_moved():
    first = cuts(records(100))
    new = records(100, seed=3).with_columns(group=pl.lit("new"))
    later = cuts(pl.concat([records(100), new]), first)
    assert later.renewed, "all of them are in the median pool: three in four would move"


def test_moved_is_the_share_whose_pool_differs():
    train = records(200)
    columns = (train["quality"], train["group"], train["record_id"])
    old = cut_points(*columns, pools=4)
    new = cut_points(train["quality"] * -1, *columns[1:], pools=4)
    want = (assign(old, *columns) != assign(new, *columns)).sum() / 200
    assert moved(old, new, *columns) == want > 0
    assert moved(old, old, *columns) == 0.0
    nothing = train.clear()
    assert moved(old, new, nothing["quality"], nothing["group"], nothing["record_id"]) == 0.0
