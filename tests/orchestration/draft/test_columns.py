"""What the first rows of a column say: prose, addresses, classes, numbers that number the rows."""

from __future__ import annotations

import pytest

from orchestration.draft.columns import (
    column_facts,
    has_few_values,
    is_address,
    is_media,
    is_unique,
    name_tokens,
    pooled,
    reads_like_text,
)

PROSE = [f"the {word} went over the hill and far away" for word in "abcdefghij"]


def test_prose_is_told_from_addresses_codes_and_the_same_few_sentences() -> None:
    assert reads_like_text(column_facts("x", "text", PROSE), 6)
    assert not reads_like_text(column_facts("x", "text", ["https://a.org/b-c-d", "/e/f"]), 0)
    assert not reads_like_text(column_facts("x", "text", ["ab-1", "ab-2"]), 2)
    repeated = column_facts("x", "text", PROSE[:2] * 40)
    assert not reads_like_text(repeated, 6)
    assert not reads_like_text(column_facts("x", "number", list(range(9))), 0)


def test_a_script_without_spaces_has_words_too() -> None:
    chinese = column_facts(
        "x", "text", ["这是一个关于山和河的长句子里面没有空格", "另外一个句子也没有空格可以数"]
    )
    assert reads_like_text(chinese, 6)


def test_addresses_and_media() -> None:
    pictures = column_facts("image", "text", [f"https://ex.org/{i}.jpg?w=1" for i in range(5)])
    assert is_address(pictures)
    assert is_media(pictures)
    pages = column_facts("url", "text", [f"https://ex.org/{i}" for i in range(5)])
    assert is_address(pages)
    assert not is_media(pages)
    assert is_media(column_facts("clip", "text", ["a/b.wav", "c.mp3"]))
    assert not is_media(column_facts("x", "text", PROSE))


def test_few_values_are_a_class_and_many_are_not() -> None:
    assert has_few_values(column_facts("y", "text", ["a", "b"] * 10))
    assert has_few_values(column_facts("y", "number", [0, 1, 2] * 10))
    assert not has_few_values(column_facts("y", "number", [0.5, 1.5] * 10))
    assert not has_few_values(column_facts("y", "text", [f"v{i}" for i in range(20)]))


def test_a_number_that_counts_the_rows_is_seen_and_one_that_jumps_is_not() -> None:
    assert column_facts("", "number", list(range(5, 30))).counts
    assert not column_facts("", "number", [1, 2, 3, 5]).counts
    assert not column_facts("", "number", [0.5, 1.5, 2.5]).counts


def test_nulls_and_blanks_are_not_filled_and_make_nothing_unique() -> None:
    facts = column_facts("x", "text", ["a", None, " ", "b"])
    assert (facts.rows, facts.filled, facts.distinct) == (4, 2, 2)
    assert not is_unique(facts)
    assert is_unique(column_facts("x", "text", ["a", "b"]))
    assert column_facts("x", "text", [None, ""]).kind == "empty"


def test_pooled_facts_add_up_and_values_are_counted_once() -> None:
    left = column_facts("lang", "text", ["en"] * 10)
    right = column_facts("lang", "text", ["sw"] * 5)
    both = pooled([left, right, column_facts("lang", "text", [None])])
    assert (both.rows, both.filled, both.distinct, both.kind) == (16, 15, 2, "text")
    assert both.values == ("en", "sw")
    mixed = pooled([left, column_facts("lang", "number", [1])])
    assert mixed.kind == "text"


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("sourceText_v2", ["source", "text", "v2"]),
        ("test-00000-of-00001", ["test", "00000", "of", "00001"]),
        ("ሰላም text", ["ሰላም", "text"]),
        ("latest", ["latest"]),
    ],
)
def test_names_are_split_into_words(name: str, tokens: list[str]) -> None:
    assert name_tokens(name) == tokens


def test_a_sentence_is_no_name() -> None:
    assert not column_facts("Which language do you speak at home?", "text", ["a"]).tokens
