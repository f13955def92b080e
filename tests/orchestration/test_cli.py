"""The command as people and machines meet it: exit statuses, one JSON document, and a row's way told.

Faults of a recipe are in `test_errors.py`, a failed check is in `tests/end_to_end/test_shrink.py`; here is what
happens around and after a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from resources import delta
from resources.errors import (
    EXIT_BAD_RECIPE,
    EXIT_BUSY,
    EXIT_DONE,
    EXIT_QUARANTINE,
)
from resources.lease import Lease
from resources.releases import last_release
from tests import lakes
from tests.conftest import RunLake

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def told(result: Result) -> dict[str, Any]:
    """Return the one JSON document that a command printed to standard output."""
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


# run


def test_a_run_ends_with_0_and_says_what_came_out_in_words_and_in_json(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    first = call("run", recipe, "--json")
    assert first.exit_code == EXIT_DONE, first.output
    summary = told(first)
    assert {
        "release",
        "changed",
        "run_id",
        "rows_in",
        "rows_by_fate",
        "redundant_tables",
        "redundant_bytes",
        "plans",
        "groups",
        "training_set",
        "version",
        "card",
    } <= summary.keys()
    assert (summary["release"], summary["changed"], summary["rows_in"]) == (1, True, 24)
    assert sum(summary["rows_by_fate"].values()) == 24
    assert Path(summary["card"]).is_file()
    frame = pl.read_delta(summary["training_set"], version=summary["version"])
    assert frame.height == summary["rows_by_fate"]["published"]

    again = call("run", recipe)
    assert again.exit_code == EXIT_DONE, again.output
    assert "Nothing changed: release 1 is up to date, and nothing was committed." in again.output
    assert (
        f'pl.read_delta("{summary["training_set"]}", version={summary["version"]})' in again.output
    )
    assert lakes.MARKER not in again.output

    told_again = told(call("run", recipe, "--json"))
    assert told_again == {**summary, "changed": False}


def test_too_much_set_aside_ends_with_5_and_the_rest_is_published(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    with (tmp_path / "lake" / "notes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "cut o\n' * 3)
    result = call("run", recipe, "--json")
    assert result.exit_code == EXIT_QUARANTINE, result.output
    summary = told(result)
    assert summary["rows_by_fate"]["quarantined"] == 3
    assert summary["set_aside_share"] == pytest.approx(3 / 27)
    assert sum(summary["rows_by_fate"].values()) == summary["rows_in"] == 27


def test_a_root_that_another_run_holds_ends_with_4_and_says_who_holds_it(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    lease = Lease(tmp_path / "out", "the-other-run")
    lease.acquire()
    try:
        result = call("run", recipe)
    finally:
        lease.release()
    assert result.exit_code == EXIT_BUSY, result.output
    assert "the-other-run" in result.stderr
    assert not list((tmp_path / "out").rglob("_delta_log"))


@pytest.mark.parametrize(
    ("content", "hints"),
    [
        ("lake: lake\noutput: out\nrecord: []\n", ["record", "did you mean", "records"]),
        ("lake: lake\noutput: out\nrecords: []\n", ["records has no rule"]),
        ("- lake\n", ["a recipe is a mapping"]),
        ("lake: [\n", ["can't be read as YAML"]),
        (
            "lake: s3://key:hunter2@bucket/x\noutput: out\nrecords: [{tables: '*', text: text}]\n",
            ["credential", "environment"],
        ),
        (
            "lake: lake\noutput: out\nrecords: [{tables: '*', text: [a, y], label: y}]\n",
            ["records.0", "label 'y'", "take it out"],
        ),
    ],
)
def test_a_recipe_of_the_wrong_shape_ends_with_2_and_does_nothing(
    tmp_path: Path, dagster_home: Path, content: str, hints: list[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(content, encoding="utf-8")
    result = call("run", tmp_path / "recipe.yaml")
    assert result.exit_code == EXIT_BAD_RECIPE, result.output
    for hint in [*hints, "recipe.yaml"]:
        assert hint in result.stderr
    assert "hunter2" not in result.output
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_end_with_2(tmp_path: Path, dagster_home: Path) -> None:
    assert call("run", tmp_path / "none.yaml").exit_code == EXIT_BAD_RECIPE
    assert call("run", tmp_path / "none.yaml", "--sample", "2").exit_code == EXIT_BAD_RECIPE
    assert call("run", tmp_path / "none.yaml", "--slect", "x").exit_code == EXIT_BAD_RECIPE
    assert call("run", "a.yaml", "b.yaml").exit_code == EXIT_BAD_RECIPE


def test_the_installed_command_speaks_json_of_its_errors_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", str(tmp_path / "none.yaml"), "--json"],
        cwd=ROOT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path / "dagster")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == EXIT_BAD_RECIPE
    answer = json.loads(done.stdout)
    assert answer["exit_status"] == EXIT_BAD_RECIPE
    assert "there is no such recipe" in answer["error"]
    assert "Traceback" not in done.stderr


def test_every_command_has_help_and_none_of_it_loads_dagster() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from orchestration.cli import main\n"
        "for name in ['', *main.commands]:\n"
        "    result = CliRunner().invoke(main, [*([name] if name else []), '--help'])\n"
        "    assert result.exit_code == 0 and len(result.output) > 100, name\n"
        "assert not {'dagster', 'torch', 'polars'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


# dry run


def test_a_dry_run_of_the_whole_lake_shows_each_tables_rule_and_writes_nothing(
    tmp_path: Path, dagster_home: Path
) -> None:
    lake = lakes.build(tmp_path)
    result = call("run", lake.recipe, "--dry-run", "--json")
    assert result.exit_code == EXIT_DONE, result.output
    answer = told(result)
    rules = {row["table"]: (row["rule"], row["role"]) for row in answer["tables"]}
    assert rules["evaluation/questions.jsonl"] == (0, "evaluation")
    assert rules["target/good.txt"] == (1, "target")
    assert rules["texts/older"] == (2, "train")
    assert rules["archive/copy.tsv"] == (4, "ignore")
    assert rules.keys() | {u["table"] for u in answer["unreadable"]} == lake.rows.keys()
    assert not lake.output.exists()


# trace


@pytest.fixture
def ask(run_lake: RunLake) -> Callable[[str], dict[str, Any]]:
    def asked(target: str) -> dict[str, Any]:
        result = call("trace", target, "--recipe", run_lake.lake.recipe, "--json")
        assert result.exit_code == EXIT_DONE, result.output
        return told(result)

    return asked


def table(run_lake: RunLake, name: str) -> pl.DataFrame:
    release = last_release(run_lake.lake.output)
    assert release is not None
    return delta.scan(run_lake.lake.output / name, release["versions"][name]).collect()


Ask = Callable[[str], dict[str, Any]]


def test_the_way_of_a_published_row_goes_from_its_file_to_its_release(
    run_lake: RunLake, ask: Ask
) -> None:
    row = table(run_lake, "publication/training_set").drop_nulls("text").row(0, named=True)
    answer = ask(row["record_id"])
    assert answer["fate"]["fate"] == "published"
    assert answer["published"] == {
        "passes": row["passes"],
        "weight": 1.0,
        "source_version": row["source_version"],
    }
    assert answer["source"]["table"] == row["table"] == answer["record"]["table"]
    assert Path(answer["source"]["uri"].removeprefix("file://")).exists()
    assert answer["pool"]["pool"] == row["pool"] == answer["allocation"]["pool"]
    assert answer["allocation"]["group"] == row["language"]
    assert answer["scores"]["quality"] == row["quality"]
    assert answer["release"] == 1
    by_place = ask(f"{row['table']}#{row['position']}")
    assert {**by_place, "asked": ""} == {**answer, "asked": ""}


@pytest.mark.parametrize("fate", ["duplicate", "contaminated", "evaluation", "held_out"])
def test_the_way_of_a_row_that_was_left_out_says_which_stage_and_why(
    run_lake: RunLake, ask: Ask, fate: str
) -> None:
    lines = table(run_lake, "publication/ledger").filter(pl.col("fate") == fate)
    answer = ask(lines["record_id"][0])
    assert answer["fate"]["fate"] == fate
    assert answer["fate"]["reason"]
    assert "published" not in answer
    if fate == "duplicate":
        assert answer["duplicates"]["keeper"] == answer["fate"]["by"]
    if fate == "held_out":
        assert {"scores", "pool"} <= answer.keys()


def test_a_row_of_every_fate_can_be_asked_for(run_lake: RunLake, ask: Ask) -> None:
    lines = table(run_lake, "publication/ledger").drop_nulls("record_id")
    for (fate,), some in lines.group_by("fate"):
        assert ask(some["record_id"][-1])["fate"]["fate"] == fate


def test_a_row_of_a_table_that_was_not_read_leads_to_its_twin(run_lake: RunLake, ask: Ask) -> None:
    # extract.parquet was cut from rows 20 to 59 of english.jsonl
    answer = ask("texts/extract.parquet#5")
    assert answer["fate"]["fate"] == "contained"
    assert answer["fate"]["by"] == "texts/english.jsonl"
    assert answer["held_by"]["record"]["position"] == 25
    assert answer["held_by"]["fate"]["fate"]
    older = ask("texts/older#29")
    assert older["held_by"]["record"]["table"] == "texts/swahili.parquet"
    assert older["held_by"]["record"]["position"] == 29


def test_rows_and_files_that_were_set_aside_say_why(run_lake: RunLake, ask: Ask) -> None:
    row = ask("texts/log.jsonl#2")
    assert row["fate"]["fate"] == "quarantined"
    assert "JSON" in row["quarantine"]["reason"]
    file = ask("texts/no.parquet#0")
    assert file["fate"]["fate"] == "quarantined"
    assert "Parquet" in file["fate"]["reason"]


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("0" * 32, "no record"),
        ("texts/nowhere.csv#0", "no table"),
        ("texts/english.jsonl#9999", "has 122 rows and no record at position 9999"),
        ("archive/copy.tsv#1", "read by no rule"),
        ("texts/extract.parquet#40", "has 40 rows"),
    ],
)
def test_what_there_is_not_ends_with_2_and_says_so(
    run_lake: RunLake, target: str, hint: str
) -> None:
    result = call("trace", target, "--recipe", run_lake.lake.recipe)
    assert result.exit_code == EXIT_BAD_RECIPE
    assert hint in result.stderr


def test_trace_reads_for_people_and_needs_to_know_where(
    run_lake: RunLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLUICE_RECIPE", raising=False)
    unplaced = call("trace", "texts/english.jsonl#3")
    assert unplaced.exit_code == EXIT_BAD_RECIPE
    assert "--recipe" in unplaced.stderr
    placed = call("trace", "texts/english.jsonl#3", "--output", run_lake.lake.output)
    assert placed.exit_code == EXIT_DONE, placed.output
    for heading in ("source:", "record:", "fate:", "release:"):
        assert heading in placed.output
    assert (
        call(
            "trace", "texts/english.jsonl#3", "--output", run_lake.lake.output, "--release", "7"
        ).exit_code
        == EXIT_BAD_RECIPE
    )


def test_no_release_yet_says_how_to_make_one(tmp_path: Path) -> None:
    result = call("trace", "a#1", "--recipe", lakes.build_small(tmp_path))
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "no release yet" in result.stderr
