"""Retire and restore by the command: what a run, a trace, a search and maintenance say of a retired table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from resources import delta
from resources.lease import Lease
from resources.releases import last_release
from resources.retired import records, tombstone_of
from tests.faults.small import WORDS

pytestmark = pytest.mark.timeout(600)  # runs of the whole pipeline

RECIPE = """
lake: lake
output: out
records:
  - {tables: "alone/*", role: ignore, text: text}
  - {tables: "*", text: text}
filtering: {pools: 2, budgets: [{samples: 60}], proxy: {seconds: 0.2, seeds: 1, records_per_pool: 40}}
limits: {workers: 1}
"""


def texts(count: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "text": [
                " ".join(WORDS[(i * k + k) % 10] + str((i * 7 + k) % 97) for k in range(1, 14))
                for i in range(count)
            ],
            "topic": [f"topic {i % 4}" for i in range(count)],
        }
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of which one release was made; four fifths of its tables' rows can be retired."""
    folder = tmp_path_factory.mktemp("retire") / "made"
    (folder / "lake/alone").mkdir(parents=True)
    whole = texts(160)
    whole.write_csv(folder / "lake/whole.csv")
    for number in range(4):
        whole.filter(topic=f"topic {number}").write_csv(folder / f"lake/topic{number}.csv")
    whole[:150].write_csv(folder / "lake/most.csv")
    whole[:120].write_csv(folder / "lake/alone/part.csv")
    (folder / "recipe.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        patch.setenv("SLUICE_FIGURES", "off")
        ended = CliRunner().invoke(main, ["run", str(folder / "recipe.yaml")])
    assert ended.exit_code == 0, ended.output
    shutil.copytree(folder, folder.with_name("kept"))
    return folder


@pytest.fixture
def lake(released: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(released)  # a lake's address is part of what a run is judged by
    shutil.copytree(released.with_name("kept"), released)
    monkeypatch.setenv("DAGSTER_HOME", str(released / "dagster"))
    monkeypatch.setenv("SLUICE_FIGURES", "off")
    return released


def sluice(status: int, *words: str) -> str:
    ended = CliRunner().invoke(main, list(words))
    assert ended.exit_code == status, ended.output
    return ended.output


def told(status: int, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(sluice(status, *words, "--json").splitlines()[-1])
    return answer


def table(folder: Path, name: str) -> pl.DataFrame:
    release = last_release(folder / "out")
    assert release is not None
    return delta.scan(folder / "out" / name, int(release["versions"][name])).collect()


def test_retired_tables_are_told_and_their_rows_are_not_lost(lake: Path) -> None:
    recipe = ["--recipe", str(lake / "recipe.yaml")]
    tables = [*(f"topic{n}.csv" for n in range(4)), "most.csv"]
    bytes_before = {name: (lake / "lake" / name).read_bytes() for name in tables}
    before = table(lake, "deduplication/records").sort("record_id")
    for name in tables:
        done = told(0, "retire", name, *recipe, "--grace", "0h", "--parent", "whole.csv")
        assert done["certificate"]["rows"] == done["rows"]
        assert sluice(0, "retire", name, *recipe, "--delete")
        assert not (lake / "lake" / name).exists()
    sluice(
        0, "run", str(lake / "recipe.yaml")
    )  # four fifths of the lake's rows are gone, none lost
    rows = table(lake, "ingestion/tables")
    retired = rows.filter(status="retired")
    assert retired["table"].to_list() == sorted(tables)
    assert set(retired["parents"].explode()) == {"whole.csv"}
    assert retired["counted"].sum() == 160 + 150
    ledger = table(lake, "publication/ledger").filter(pl.col("table").is_in(tables))
    assert ledger.select("fate", "by").unique().rows() == [("contained", "whole.csv")]
    assert ledger["rows"].sum() == 160 + 150
    assert table(lake, "deduplication/records").sort("record_id").equals(before)
    way = told(0, "trace", "topic2.csv#3", *recipe)
    assert way["retired"]["parent_position"] == 14
    assert way["held_by"]["record"]["position"] == 14
    assert way["fate"]["fate"] == "contained"
    assert "no record at position 40" in sluice(2, "trace", "topic2.csv#40", *recipe)
    found = sluice(0, "containment", str(lake / "lake"))
    assert "topic2.csv: retired on" in found
    maintained = told(0, "maintain", str(lake / "recipe.yaml"), "--retention", "0h", "--force")
    assert (maintained["held"], maintained["damaged"]) == (5, [])
    sluice(
        0,
        "maintain",
        str(lake / "recipe.yaml"),
        "--retention",
        "0h",
        "--force",
        "--keep-releases",
        "1",
    )
    again = told(0, "run", str(lake / "recipe.yaml"))
    assert again["changed"] is False
    for name in tables:
        assert told(0, "restore", name, *recipe)["identical"] == "bytes"
        assert (lake / "lake" / name).read_bytes() == bytes_before[name]
    sluice(0, "run", str(lake / "recipe.yaml"))
    assert table(lake, "ingestion/tables").filter(status="retired").is_empty()


def test_what_a_retired_table_needs_outlives_the_parent(lake: Path) -> None:
    recipe = ["--recipe", str(lake / "recipe.yaml")]
    content = (lake / "lake/most.csv").read_bytes()
    sluice(0, "retire", "most.csv", *recipe, "--grace", "0h")
    sluice(0, "retire", "most.csv", *recipe, "--delete")
    assert "bytes were deleted on" in sluice(0, "retire", "most.csv", *recipe, "--delete")
    texts(170).write_csv(lake / "lake/whole.csv")
    ended = sluice(0, "run", str(lake / "recipe.yaml"))
    assert "the retired table most.csv: whole.csv has changed" in ended
    with dg.DagsterInstance.get() as instance:
        checks = [
            event.event_specific_data
            for record in instance.all_logs(instance.get_runs(limit=1)[0].run_id)
            if record.dagster_event is not None
            for event in [record.dagster_event]
            if event.event_type_value == "ASSET_CHECK_EVALUATION"
        ]
    outcome = {check.check_name: (check.passed, check.severity.value) for check in checks}
    assert outcome["parents_have_not_moved"] == (False, "WARN")
    assert outcome["retired_tables_can_be_rebuilt"][0] is True
    sluice(
        0,
        "maintain",
        str(lake / "recipe.yaml"),
        "--retention",
        "0h",
        "--force",
        "--keep-releases",
        "1",
    )
    way = told(0, "trace", "most.csv#3", *recipe)
    assert "its rows may have moved" in way["retired"]["note"]
    told(0, "restore", "most.csv", *recipe)
    assert (lake / "lake/most.csv").read_bytes() == content


def test_refusals_name_the_reason_and_the_remedy(lake: Path) -> None:
    recipe = ["--recipe", str(lake / "recipe.yaml")]
    stones = lambda: list((lake / "lake").rglob("*.sluice-retired.json"))  # noqa: E731
    assert "the best edge is most.csv with 0.9" in sluice(2, "retire", "whole.csv", *recipe)
    assert "is no readable table of release 1" in sluice(2, "retire", "none.csv", *recipe)
    assert "names no table in" in sluice(2, "retire", "../recipe.yaml", *recipe)
    assert "(as --parent asks)" in sluice(
        2, "retire", "topic0.csv", *recipe, "--parent", "topic1.csv"
    )
    assert "is not retired" in sluice(2, "restore", "most.csv", *recipe)
    assert "is not retired" in sluice(2, "retire", "most.csv", *recipe, "--delete")
    assert "--grace is 'soon'" in sluice(2, "retire", "most.csv", *recipe, "--grace", "soon")
    assert "name one of RECIPE and --output" in sluice(2, "retire", "most.csv")
    with Lease(lake / "out", "another"):
        assert "is at work here" in sluice(4, "retire", "most.csv", *recipe)
        assert "is at work here" in sluice(4, "restore", "most.csv", *recipe)
    assert stones() == []
    with (lake / "lake/most.csv").open("a") as file:
        file.write("new,topic 9\n")
    assert "has changed since release 1" in sluice(3, "retire", "most.csv", *recipe)
    output = ["--output", str(lake / "out")]
    assert "grace period ends" in sluice(0, "retire", "topic0.csv", *output) + sluice(
        2, "retire", "topic0.csv", *output, "--delete"
    )
    assert "was retired on" in sluice(2, "retire", "topic0.csv", *output)
    assert len(stones()) == 1


def test_a_table_whose_records_the_parent_does_not_give_is_not_retired(lake: Path) -> None:
    recipe = lake / "recipe.yaml"
    # the recipe ignores it, so nobody misses its records
    told(
        0, "retire", "alone/part.csv", "--recipe", str(recipe), "--parent", "whole.csv", "--dry-run"
    )
    recipe.write_text(RECIPE.replace("role: ignore, ", ""))
    refused = sluice(
        2, "retire", "alone/part.csv", "--recipe", str(recipe), "--parent", "whole.csv"
    )
    assert "its records would be lost" in refused


def test_a_recipe_that_reads_a_retired_table_and_not_its_parent_is_refused(lake: Path) -> None:
    recipe = lake / "recipe.yaml"
    sluice(0, "retire", "most.csv", "--recipe", str(recipe), "--parent", "whole.csv")
    recipe.write_text(RECIPE.replace('"alone/*"', '["alone/*", whole.csv]'))
    refused = sluice(2, "run", str(recipe))
    assert "most.csv is retired, and whole.csv" in refused


def test_a_damaged_held_file_is_told_by_maintenance(lake: Path) -> None:
    recipe = ["--recipe", str(lake / "recipe.yaml")]
    sluice(0, "retire", "most.csv", *recipe)
    (record,) = records(lake / "out")
    place = lake / "out" / record.told["parents"][0]["files"][-1]["place"]
    place.write_bytes(place.read_bytes() + b"x")
    assert "most.csv can't be rebuilt" in sluice(3, "maintain", str(lake / "recipe.yaml"))
    shutil.rmtree(record.folder)
    assert tombstone_of(lake / "lake/most.csv").exists()


def test_a_run_that_finds_a_retired_table_lost_exits_3_each_time(lake: Path) -> None:
    sluice(0, "retire", "most.csv", "--recipe", str(lake / "recipe.yaml"))
    (record,) = records(lake / "out")
    record.folder.rename(lake / "kept")
    run = ("run", str(lake / "recipe.yaml"))
    ended = sluice(3, *run)  # the table is told as retired now, so there is something to do
    assert "FAILED: retired_tables_can_be_rebuilt: most.csv: its record" in ended
    again = json.loads(CliRunner().invoke(main, [*run, "--json"]).stdout)
    assert again["changed"] is False
    assert [c["check"] for c in again["failed_checks"]] == ["retired_tables_can_be_rebuilt"]
    (lake / "kept").rename(record.folder)
    assert "FAILED" not in sluice(0, *run)
