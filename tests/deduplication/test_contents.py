from __future__ import annotations

import itertools
import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication.clusters import components, star_clusters
from assets.deduplication.contained import contained_tables
from assets.deduplication.contamination import contamination
from assets.deduplication.errors import NormalisationSettingError, SimilarityError
from assets.deduplication.exact import content_rank, content_survivors, duplicate_records
from assets.deduplication.holdout import HoldOut, hold_draw
from assets.deduplication.normalise import content_text, parse_normalisation
from tests.deduplication.corpora import key_of

PAIRS = {"left": pl.String, "right": pl.String, "similarity": pl.Float64}
VARIANTS = [
    "a b",
    "a\r\nb",
    "a\nb",
    "a\rb",
    "a\u2028b",
    "\ufeffa b",
    " a  b ",
    "A B",
    "a\x1cb",
    "a\u0085b",
]


@pytest.mark.parametrize(
    ("setting", "kinds"),
    [
        ("none", 10),
        ("bom", 9),
        ("line_endings", 5),
        ("case", 9),
        ("whitespace", 2),
        ("whitespace+case", 1),
    ],
)
def test_each_variant_is_declared_equal_or_different(setting, kinds):
    assert content_text(pl.Series(VARIANTS), setting).n_unique() == kinds


def test_unicode_forms():
    texts = pl.Series(["e\u0301", "\u00e9", "\ufb01", "fi", None])
    assert content_text(texts, "nfc").n_unique() == 4
    assert content_text(texts, "nfkc").n_unique() == 3
    assert content_text(texts, "nfc").null_count() == 1


@given(st.text(max_size=40))
def test_whitespace_is_pythons(text):
    want = " ".join(text.removeprefix("\ufeff").split())
    assert content_text(pl.Series([text]), "whitespace").item() == want


@given(st.text(max_size=30), st.sampled_from(["none", "line_endings", "whitespace", "nfc", "nfkc"]))
def test_normalising_twice_changes_nothing_but_a_second_mark(text, setting):
    once = content_text(pl.Series([text.replace("\ufeff", "")]), setting)
    assert content_text(once, setting).equals(once)


@pytest.mark.parametrize("wrong", ["", "lower", "none+case", "nfc+nfkc", "case+"])
def test_unknown_normalisation_is_refused(wrong):
    with pytest.raises(NormalisationSettingError, match="line_endings"):
        parse_normalisation(wrong)


def records(rows):
    return pl.DataFrame(
        rows,
        schema={
            "record_id": pl.String,
            "content_id": pl.String,
            "label": pl.String,
            "source": pl.Int64,
            "role": pl.String,
        },
        orient="row",
    )


ROWS = [
    ("r1", "c1", "x", 1, "train"),
    ("r2", "c1", "y", 0, "train"),
    ("r3", "c2", "y", 1, "train"),
    ("r4", "c3", None, 0, "train"),
    ("r5", "c4", "x", 0, "train"),
    ("r6", "c4", "x", 0, "train"),
]


def test_duplicates_name_their_keeper_kind_and_conflict():
    table = records(ROWS)
    survivors = content_survivors(table, ["source"])
    assert dict(survivors.select("content_id", "survivor").iter_rows()) == {
        "c1": "r2",
        "c2": "r3",
        "c3": "r4",
        "c4": "r5",
    }
    pairs = pl.DataFrame([("c1", "c2", 0.9), ("c2", "c3", 0.8)], schema=PAIRS, orient="row")
    stars = star_clusters(pairs, content_rank(survivors, ["source"]))
    got = duplicate_records(table, stars, ["source"])
    assert got.rows() == [
        ("r1", "c1", "exact", "r2", 1.0, True),
        ("r2", "c1", "exact", "r2", 1.0, True),
        ("r3", "c1", "near", "r2", 0.9, True),
        ("r4", "c1", "near", "r4", 1.0, False),
        ("r5", "c4", "exact", "r5", 1.0, False),
        ("r6", "c4", "exact", "r5", 1.0, False),
    ]


@given(st.randoms(use_true_random=False))
def test_survivors_do_not_depend_on_position(draw):
    rows = ROWS[:]
    draw.shuffle(rows)
    assert duplicate_records(records(rows), None, ["source"]).equals(
        duplicate_records(records(ROWS), None, ["source"])
    )
    assert duplicate_records(records(rows), label=None)["label_conflict"].any() is False


CONTENTS = [key_of(i) for i in range(400)]
LINKS = components(
    pl.DataFrame(
        [(CONTENTS[i], CONTENTS[i + 1], 0.9) for i in range(0, 100, 2)], schema=PAIRS, orient="row"
    )
)


def held(share, before=frozenset(), ids=CONTENTS, seed=3):
    contents = pl.Series(ids)
    return set(contents.filter(HoldOut(LINKS, share, seed, before).of(contents)))


def test_holdout_keeps_twins_together_and_nests():
    cluster = dict(LINKS.iter_rows())
    sets = [held(share) for share in (0.0, 0.1, 0.3, 0.6, 1.0)]
    assert sets[0] == set()
    assert sets[4] == set(CONTENTS)
    for small, large in itertools.pairwise(sets):
        assert small <= large
    for chosen in sets:
        assert all((a in chosen) == (b in chosen) for a, b in cluster.items() if b in CONTENTS)
    assert abs(len(held(0.3)) / 400 - 0.3) < 0.08
    assert held(0.3) != held(0.3, seed=4)
    assert 0 <= hold_draw("x", 1) < 1


def test_once_held_out_always_held_out_with_all_twins():
    old = {CONTENTS[1], CONTENTS[300], key_of("gone")}
    assert held(0.0, old) == {CONTENTS[0], CONTENTS[1], CONTENTS[300]}
    # a content that is not decided on now still links the others
    assert held(0.0, {CONTENTS[1]}, [CONTENTS[0]]) == {CONTENTS[0]}


def test_holdout_does_not_depend_on_other_rows_or_order():
    ids = CONTENTS[:]
    random.Random(1).shuffle(ids)
    assert held(0.3, ids=ids) == held(0.3)
    assert held(0.3, ids=CONTENTS[:200]) == held(0.3) & set(CONTENTS[:200])


def test_bad_shares_are_refused():
    with pytest.raises(SimilarityError, match=r"1\.5"):
        held(1.5)


def test_contaminated_rows_name_what_they_repeat():
    table = records(
        [
            ("t1", "c1", None, 0, "train"),
            ("t2", "c2", None, 0, "train"),
            ("t3", "c3", None, 0, "train"),
            ("t4", "c4", None, 0, "train"),
            ("t5", "c5", None, 0, "train"),
            ("e1", "c1", None, 0, "evaluation"),
            ("e2", "d2", None, 0, "evaluation"),
            ("e9", "d2", None, 0, "evaluation"),
            ("g1", "c1", None, 0, "target"),
            ("g4", "d4", None, 0, "target"),
        ]
    )
    pairs = pl.DataFrame(
        [("c2", "d2", 0.9), ("c1", "d2", 0.8), ("c3", "c2", 0.95), ("c2", "d4", 0.7)],
        schema=PAIRS,
        orient="row",
    )
    twins = pl.DataFrame(
        [("c4", "c4"), ("d4", "c4")],
        schema={"key": pl.String, "representative": pl.String},
        orient="row",
    )
    pairs = pairs.with_columns(right=pl.col("right").replace("d4", "c4"))
    got = contamination(table, pairs, twins)
    assert got.rows() == [
        ("t1", "e1", "evaluation", "exact", 1.0),
        ("t2", "e2", "evaluation", "near", 0.9),
        ("t4", "g4", "target", "near", 1.0),
    ]
    shuffled = contamination(table.reverse(), pairs.reverse(), twins.reverse())
    assert shuffled.equals(got)


def test_contamination_is_linear_in_copies():
    many = 20_000
    table = pl.DataFrame(
        {
            "record_id": [key_of(i) for i in range(2 * many)],
            "content_id": ["c"] * (2 * many),
            "role": ["train"] * many + ["evaluation"] * many,
        }
    )
    assert contamination(table, pl.DataFrame(schema=PAIRS)).height == many


TABLES = list("abcdefg")


def edges_frame(edges):
    return pl.DataFrame(
        [(c, p, 1.0, True) for c, p in edges],
        schema={
            "child": pl.String,
            "parent": pl.String,
            "containment": pl.Float64,
            "exact": pl.Boolean,
        },
        orient="row",
    )


def tables_frame(rules=None):
    rules = rules or [0] * len(TABLES)
    return pl.DataFrame(
        {"table": TABLES, "rule": rules}, schema={"table": pl.String, "rule": pl.Int64}
    )


@given(
    st.lists(st.tuples(st.sampled_from(TABLES), st.sampled_from(TABLES)), max_size=25),
    st.lists(st.integers(0, 1), min_size=7, max_size=7),
    st.randoms(use_true_random=False),
)
def test_every_row_is_still_read_and_nothing_twice(edges, rules, draw):
    got = contained_tables(edges_frame(edges), tables_frame(rules))
    left_out = dict(got.iter_rows())
    read = set(TABLES) - set(left_out)
    rule = dict(zip(TABLES, rules, strict=True))
    usable = {(c, p) for c, p in edges if rule[c] == rule[p] and c != p}
    reach = {t: {t} for t in TABLES}
    for _ in TABLES:
        for child, parent in usable:
            reach[child] |= reach[parent]
    for table, by in left_out.items():
        assert by in read
        assert by in reach[table]
    for table in read:  # a table that is read lies in no other table that is read
        assert not (reach[table] - {table}) & read
    shuffled = edges[:]
    draw.shuffle(shuffled)
    assert contained_tables(edges_frame(shuffled), tables_frame(rules).reverse()).equals(got)


def test_inexact_partial_and_stale_edges_do_not_count():
    for change in ({"exact": False}, {"containment": 0.999}):
        edges = edges_frame([("a", "b")]).with_columns(**{k: pl.lit(v) for k, v in change.items()})
        assert contained_tables(edges, tables_frame()).is_empty()
    edges = edges_frame([("a", "b")]).with_columns(
        child_version=pl.lit(1), parent_version=pl.lit(1)
    )
    assert contained_tables(edges, tables_frame().with_columns(version=pl.lit(2))).is_empty()
    assert contained_tables(edges, tables_frame().with_columns(version=pl.lit(1))).rows() == [
        ("a", "b")
    ]


def test_of_equal_tables_exactly_one_is_read():
    ring = [("b", "c"), ("c", "d"), ("d", "b"), ("a", "d")]
    assert contained_tables(edges_frame(ring), tables_frame()).rows() == [
        ("a", "b"),
        ("c", "b"),
        ("d", "b"),
    ]
