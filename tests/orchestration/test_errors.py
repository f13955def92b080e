"""Faults of a recipe against a lake: told before any work, with the place and the remedy, and exit status 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestration.cli import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    docs = tmp_path / "lake" / "docs"
    docs.mkdir(parents=True)
    (docs / "a.csv").write_text("title,body,lang\nt,words of a text,en\n", encoding="utf-8")
    (docs / "b.jsonl").write_text('{"body": "other words", "lang": "sw"}\n', encoding="utf-8")
    return tmp_path


def run(folder: Path, rule: dict[str, Any], **keys: Any) -> Any:
    recipe = {"lake": "lake", "output": "out", "records": [{"tables": "docs/*", **rule}], **keys}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return CliRunner().invoke(main, ["run", str(folder / "recipe.yaml")])


TEXT = {"text": "body", "groups": {"lang": {"column": "lang"}}}
POLICY = {
    "by": "lang",
    "objective": "max_min",
    "level": "raw",
    "policy": {"owner": "me", "reason": "because"},
}


@pytest.mark.parametrize(
    ("rule", "keys", "told"),
    [
        (
            {"text": "bodi"},
            {},
            "records.0.text: table docs/a.csv has no column 'bodi'; did you mean 'body'?",
        ),
        ({**TEXT, "label": "lable"}, {}, "records.0.label: table docs/a.csv has no column 'lable'"),
        (
            {"features": ["title", "x"]},
            {},
            "records.0.features: table docs/b.jsonl has no column 'title'",
        ),
        ({"text": "title"}, {}, "records.0.text: table docs/b.jsonl has none of ['title']"),
        ({**TEXT, "label": "body"}, {}, "the label 'body' is also in text"),
        ({**TEXT, "id": "nr"}, {}, "records.0.id: table docs/a.csv has no column 'nr'"),
        ({"tables": "dox/*", **TEXT}, {}, "records.0.tables: ['dox/*'] matches no table"),
        (TEXT, {"filtering": {"budgets": [{"samples": 0}]}}, "filtering.budgets.0.samples"),
        (TEXT, {"scoring": {"scorers": ["dsirr"]}}, "did you mean 'dsir'?"),
        (TEXT, {"deduplication": {"shingle": "words"}}, "word:"),
        (
            TEXT,
            {"allocation": {**POLICY, "floors": {"yo": 5}}},
            "allocation.floors: group 'yo' has no row",
        ),
        (TEXT, {"lake": "lakee"}, "does not exist"),
    ],
)
def test_a_fault_is_told_before_any_table_is_written(
    folder: Path, rule: dict[str, Any], keys: dict[str, Any], told: str
) -> None:
    result = run(folder, rule, **keys)
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert not list((folder / "out").rglob("_delta_log"))


def test_a_rule_that_an_earlier_one_takes_all_tables_from_is_told(folder: Path) -> None:
    result = run(folder, TEXT, records=[{"tables": "*", **TEXT}, {"tables": "docs/*", **TEXT}])
    assert result.exit_code == 2
    assert (
        "records.1.tables: every table that ['docs/*'] matches (docs/a.csv, ...)" in result.output
    )


def test_an_unknown_selection_lists_what_there_is(folder: Path) -> None:
    run(folder, TEXT)
    result = CliRunner().invoke(
        main, ["run", str(folder / "recipe.yaml"), "--select", "containmentt"]
    )
    assert result.exit_code == 2
    assert "containment/edges" in result.output


def test_a_stage_without_its_inputs_says_what_to_select(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(
            {"lake": "lake", "output": "out", "records": [{"tables": "docs/*", **TEXT}]}
        ),
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["run", str(folder / "recipe.yaml"), "--select", "scoring"])
    assert result.exit_code == 2
    assert "--select +" in result.output


def test_dry_run_shows_which_rule_takes_which_table_and_does_nothing(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({"lake": "lake", "output": "out", "records": [{"tables": "*.csv", **TEXT}]}),
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["run", str(folder / "recipe.yaml"), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    rules = {row["table"]: row["rule"] for row in json.loads(result.output)["tables"]}
    assert rules == {"docs/a.csv": 0, "docs/b.jsonl": None}
    assert not (folder / "out").exists()
