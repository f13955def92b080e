from __future__ import annotations

import polars as pl

from assets.deduplication.cluster_report import largest_clusters
from tests.deduplication.test_fates import decide, key, pairs, records

TWINS = pl.DataFrame(schema={"key": pl.String, "representative": pl.String})


def test_the_largest_clusters_say_how_far_they_reach_and_what_they_save():
    rows = records(
        *((f"{n}", letter, "train", None, 10 + n) for n, letter in enumerate("abcd")),
        ("7", "e", "train", None, 30),
        ("8", "e", "train", None, 30),
        ("9", "f", "train", None, 5),
    )
    chain = pairs(("a", "b", 0.9), ("b", "c", 0.8), ("c", "d", 0.85))
    for mode, kept in (("star", 2), ("components", 1)):
        done = decide(rows, chain, TWINS, mode=mode)
        found = largest_clusters(done.duplicates, rows, chain, TWINS).to_dicts()
        assert [row["cluster"] for row in found] == [key("a"), key("e")]
        assert (found[0]["records"], found[0]["kept"], found[0]["pairs"]) == (4, kept, 3)
        assert (found[0]["weakest"], found[0]["diameter"]) == (0.8, 3)
        assert (found[1]["records"], found[1]["kept"], found[1]["bytes_saved"]) == (2, 1, 30)
        assert (found[1]["weakest"], found[1]["diameter"]) == (1.0, 0)
        gone = done.fates.filter(pl.col("fate") == "duplicate").join(rows, on="record_id")
        assert sum(row["bytes_saved"] for row in found) == gone["length"].sum()
        for row in found:
            assert row["twin_id"] in set(gone["record_id"])
            assert row["record_id"] not in set(gone["record_id"])


def test_no_twins_no_report_and_no_more_than_asked():
    rows = records(("1", "a", "train", None, 9))
    none = pairs()
    assert largest_clusters(decide(rows, none, TWINS).duplicates, rows, none, TWINS).is_empty()
    rows = records(*((f"{n}", letter, "train", None, 9) for n, letter in enumerate("aabbbcc")))
    done = decide(rows, none, TWINS)
    found = largest_clusters(done.duplicates, rows, none, TWINS, most=2)
    assert found["records"].to_list() == [3, 2]
    assert found["cluster"].to_list() == [key("b"), key("a")]
