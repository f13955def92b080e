"""Fates: the order of causes, no chains, roles respected, hold-out by cluster."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

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


LETTERS = "abcdef"
LENGTHS = {"a": 9, "b": 8, "c": 8, "d": 5, "e": 3, "f": 0}
Rows = list[tuple[str, str, str, str | None, int]]
Edges = list[tuple[str, str, float]]

some_rows = st.lists(
    st.tuples(
        st.sampled_from(LETTERS),
        st.sampled_from(["train", "train", "train", "evaluation", "target"]),
        st.sampled_from([None, "x", "y"]),
    ),
    max_size=14,
).map(
    lambda rows: [
        (f"{i:032x}", c, role, label, LENGTHS[c]) for i, (c, role, label) in enumerate(rows)
    ]
)
some_pairs = st.lists(
    st.sampled_from(list(itertools.combinations("abcde", 2))), unique=True, max_size=8
).map(lambda found: [(a, b, 0.8 + 0.01 * i) for i, (a, b) in enumerate(found)])


def faults(rows: Rows, edges: Edges, **options: Any) -> list[str]:
    """Say what is wrong with the fates of these records, judged one by one."""
    present = {content for _, content, *_ in rows}
    alike = {frozenset((a, b)) for a, b, _ in edges if {a, b} <= present}
    edges = [(a, b, s) for a, b, s in edges if {a, b} <= present]
    found = {
        row["record_id"]: row
        for row in decide(records(*rows), pairs(*edges), TWINS, **options).fates.to_dicts()
    }
    told = []
    if sorted(found) != sorted(r for r, *_ in rows):
        return ["not one line a record"]
    content = {r: c for r, c, *_ in rows}
    guarded = {c for _, c, role, _, n in rows if role != "train" and n}
    kept = {r for r in found if found[r]["fate"] in (None, "held_out")}
    for record, letter, role, _, length in rows:
        fate, by = found[record]["fate"], found[record]["by"]
        near_guarded = any(g == letter or frozenset((g, letter)) in alike for g in guarded)
        if (fate == "evaluation") != (role != "train"):
            told.append("role")
        elif (fate == "filtered") != (role == "train" and not length):
            told.append("empty")
        elif role == "train" and length and (fate == "contaminated") != near_guarded:
            told.append("contaminated")
        if fate == "duplicate":
            if by not in kept:
                told.append("keeper is gone")
            elif content[by] != letter and frozenset((content[by], letter)) not in alike:
                told.append("keeper is not like it")
            # it may join a shorter record that it is more like, but a longer one is why it went
            elif not any(
                LENGTHS[content[other]] >= length
                for other in kept
                if content[other] == letter or frozenset((content[other], letter)) in alike
            ):
                told.append("the shorter stays")
        if fate is not None and not found[record]["reason"]:
            told.append("no reason")
    for left, right in itertools.combinations(sorted(kept), 2):
        if content[left] == content[right] or frozenset((content[left], content[right])) in alike:
            told.append("twins stay")
    return told


@given(some_rows, some_pairs, st.sampled_from([0.0, 0.4]))
@settings(max_examples=120)
def test_each_record_has_the_fate_that_it_should(rows: Rows, edges: Edges, share: float) -> None:
    assert faults(rows, edges, holdout_share=share) == []


def test_chains_would_be_told() -> None:
    """A mutant that keeps one record of each component: the keeper is no twin of a chain's end."""
    rows: Rows = [(f"{i:032x}", c, "train", None, LENGTHS[c]) for i, c in enumerate("abd")]
    edges = [("a", "b", 0.9), ("b", "d", 0.9)]
    assert faults(rows, edges) == []
    assert faults(rows, edges, mode="components") == ["keeper is not like it"]


@given(some_rows, some_pairs, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_neither_the_order_of_records_nor_of_pairs_matters(
    rows: Rows, edges: Edges, draw: Any
) -> None:
    present = {content for _, content, *_ in rows}
    edges = [(a, b, s) for a, b, s in edges if {a, b} <= present]
    expected = decide(records(*rows), pairs(*edges), TWINS, holdout_share=0.4)
    draw.shuffle(rows)
    draw.shuffle(edges)
    again = decide(records(*rows), pairs(*edges), TWINS, holdout_share=0.4)
    assert again.fates.equals(expected.fates)
    keys = ["record_id"]
    assert again.duplicates.sort(keys).equals(expected.duplicates.sort(keys))
