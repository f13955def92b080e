"""`sluice score` as people and machines meet it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result

from assets.scoring.registry import SCORERS
from orchestration.cli import main
from resources.errors import EXIT_BAD_RECIPE, EXIT_DONE, EXIT_QUARANTINE


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["score", *[str(a) for a in arguments]])


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    rows = [
        {"text": f"the {i}th note of the sea and the wind", "topic": str(i % 2)} for i in range(40)
    ]
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_list_has_every_method_with_its_needs_direction_cost_and_paper() -> None:
    told = json.loads(call("--list", "--json").stdout)
    assert [row["scorer"] for row in told] == list(SCORERS)
    shown = call("--list").stdout
    for row in told:
        for part in (row["scorer"], row["needs"], row["direction"], row["cost"], row["source"]):
            assert part in shown


def test_rows_come_out_in_order_with_their_path_and_position(notes: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    result = call(notes, "--text", "text", "--scorers", "repetition,random", "--out", out, "--json")
    assert result.exit_code == EXIT_DONE, result.output
    told = json.loads(result.stdout)
    assert told["rows"] == told["columns"]["random"]["rows"] == 40
    frame = pl.read_csv(out)
    assert frame["id"].to_list() == [f"{notes}#{i}" for i in range(40)]
    assert frame.columns == ["id", "repetition", "random", "silent"]


def test_randomness_belongs_to_the_seed_and_the_id(notes: Path, tmp_path: Path) -> None:
    frames = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"{number}.jsonl"
        call(notes, "--text", "text", "--scorers", "random", "--seed", str(seed), "--out", out)
        frames.append(pl.read_ndjson(out, infer_schema_length=None)["random"])
    assert frames[0].equals(frames[1])
    assert not frames[0].equals(frames[2])


def test_what_a_reader_sets_aside_is_told_and_changes_no_position(
    notes: Path, tmp_path: Path
) -> None:
    lines = notes.read_text(encoding="utf-8").splitlines()
    notes.write_text("\n".join(["{broken"] * 3 + lines) + "\n", encoding="utf-8")
    out = tmp_path / "scores.parquet"
    result = call(notes, "--text", "text", "--scorers", "random", "--out", out)
    assert result.exit_code == EXIT_QUARANTINE, result.output
    assert "3 records set aside" in result.stderr
    assert pl.read_parquet(out)["id"][0] == f"{notes}#3"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--text", "text", "--scorers", "dsir"], "--scorers dsir needs --target FILE"),
        (["--text", "txt", "--scorers", "random"], "no column 'txt'"),
        (["--text", "text", "--scorers", "randon"], "did you mean 'random'?"),
        (["--text", "text", "--scorers", "random", "--id", "topic"], "repeats ids"),
        (["--text", "text", "--scorers", "random", "--device", "tpu"], "--device is 'tpu'"),
        (["--scorers", "prototype"], "--text COL, --features A,B,… or --embedding COL"),
        (
            ["--text", "text", "--scorers", "prototype", "--features", "topic", "--embedding", "x"],
            "give one",
        ),
    ],
)
def test_what_is_asked_in_vain_ends_with_2_and_writes_nothing(
    notes: Path, tmp_path: Path, arguments: list[str], hint: str
) -> None:
    out = tmp_path / "scores.parquet"
    result = call(notes, *arguments, "--out", out)
    assert result.exit_code == EXIT_BAD_RECIPE, result.output
    assert hint in result.stderr
    assert not out.exists()


def test_an_input_is_never_overwritten(notes: Path) -> None:
    before = notes.read_bytes()
    result = call(notes, "--text", "text", "--scorers", "random", "--out", notes)
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "write elsewhere" in result.stderr
    assert notes.read_bytes() == before


def test_settings_and_groups_reach_the_scorers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "v": (np.eye(4)[i % 3] + 0.2 * rng.normal(size=4)).tolist(),
            "y": str(i % 3),
            "g": "ab"[i % 2],
        }
        for i in range(60)
    ]
    path, goal = tmp_path / "rows.jsonl", tmp_path / "goal.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    goal.write_text("".join(json.dumps(row) + "\n" for row in rows[:20]), encoding="utf-8")
    given = [path, "--embedding", "v", "--label", "y", "--target", goal, "--group", "g"]
    frames = []
    for number, setting in enumerate(("lava.eps=0.05", "lava.eps=0.5")):
        out = tmp_path / f"{number}.parquet"
        names = "lava,got_d,group_shapley,less,grand"
        more = ["--scorers", names, "--set", setting, "--set", "grand.runs=2", "--out", out]
        result = call(*given, *more)
        assert result.exit_code == EXIT_DONE, result.output
        frames.append(pl.read_parquet(out))
    assert not frames[0]["lava"].equals(frames[1]["lava"])
    assert frames[0]["got_d"].equals(frames[1]["got_d"])
    by_group = frames[0].with_columns(g=pl.Series([row["g"] for row in rows])).group_by("g")
    assert by_group.agg(pl.col("group_shapley").n_unique())["group_shapley"].to_list() == [1, 1]
    result = call(*given[:-2], "--scorers", "group_shapley", "--out", tmp_path / "x.csv")
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "group_shapley needs --group COL" in result.output


def test_what_a_fit_warns_of_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"v": (np.eye(12)[rng.integers(12)] + 0.01 * rng.normal(size=12)).tolist()}
        for _ in range(90)
    ]
    path, goal = tmp_path / "rows.jsonl", tmp_path / "goal.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:60]), encoding="utf-8")
    goal.write_text("".join(json.dumps(row) + "\n" for row in rows[60:]), encoding="utf-8")
    given = [path, "--embedding", "v", "--target", goal, "--scorers", "got_d", "--json"]
    few = call(*given, "--set", "got_d.rounds=3", "--out", tmp_path / "o.parquet")
    assert few.exit_code == EXIT_DONE, few.output
    assert "got_d: the transport has not converged in 3 rounds" in few.stderr
    assert len(json.loads(few.stdout)["warnings"]) == 1
    enough = call(*given, "--out", tmp_path / "o.parquet")
    assert json.loads(enough.stdout)["warnings"] == []
    assert not enough.stderr
