"""Rounds as partitions: resumed, never taken back, stopped for a stated reason, refused under other settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from assets.allocation.round_stage import CURVES, RECORDS, ROUNDS
from assets.allocation.study import Round
from orchestration.cli import main
from orchestration.definitions import definitions_for
from orchestration.execute_rounds import execute_rounds
from orchestration.stages import BY_ROUND_TABLE, BY_TABLE
from resources import delta
from resources.errors import NotReadyError, RecipeError, StoreError
from resources.maintain import maintain
from resources.recipe import Recipe
from tests.allocation import released_lake
from tests.allocation.released_lake import KEYS, newest, recipe

TABLES = (RECORDS, CURVES, ROUNDS)

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One history for all: what rounds stand on is in the tables, not in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path_factory.mktemp("rounds") / "dagster"))
        yield


def buy(stated: Recipe, last: int, **options: Any) -> list[Round]:
    return [one.round for one in execute_rounds(stated, last, **options)]


def versions(output: Path) -> dict[str, int]:
    return {name: delta.open_table(output / name).version() for name in TABLES}  # type: ignore[union-attr]


def contents(output: Path) -> dict[str, pl.DataFrame]:
    return {
        name: newest(output, name).sort("round", *(["group"] if name != CURVES else ["run_id"]))
        if name != RECORDS
        else newest(output, name).sort("round", "record_id")
        for name in TABLES
    }


@pytest.fixture
def output(tmp_path: Path) -> Path:
    released_lake.release(tmp_path / "out")
    return tmp_path / "out"


def test_rounds_buy_what_is_there_and_keep_what_they_hold(output: Path) -> None:
    bought = buy(recipe(output.parent), 2)
    assert [one.number for one in bought] == [0, 1, 2]
    assert bought[-1].stopped == "the last round is bought"
    records, rounds = newest(output, RECORDS), newest(output, ROUNDS)
    assert records["record_id"].is_unique().all()
    pools = released_lake.frames()["filtering/pools"].filter(~pl.col("held_out"))
    assert records.join(pools, on=["record_id", "group"]).height == records.height
    for one in bought:
        held = records.filter(pl.col("round") <= one.number).group_by("group").len()
        assert dict(held.iter_rows()) == one.held
    assert rounds["spent"].max() == pytest.approx(300)
    assert bought[0].bought == {"en": 60, "sw": 60}
    assert sum(bought[-1].held.values()) == 300


def test_a_round_is_measured_on_what_the_rounds_before_it_hold(output: Path) -> None:
    buy(recipe(output.parent), 2)
    curves = newest(output, CURVES)
    assert curves.filter(pl.col("round") == 0).is_empty()
    records = newest(output, RECORDS)
    for number in (1, 2):
        rows = curves.filter(pl.col("round") == number, pl.col("samples_seen") == pl.col("unique"))
        before = records.filter(pl.col("round") < number)
        # a group that bought nothing since has been measured already
        since = before.filter(pl.col("round") == number - 1)["group"].unique().to_list()
        held = before.filter(pl.col("group").is_in(since)).group_by("group").len()
        largest = rows.group_by("group").agg(pl.col("unique").max())
        assert dict(largest.iter_rows()) == dict(held.iter_rows())
        assert rows.group_by("group").agg(pl.col("unique").n_unique())["unique"].min() == 4
    assert curves["run_id"].is_unique().all()


def test_rounds_one_call_at_a_time_are_those_of_one_call(output: Path, tmp_path: Path) -> None:
    buy(recipe(output.parent), 2)
    released_lake.release(tmp_path / "other" / "out")
    other = recipe(tmp_path / "other")
    for last in (0, 0, 1, 2):
        buy(other, last)
    for name, frame in contents(output).items():
        assert_frame_equal(frame, contents(tmp_path / "other" / "out")[name], check_exact=True)


@pytest.mark.slow
def test_a_later_round_leaves_the_files_of_earlier_ones(output: Path) -> None:
    stated = recipe(output.parent)
    before: dict[str, set[str]] = {name: set() for name in TABLES}
    for last in range(3):
        buy(stated, last)
        for name in TABLES:
            now = set(delta.file_names(delta.open_table(output / name)))  # type: ignore[arg-type]
            assert before[name] <= now, name
            before[name] = now


def test_a_finished_partition_that_is_run_again_commits_nothing(output: Path) -> None:
    stated = recipe(output.parent)
    buy(stated, 2)
    before = versions(output)
    assert [one.number for one in buy(stated, 2)] == [0, 1, 2]
    assert versions(output) == before
    # as the UI would, partition by partition
    job = definitions_for([stated]).resolve_job_def("rounds")
    for number in range(3):
        result = job.execute_in_process(partition_key=str(number), raise_on_error=False)
        assert result.success
        for event in result.get_asset_materialization_events():
            metadata = event.step_materialization_data.materialization.metadata
            assert metadata["adopted"].value is True
            assert event.partition == str(number)
    assert versions(output) == before


def test_a_round_left_by_a_process_that_died_is_replaced_and_not_added_to(output: Path) -> None:
    stated = recipe(output.parent)
    buy(stated, 1)
    whole = contents(output)
    # as if killed after the records of round 1, on another machine's draws, and before the round itself
    rounds = whole[ROUNDS].filter(pl.col("round") == 0)
    for name in (CURVES, ROUNDS):
        (log,) = (output / name / "_delta_log").glob("*1.json")
        log.unlink()
    assert_frame_equal(newest(output, ROUNDS).sort("group"), rounds.sort("group"))
    buy(stated, 1)
    for name, frame in contents(output).items():
        assert_frame_equal(frame, whole[name], check_exact=True)


def test_the_study_stops_where_the_next_slice_is_not_worth_its_cost(output: Path) -> None:
    stated = recipe(output.parent, rounds={"value": 1e-3})
    bought = buy(stated, 2)
    assert [one.number for one in bought] == [0, 1]
    assert bought[1].spend == 0
    assert bought[1].stopped.startswith("the next 90 would raise the objective by at most 0.0")  # type: ignore[union-attr]
    before = versions(output)
    assert buy(stated, 2)[-1].stopped == bought[1].stopped
    # a partition beyond the end is passed over, and says why
    job = definitions_for([stated]).resolve_job_def("rounds")
    result = job.execute_in_process(partition_key="2", raise_on_error=False)
    assert result.success
    assert not result.get_asset_materialization_events()
    (check, *_) = result.get_asset_check_evaluations()
    assert "ended the study" in check.metadata["skipped"].value
    assert versions(output) == before
    # mutant: a study whose slices are worth their cost goes on
    rich = recipe(output.parent, rounds={"value": 1e9})
    assert len(buy(rich, 2, restart=True)) == 3


def test_other_settings_are_refused_and_begin_anew_only_when_told(output: Path) -> None:
    buy(recipe(output.parent), 1)
    before = contents(output)
    other = recipe(output.parent, rounds={"explore": 0.3})
    with pytest.raises(
        RecipeError, match=r"allocation.rounds.explore was 0.0 and is 0.3.*--restart"
    ):
        buy(other, 2)
    for number in ("0", "1", "2"):
        job = definitions_for([other]).resolve_job_def("rounds")
        assert not job.execute_in_process(partition_key=number, raise_on_error=False).success
    for name, frame in contents(output).items():
        assert_frame_equal(frame, before[name])
    bought = buy(other, 0, restart=True)
    assert len(bought) == 1
    for name, frame in contents(output).items():
        assert frame["round"].is_in([0]).all(), f"{name}: rounds of the study before it are left"
    assert len(buy(other, 2)) == 3


@pytest.mark.slow
def test_what_no_round_depends_on_may_change(output: Path) -> None:
    buy(recipe(output.parent), 1)
    other = recipe(output.parent, policy={"owner": "they", "reason": "another"}, fallback="equal")
    assert len(buy(other, 2)) == 3
    owners = newest(output, ROUNDS).select("round", pl.col("policy").str.json_path_match("$.owner"))
    assert set(owners.iter_rows()) == {(0, "us"), (1, "us"), (2, "they")}


@pytest.mark.slow
def test_a_release_in_between_changes_nothing_of_a_study(output: Path, tmp_path: Path) -> None:
    buy(recipe(output.parent), 2)
    released_lake.release(tmp_path / "other" / "out")
    other = recipe(tmp_path / "other")
    buy(other, 0)
    released_lake.release(tmp_path / "other" / "out", number=2, seed=9)
    buy(other, 2)
    for name, frame in contents(output).items():
        assert_frame_equal(frame, contents(tmp_path / "other" / "out")[name], check_exact=True)
    # begun anew, it reads the new release
    buy(other, 0, restart=True)
    ids = set(released_lake.frames(9)["filtering/pools"]["record_id"])
    assert set(newest(tmp_path / "other" / "out", RECORDS)["record_id"]) <= ids


def test_rounds_come_in_order_and_after_a_release(output: Path, tmp_path: Path) -> None:
    stated = recipe(output.parent)
    job = definitions_for([stated]).resolve_job_def("rounds")
    result = job.execute_in_process(partition_key="1", raise_on_error=False)
    assert not result.success
    assert delta.open_table(output / ROUNDS) is None
    (tmp_path / "nowhere" / "lake").mkdir(parents=True)
    with pytest.raises(NotReadyError):
        buy(recipe(tmp_path / "nowhere"), 0)


@pytest.mark.slow
def test_a_restart_that_was_cut_short_is_told(output: Path) -> None:
    stated = recipe(output.parent)
    buy(stated, 1)
    released_lake.put(
        output / RECORDS,
        newest(output, RECORDS).filter(pl.col("round") == 0),
        {"partition": 0, "alone": True, "fingerprint": "another", "identity": "another"},
    )
    with pytest.raises(StoreError, match="does not hold the records of rounds 0 to 1"):
        buy(stated, 2)
    assert len(buy(stated, 1, restart=True)) == 2


def test_a_release_without_rounds_is_not_touched_by_them(output: Path) -> None:
    """What is released does not depend on rounds: neither a stage's part of the recipe nor its hash does."""
    with_rounds = recipe(output.parent)
    without = with_rounds.model_copy(
        update={"allocation": with_rounds.allocation.model_copy(update={"rounds": None})}  # type: ignore[union-attr]
    )
    assert with_rounds.section("allocation") == without.section("allocation")
    assert with_rounds.hash == without.hash


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rounds": {"pilot": 0.1}}, "allocation.rounds.pilot: 0.1 of the budget buys 15 records"),
        ({"floors": {"en": 280}}, "with the floors"),
    ],
)
def test_a_pilot_that_cannot_be_is_refused(change: dict[str, Any], told: str, output: Path) -> None:
    with pytest.raises(RecipeError, match=told):
        buy(recipe(output.parent, **change), 0)
    assert delta.open_table(output / ROUNDS) is None


def test_floors_are_bought_by_the_pilot(output: Path) -> None:
    (made,) = buy(recipe(output.parent, floors={"en": 100}), 0)
    assert made.bought == {"en": 100, "sw": 60}


def test_the_command_tells_the_rounds(output: Path) -> None:
    path = output.parent / "recipe.yaml"
    path.write_text(yaml.safe_dump(KEYS), encoding="utf-8")
    runner = CliRunner()
    first = runner.invoke(main, ["run", str(path), "--rounds", "1", "--json"])
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert [one["number"] for one in told["rounds"]] == [0, 1]
    assert told["stopped"] is None
    again = runner.invoke(main, ["run", str(path), "--rounds", "2"])
    assert again.exit_code == 0, again.output
    lines = again.stdout.splitlines()
    assert lines[0] == "pilot: 120 for en 60, sw 60 (stood already)"
    assert lines[2].startswith("round 2: 90 for ")
    assert lines[-1] == "The study ends: the last round is bought."
    for arguments, message in (
        (["--rounds", "3"], "allocation.rounds.count is 2"),
        (["--restart"], "say --rounds N"),
        (["--rounds", "1", "--recalibrate"], "--rounds reads what is released"),
    ):
        refused = runner.invoke(main, ["run", str(path), *arguments])
        assert refused.exit_code == 2
        assert message in refused.output


def test_maintenance_keeps_what_a_study_stands_on(output: Path) -> None:
    stated = recipe(output.parent)
    buy(stated, 0)
    for number in (2, 3):
        released_lake.release(output, number=number, seed=number)
    (output / "_sluice").mkdir(exist_ok=True)
    layers = {name: spec.layer for name, spec in {**BY_TABLE, **BY_ROUND_TABLE}.items()}
    done = maintain(output, output, layers, retention_hours=0.0, keep_releases=1, force=True)
    assert done.dropped == [1, 2]
    assert done.removed["superseded files"].files >= 4, "release 2 could go"
    ids = set(released_lake.frames(0)["filtering/pools"]["record_id"])
    assert len(buy(stated, 2)) == 3
    assert set(newest(output, RECORDS)["record_id"]) <= ids
