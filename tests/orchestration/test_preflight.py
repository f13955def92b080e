"""The look at the lake before work: what it lets through, what it reads, and all faults at once.

Each single fault, as the command tells it, is in `test_errors.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from orchestration import preflight
from orchestration.preflight import check_recipe_against_lake
from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from tests import lakes


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> lakes.Lake:
    return lakes.build(tmp_path_factory.mktemp("preflight"))


def stated(lake: lakes.Lake, **changes: Any) -> Recipe:
    return parse_recipe(lakes.recipe(**changes), base=lake.folder)


def first_rule(lake: lakes.Lake, index: int, **changes: Any) -> Recipe:
    """Return the recipe with one of its rules changed."""
    rules = lakes.recipe()["records"]
    rules[index] = {**rules[index], **changes}
    return stated(lake, records=rules)


def test_a_good_recipe_passes_and_shows_what_would_be_read(lake: lakes.Lake) -> None:
    preview = check_recipe_against_lake(stated(lake))
    assert preview.rules["texts/pages.csv"] == 2
    assert preview.rules["archive/copy.tsv"] == 4
    assert list(preview.columns["texts/older"]) == ["text", "language", "source"]
    assert list(preview.columns["texts/amharic.jsonl.gz"]) == ["text", "language", "source"]
    assert list(preview.columns["target/good.txt"]) == ["text"]
    assert "archive/copy.tsv" not in preview.columns  # nobody reads it, so nobody looks
    assert not lake.output.exists()


def test_files_that_cannot_be_read_stop_nothing_here(lake: lakes.Lake) -> None:
    preview = check_recipe_against_lake(stated(lake))
    assert not {"texts/no.parquet", "texts/nothing.csv"} & preview.columns.keys()


def test_all_faults_are_told_at_once(lake: lakes.Lake) -> None:
    rules = lakes.recipe()["records"]
    rules[2]["text"] = "txt"
    rules[3] = {**rules[3], "features": ["a", "bb"], "label": "kin"}
    rules.append({"tables": "nothing/*", "text": "text"})
    with pytest.raises(RecipeError) as caught:
        check_recipe_against_lake(stated(lake, records=rules))
    message = str(caught.value)
    for told in (
        "records.2.text: table texts/",
        "did you mean 'text'?",
        "records.3.features: table numbers/measured.csv has no column 'bb'",
        "records.3.label: table numbers/measured.csv has no column 'kin'; did you mean 'kind'?",
        "records.5.tables: ['nothing/*'] matches no table",
    ):
        assert told in message
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize(
    ("index", "changes", "told"),
    [
        (2, {"keep": ["origin"]}, "records.2.keep: table texts/"),
        (2, {"groups": {"language": {"column": "lang"}}}, "records.2.groups.language.column"),
        (3, {"features": ["a", "b", "d"]}, "it has a, b, c, kind"),
        (0, {"id": "number"}, "records.0.id: table evaluation/questions.jsonl"),
        (0, {"tables": "evaluations/*"}, "did you mean 'evaluation'?"),
    ],
)
def test_each_setting_that_names_a_column_or_table_is_looked_up(
    lake: lakes.Lake, index: int, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        check_recipe_against_lake(first_rule(lake, index, **changes))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value"), [("floors", {"fr": 3}), ("costs", {"fr": 2.0}), ("weights", {"fr": 1.0})]
)
def test_a_group_without_rows_is_told_with_the_setting_and_those_that_have_some(
    lake: lakes.Lake, setting: str, value: dict[str, float]
) -> None:
    policy = {**lakes.recipe()["allocation"], setting: value}
    with pytest.raises(RecipeError) as caught:
        check_recipe_against_lake(stated(lake, allocation=policy))
    message = str(caught.value)
    assert f"allocation.{setting}: group 'fr' has no row" in message
    assert "am, en, numbers, sw" in message


def test_groups_of_evaluation_rows_do_not_count_as_rows_to_train_on(lake: lakes.Lake) -> None:
    rules = lakes.recipe()["records"]
    rules[0]["groups"] = {"language": {"value": "judged"}}
    policy = {**lakes.recipe()["allocation"], "floors": {"judged": 1}}
    with pytest.raises(RecipeError, match="group 'judged' has no row"):
        check_recipe_against_lake(stated(lake, records=rules, allocation=policy))


def test_a_column_that_only_some_tables_of_a_rule_have_is_fine_unless_features_need_it(
    tmp_path: Path,
) -> None:
    root = tmp_path / "lake"
    root.mkdir()
    pl.DataFrame({"text": ["a"], "x": [1], "y": ["p"]}).write_csv(root / "a.csv")
    pl.DataFrame({"text": ["b"]}).write_csv(root / "b.csv")

    def check(**rule: Any) -> None:
        raw = {"lake": "lake", "output": "out", "records": [{"tables": "*", **rule}]}
        check_recipe_against_lake(parse_recipe(raw, base=tmp_path))

    check(text=["text", "x"], label="y", keep=["x"], groups={"g": {"column": "y"}})
    with pytest.raises(RecipeError, match=r"records\.0\.features: table b\.csv has no column 'x'"):
        check(features="x")
    with pytest.raises(RecipeError, match=r"records\.0\.text: table b\.csv has none of \['x'\]"):
        check(text="x")


def test_only_headers_are_read_unless_a_group_is_named(
    lake: lakes.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[str] = []
    real = preflight.read

    def counted(source: Any, options: Any, **named: Any) -> Any:
        stream = real(source, options, **named)
        iterate = type(stream).__iter__

        class Watched:
            schema = stream.schema

            def __iter__(self) -> Any:
                batches.append(source.table)
                return iterate(stream)

        return Watched()

    monkeypatch.setattr(preflight, "read", counted)
    policy = lakes.recipe()["allocation"]
    check_recipe_against_lake(stated(lake, allocation={**policy, "floors": {}}))
    assert batches == []
    check_recipe_against_lake(stated(lake, allocation={**policy, "floors": {"am": 6}}))
    assert batches
    assert all(name.startswith("texts/") for name in batches)


@pytest.mark.parametrize(
    ("content", "told"),
    [([], "holds no table"), (["x.unknown"], "holds no table")],
)
def test_an_empty_lake_is_told(tmp_path: Path, content: list[str], told: str) -> None:
    (tmp_path / "lake").mkdir()
    for name in content:
        (tmp_path / "lake" / name).write_bytes(b"\x00\x01")
    raw = {"lake": "lake", "output": "out", "records": [{"tables": "*", "text": "text"}]}
    with pytest.raises(RecipeError, match=told):
        check_recipe_against_lake(parse_recipe(raw, base=tmp_path))
