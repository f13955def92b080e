"""What tables are for, by their columns, their names and each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestration.draft.columns import Kind, column_facts
from orchestration.draft.guess import MIXED, guess_lake
from orchestration.draft.languages import languages_by_path
from orchestration.draft.model import Guess, TableFacts
from orchestration.draft.tables import guess_table, is_evaluation
from tests import lakes

TEXTS = lakes.texts("en", 12)
NUMBERS = [0.5, 0.25, 3.5, 1.5, 2.5, 9.5, 0.5, 1.0, 4.0, 7.5, 8.0, 2.0]
CLASSES = ["a", "b", "c"] * 4
KINDS: Mapping[type, Kind] = {str: "text", int: "number", float: "number", list: "nested"}


def columns(**values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        column_facts(name, KINDS[type(next(v for v in cells if v is not None))], cells)
        for name, cells in values.items()
    )


def table(name: str, file_format: str = "jsonl", **values: Sequence[Any]) -> TableFacts:
    return TableFacts(name, file_format, 1000, columns(**values), 12)


def guess(*tables: TableFacts, wrong: frozenset[str] = frozenset()) -> dict[str, Guess]:
    return guess_lake(tables, lambda _table, _read, names: wrong & set(names))


def test_a_main_text_goes_before_all_else_and_its_title_is_left_out() -> None:
    titles = [t[:30] for t in TEXTS]
    body = guess_table(columns(title=titles, url=["http://a.b/c"] * 12, text=TEXTS)).body
    assert (body.role, body.text, body.features, body.uri) == ("train", ("text",), (), None)


def test_the_turns_of_an_exchange_are_joined_also_an_empty_one() -> None:
    empty = column_facts("input", "text", [""] * 12)
    found = guess_table((*columns(instruction=TEXTS), empty, *columns(output=TEXTS)))
    assert found.body.text == ("instruction", "input", "output")


def test_prose_without_a_telling_name_is_taken_where_nothing_else_is() -> None:
    odd = table("a.csv", remark=TEXTS, k=list(range(12)))
    assert guess(odd)["a.csv"].body.text == ("remark",)
    beside = guess(odd, table("b.csv", text=TEXTS))
    assert beside["a.csv"].body.role == "ignore"
    assert "remark" in beside["a.csv"].why[0]
    assert beside["b.csv"].body.role == "train"


def test_numbers_with_a_label_are_features_and_row_numbers_and_ids_are_not() -> None:
    body = guess_table(
        columns(row=list(range(12)), sample_id=[9, 7, 5] * 4, p=NUMBERS, q=NUMBERS, species=CLASSES)
    ).body
    assert (body.features, body.label) == (("p", "q"), "species")


def test_the_label_is_never_learned_from() -> None:
    found = guess_table(columns(label=[0, 1, 2] * 4, p=NUMBERS, q=NUMBERS)).body
    assert (found.features, found.label) == (("p", "q"), "label")
    assert guess_table(columns(text=TEXTS, topic=CLASSES)).body.label == "topic"


def test_numbers_beside_text_need_a_label_by_name() -> None:
    texts = table("t.jsonl", text=TEXTS)
    assert guess(texts, table("n.csv", p=NUMBERS, q=NUMBERS))["n.csv"].body.role == "ignore"
    odd = guess(texts, table("n.csv", p=NUMBERS, q=NUMBERS, cultivar=CLASSES))["n.csv"]
    assert odd.body.role == "ignore"
    assert "cultivar" in odd.why[0]
    named = guess(texts, table("n.csv", p=NUMBERS, q=NUMBERS, label=CLASSES))["n.csv"]
    assert named.body.features == ("p", "q")
    assert guess(table("n.csv", p=NUMBERS, q=NUMBERS))["n.csv"].body.features == ("p", "q")


def test_features_that_are_no_numbers_further_down_are_not_promised() -> None:
    found = guess(table("n.csv", p=NUMBERS, q=NUMBERS, label=CLASSES), wrong=frozenset({"q"}))
    assert found["n.csv"].body.role == "ignore"
    assert "(q)" in found["n.csv"].why[0]


def test_a_projection_of_a_table_of_numbers_is_left_to_the_whole_one() -> None:
    found = guess(
        table("all.csv", p=NUMBERS, q=NUMBERS, r=NUMBERS, label=CLASSES),
        table("some.csv", p=NUMBERS, q=NUMBERS, label=CLASSES),
    )
    assert found["all.csv"].body.role == "train"
    assert found["some.csv"].body.role == "ignore"
    assert "all.csv" in found["some.csv"].why[0]


def test_at_most_twelve_sets_of_features_are_read_the_largest_first() -> None:
    many = [
        TableFacts(
            f"n{i}.csv",
            "csv",
            100 + i,
            columns(**{f"p{i}": NUMBERS, f"q{i}": NUMBERS, "label": CLASSES}),
            12,
        )
        for i in range(15)
    ]
    found = guess(*many)
    read = {name for name, one in found.items() if one.body.role == "train"}
    assert read == {f"n{i}.csv" for i in range(3, 15)}


def test_pictures_are_addresses_unless_a_long_text_stands_beside_them() -> None:
    pictures = [f"https://ex.org/{i}.png" for i in range(12)]
    captions = [" ".join(t.split()[:5]) for t in TEXTS]
    found = guess_table(columns(image=pictures, caption=captions))
    assert (found.body.uri, found.body.text) == ("image", ())
    assert found.suggestions[0][0] == "text: [caption]"
    assert guess_table(columns(image=pictures, text=TEXTS)).body.text == ("text",)


def test_languages_are_groups_and_an_id_is_only_suggested() -> None:
    found = guess_table(
        columns(
            id=[f"x{i}" for i in range(12)], text=TEXTS, locale=["en_GB"] * 12, lang=["en"] * 12
        )
    )
    assert found.body.groups == (("language", "column", "lang"),)
    assert [line for line, _ in found.suggestions] == ["id: id"]


def test_a_group_name_that_is_taken_is_not_suggested_as_it_is() -> None:
    found = guess_table(columns(text=TEXTS, source=["a", "b"] * 6, rule_type=["x", "y"] * 6))
    lines = [line for line, _ in found.suggestions]
    assert "groups: {source: {column: source}}" in lines


def test_splits_within_a_table_are_told() -> None:
    found = guess_table(columns(text=TEXTS, split=["train", "test"] * 6))
    assert found.suggestions[0][0] == "keep: [split]"
    assert "split the table" in found.suggestions[0][1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qa/test.jsonl", {"test"}),
        ("qa/dev/part-1.csv", {"dev"}),
        ("imdb_test.parquet", {"test"}),
        ("validation-00000-of-00002.parquet", {"validation"}),
        ("held-out/a.csv", {"held out"}),
        ("benchmarks/mmlu/a.csv", {"benchmarks"}),
        ("latest.csv", set()),
        ("contest/a.csv", set()),
        ("is_this_test_valid_or_not.csv", set()),
        ("devices.csv", set()),
    ],
)
def test_which_paths_speak_of_evaluation(name: str, words: set[str]) -> None:
    assert is_evaluation(name) == words


def test_evaluation_sets_keep_their_columns_and_are_training_data_only_where_nothing_else_is() -> (
    None
):
    both = guess(table("qa/test.jsonl", text=TEXTS), table("qa/train.jsonl", text=TEXTS))
    assert both["qa/test.jsonl"].body.role == "evaluation"
    assert both["qa/test.jsonl"].body.text == ("text",)
    assert both["qa/train.jsonl"].body.role == "train"
    alone = guess(table("qa/test.jsonl", text=TEXTS))["qa/test.jsonl"]
    assert alone.body.role == "train"
    assert "nothing else" in alone.why[0]


def test_a_table_that_mixes_files_of_several_splits_says_so() -> None:
    mixed = TableFacts(
        "data", "parquet", 9, columns(text=TEXTS), 12, judging=(("test-0.parquet",), 3)
    )
    found = guess(mixed)["data"]
    assert found.body.role == "train"
    assert any(why.startswith(MIXED) and "test-0.parquet" in why for why in found.why)
    whole = TableFacts(
        "data", "parquet", 9, columns(text=TEXTS), 12, judging=(("test-0.parquet",), 1)
    )
    beside = guess(whole, table("t.jsonl", text=TEXTS))["data"]
    assert beside.body.role == "evaluation"


def test_tables_of_one_folder_share_what_a_rule_may_leave_open() -> None:
    found = guess(
        table("w/a.jsonl", instruction=TEXTS, output=TEXTS, topic=CLASSES),
        table("w/b.jsonl", instruction=TEXTS, input=TEXTS, output=TEXTS),
        table("v/c.jsonl", instruction=TEXTS, output=TEXTS),
    )
    assert found["w/a.jsonl"].body == found["w/b.jsonl"].body
    assert set(found["w/a.jsonl"].body.text) == {"instruction", "input", "output"}
    assert found["w/b.jsonl"].body.label == "topic"
    assert found["v/c.jsonl"].body.text == ("instruction", "output")


def test_a_readme_at_the_top_is_about_the_lake_and_one_among_texts_is_a_text() -> None:
    found = guess(
        table("README.md", "text", text=TEXTS),
        table("docs/README.md", "text", text=TEXTS),
    )
    assert found["README.md"].body.role == "ignore"
    assert found["docs/README.md"].body.role == "train"


def test_what_could_not_be_read_is_ignored_with_its_fault() -> None:
    found = guess(TableFacts("x.json", "json", 1, fault="the document is not a list of objects"))
    assert found["x.json"].body.role == "ignore"
    assert found["x.json"].why == ("the document is not a list of objects",)


def test_the_language_is_taken_from_a_path_whose_parts_are_codes() -> None:
    found = languages_by_path(
        ["m/amh/train.tsv", "m/hau/train.tsv", "m/hau/x/y.tsv", "raw/a.tsv", "old/b.tsv"]
    )
    assert found["m/amh/train.tsv"] == ("^m/(?P<v>[^/]+)/", ["amh", "hau"])
    assert "raw/a.tsv" not in found
    files = languages_by_path(["u/en.txt", "u/pt_BR.txt", "u/sw.txt"])
    assert {pattern for pattern, _ in files.values()} == {"^u/(?P<v>[^/.]+)"}
    splits = languages_by_path(["s/sw_train.tsv", "s/ha_dev.tsv"])
    assert splits["s/sw_train.tsv"] == ("^s/(?P<v>[a-z]+)[-_]", ["ha", "sw"])
    keyed = languages_by_path(["k/lang=en/a.csv", "k/lang=sw/a.csv"])
    assert keyed["k/lang=en/a.csv"][0] == "^k/lang=(?P<v>[^/]+)/"
    assert not languages_by_path(["x/raw.csv", "x/new.csv"])
