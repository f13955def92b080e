"""`--dry-run`: what would be read, computed and spent is what a run then does, and asking writes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestration import forecast as forecasting
from orchestration.cli import main
from orchestration.execute import execute
from orchestration.stages import SPECS
from resources.recipe_file import load_recipe
from resources.releases import last_release
from tests import lakes

STAGES = [spec.name for spec in SPECS]


def ask(recipe: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["run", str(recipe), "--dry-run", "--json", *arguments])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def say(recipe: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["run", str(recipe), "--dry-run", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def statuses(answer: dict[str, Any]) -> dict[str, str]:
    return {step["stage"]: step["status"] for step in answer["stages"]}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
    }


def change(recipe: Path, **keys: Any) -> None:
    raw = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    recipe.write_text(yaml.safe_dump({**raw, **keys}), encoding="utf-8")


def test_before_the_first_run_all_is_to_read_and_compute_by_stated_constants(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    before = files(tmp_path)
    answer = ask(recipe)
    assert files(tmp_path) == before
    assert statuses(answer) == {"ingestion": "computed", **dict.fromkeys(STAGES[1:], "depends")}
    assert (answer["up_to_date"], answer["tables_to_read"]) == (False, 1)
    assert answer["bytes_to_read"] == (tmp_path / "lake" / "notes.jsonl").stat().st_size
    assert answer["seconds"] > 0
    assert answer["disk_bytes"] > 0
    assert "sample lake" in answer["basis"]


def test_each_stage_of_the_answer_is_what_the_next_run_does(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    execute(load_recipe(recipe))
    before = files(tmp_path)
    answer = ask(recipe)
    assert files(tmp_path) == before
    assert set(statuses(answer).values()) == {"unchanged"}
    assert answer["up_to_date"]
    assert answer["seconds"] == answer["disk_bytes"] == answer["bytes_to_read"] == 0
    assert "A run would commit nothing" in say(recipe)

    # a part of the recipe that only later stages read
    change(recipe, filtering={"max_passes": 2})
    answer = ask(recipe)
    found = statuses(answer)
    first = next(stage for stage in STAGES if found[stage] != "unchanged")
    assert first.startswith("filtering")
    assert found[first] == "computed"
    assert {found[s] for s in STAGES[STAGES.index(first) + 1 :]} <= {
        "computed",
        "depends",
        "unchanged",
    }
    assert "release 1" in answer["basis"]
    released = last_release(tmp_path / "out")
    assert released is not None
    execute(load_recipe(recipe))
    after = last_release(tmp_path / "out")
    assert after is not None
    for spec in SPECS:
        if found[spec.name] == "unchanged" and not spec.append:
            for table in spec.tables:
                assert after["versions"][table] == released["versions"][table], table
        if found[spec.name] == "computed":
            assert after["versions"][spec.tables[0]] > released["versions"][spec.tables[0]]

    # a table more: only that one is to read
    (tmp_path / "lake" / "more.jsonl").write_text(
        json.dumps({"text": lakes.words("en", 7, 50)}) + "\n"
    )
    answer = ask(recipe)
    assert [row["table"] for row in answer["tables"] if not row["unchanged"]] == ["more.jsonl"]
    assert answer["bytes_to_read"] == (tmp_path / "lake" / "more.jsonl").stat().st_size
    assert statuses(answer)["ingestion"] == "computed"


def test_what_a_killed_run_finished_is_taken_over(tmp_path: Path, dagster_home: Path) -> None:
    recipe = lakes.build_small(tmp_path)
    execute(load_recipe(recipe), select=["ingestion", "containment"])
    found = statuses(ask(recipe))
    assert (found["ingestion"], found["containment"]) == ("adopted", "adopted")
    assert found["deduplication"] == "computed"


def test_a_sample_is_forecast_in_its_own_root_at_its_share(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    execute(load_recipe(recipe))
    before = files(tmp_path)
    tenth, half = ask(recipe, "--sample", "0.1"), ask(recipe, "--sample", "0.5")
    assert files(tmp_path) == before
    assert tenth["output"] == str(tmp_path / "out.sample-0.1")
    assert tenth["bytes_to_read"] == 0
    assert statuses(tenth)["deduplication"] == "computed"
    assert 0 < tenth["seconds"] < half["seconds"]
    assert tenth["disk_bytes"] == pytest.approx(half["disk_bytes"] / 5, rel=0.01)
    assert "A trial on 0.1" in say(recipe, "--sample", "0.1")


def test_columns_are_told_by_what_they_feed_and_what_a_table_lacks(tmp_path: Path) -> None:
    lake = lakes.build(tmp_path)
    answer = ask(lake.recipe)
    rows = {row["table"]: row for row in answer["tables"]}
    english = rows["texts/english.jsonl"]
    assert english["columns"] == {
        "text": ["text"],
        "id": ["(the whole row)"],
        "keep": ["source"],
        "group language": ["language"],
    }
    numbers = rows["numbers/measured.csv"]["columns"]
    assert (numbers["features"], numbers["label"]) == (["a", "b", "c"], ["kind"])
    assert numbers["group language"] == ["= numbers"]
    assert (rows["archive/copy.tsv"]["columns"], rows["archive/copy.tsv"]["role"]) == ({}, "ignore")
    assert rows["texts/log.jsonl"]["lacks"] == []
    (lake.root / "texts" / "other.jsonl").write_text(
        '{"body": "another column"}\n', encoding="utf-8"
    )
    rules = [{"tables": "texts/*", "text": ["text", "body"], "keep": ["source"]}]
    lakes.write_recipe(lake.recipe, records=rules, allocation=None)
    told = say(lake.recipe)
    assert "text: text; id: (the whole row); keep: source; has no body" in told
    assert "text: body; id: (the whole row); has no text, source" in told
    assert "no rule:" in told
    assert "Nothing was done." in told


def test_a_selection_is_no_dry_run(tmp_path: Path) -> None:
    recipe = lakes.build_small(tmp_path)
    arguments = ["run", str(recipe), "--dry-run", "--select", "ingestion"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "leave --select out" in result.stderr


def test_a_delta_table_has_the_size_of_its_pinned_version(tmp_path: Path) -> None:
    from assets.ingestion.discover import discover

    lake = lakes.build(tmp_path)
    source = next(s for s in discover(lake.root).sources if s.format == "delta")
    size = sum(p.stat().st_size for p in source.path.glob("*.parquet"))
    assert forecasting.source_bytes(source) == size > 0
