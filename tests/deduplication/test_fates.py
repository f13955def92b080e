"""Fates: the order of causes, no chains, roles respected, hold-out by cluster."""

from __future__ import annotations

import polars as pl

from assets.deduplication.fates import decide

TWINS = pl.DataFrame(schema={"key": pl.String, "representative": pl.String})


def key(letter: str) -> str:
    return letter * 32


def records(*rows: tuple[str, str, str, str | None, int]) -> pl.DataFrame:
    """(record, content letter, role, label, length)"""
    return pl.DataFrame(
        [
            (r, key(c), "t", role, label, 0, length, length == 0)
            for r, c, role, label, length in rows
        ],
        schema={
            "record_id": pl.String,
            "content_id": pl.String,
            "table": pl.String,
            "role": pl.String,
            "label": pl.String,
            "rule": pl.Int32,
            "length": pl.Int64,
            "empty": pl.Boolean,
        },
        orient="row",
    )


def pairs(*edges: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(
        [(key(a), key(b), s) for a, b, s in edges],
        schema={"left": pl.String, "right": pl.String, "similarity": pl.Float64},
        orient="row",
    )


def fates(*arguments: pl.DataFrame, **settings: object) -> dict[str, str | None]:
    decided = decide(*arguments, TWINS, **settings)  # type: ignore[arg-type]
    return dict(decided.fates.select("record_id", "fate").iter_rows())


def test_a_chain_drops_only_what_is_like_the_row_that_is_kept() -> None:
    rows = records(
        ("1", "a", "train", None, 9), ("2", "b", "train", None, 8), ("3", "c", "train", None, 7)
    )
    chain = pairs(("a", "b", 0.8), ("b", "c", 0.8))
    assert fates(rows, chain) == {"1": None, "2": "duplicate", "3": None}
    assert fates(rows, chain, mode="components") == {"1": None, "2": "duplicate", "3": "duplicate"}


def test_the_longer_text_survives_wherever_it_stands() -> None:
    rows = records(("1", "a", "train", None, 3), ("2", "b", "train", None, 9))
    assert fates(rows, pairs(("a", "b", 0.9))) == {"1": "duplicate", "2": None}
    assert fates(rows.reverse(), pairs(("a", "b", 0.9))) == {"1": "duplicate", "2": None}


def test_twins_of_evaluation_and_target_rows_are_contaminated_and_those_rows_stay() -> None:
    rows = records(
        ("1", "a", "evaluation", None, 5),
        ("2", "a", "train", None, 5),
        ("3", "b", "train", None, 5),
        ("4", "c", "target", None, 5),
        ("5", "d", "train", None, 5),
        ("6", "e", "train", None, 5),
    )
    found = fates(rows, pairs(("a", "b", 0.85), ("c", "d", 0.9), ("d", "e", 0.9)))
    assert found == {
        "1": "evaluation",
        "2": "contaminated",
        "3": "contaminated",
        "4": "evaluation",
        "5": "contaminated",
        "6": None,
    }


def test_exact_copies_keep_one_and_mark_labels_that_disagree() -> None:
    rows = records(
        ("1", "a", "train", "x", 5), ("2", "a", "train", "y", 5), ("3", "b", "train", "x", 5)
    )
    decided = decide(rows, pairs(), TWINS)
    kept = decided.fates.filter(pl.col("fate").is_null())["record_id"].to_list()
    assert len(kept) == 2
    assert "3" in kept
    assert decided.duplicates["label_conflict"].to_list() == [True, True]
    assert fates(rows, pairs(), label_conflicts="drop_all") == {
        "1": "filtered",
        "2": "filtered",
        "3": None,
    }


def test_what_is_empty_is_filtered_and_twins_nobody() -> None:
    rows = records(
        ("1", "a", "train", None, 0), ("2", "a", "train", None, 0), ("3", "b", "train", None, 4)
    )
    assert fates(rows, pairs()) == {"1": "filtered", "2": "filtered", "3": None}


def test_hold_out_takes_whole_clusters_and_never_lets_go() -> None:
    rows = records(*[(str(i), chr(97 + i), "train", None, 9 - i) for i in range(8)])
    chains = pairs(("a", "b", 0.8), ("b", "c", 0.8), ("d", "e", 0.8), ("e", "f", 0.8))
    held = {
        seed: {
            k
            for k, fate in fates(rows, chains, holdout_share=0.5, seed=seed).items()
            if fate == "held_out"
        }
        for seed in range(12)
    }
    for chosen in held.values():
        # a and c survive and d and f survive; the ends of a chain are never divided
        assert ("0" in chosen) == ("2" in chosen)
        assert ("3" in chosen) == ("5" in chosen)
    assert len({frozenset(h) for h in held.values()}) > 1
    later = fates(rows, chains, holdout_share=0.0, previously_held={key("a")})
    assert {k for k, fate in later.items() if fate == "held_out"} == {"0", "2"}
