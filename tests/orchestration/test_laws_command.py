from __future__ import annotations

import json

import polars as pl
import pytest
from click.testing import CliRunner

from orchestration.cli import main
from tests.filtering.released import curves


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "curves.csv"
    curves(sd=0.002, pools=range(3)).write_csv(path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["laws", *map(str, arguments)], catch_exceptions=False)


def test_flops_and_samples_that_are_equal_give_one_plan(file):
    by_flops = run(
        file,
        "--law",
        "utility",
        "--json",
        "--budget",
        "flops=6e16,parameters=1e6,tokens_per_sample=50",
    )
    by_samples = run(file, "--law", "utility", "--json", "--budget", "samples=2e8")
    one, two = json.loads(by_flops.output), json.loads(by_samples.output)
    assert one["budget"]["samples"] == pytest.approx(2e8)
    assert one["plans"] == two["plans"]
    assert one["switch_points"]
    assert set(one["baselines"]) >= {"all_data", "rs2", "best_single_pool"}


def test_people_get_tables_a_plot_and_a_schedule(file, tmp_path):
    plot, page = tmp_path / "laws.png", tmp_path / "laws.html"
    schedule = tmp_path / "schedule.csv"
    told = run(
        file, "--law", "utility", "--budget", "samples=2e8", "--plot", plot, "--schedule", schedule
    )
    assert told.exit_code == 0
    for words in ("Plans, best first", "Fixed rules", "The plan is", "Schedules", "remedy:"):
        assert words in told.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run(file, "--law", "utility", "--plot", page).exit_code == 0
    assert "single_pool_size" in page.read_text(encoding="utf-8")
    rows = pl.read_csv(schedule)
    assert set(rows["schedule"]) == {"constant", "two_phase", "cooldown"}
    # every schedule of this plan draws what the plan draws
    for _, part in rows.group_by("schedule"):
        assert part["samples"].sum() == pytest.approx(2e8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "flops=1e18"), "flops needs parameters"),
        (("--budget", "samples=1e8", "--budget", "samples=1e9"), "one call plans for one budget"),
        (("--budget", "samples=1e308"), "not a positive number of samples"),
        (("--budget", "samples=1e9", "--max-passes", "4"), "raise max_passes"),
        (("--schedule", "s.csv"), "add --budget samples=N"),
        (("--plot", "no/such/folder/x.png"), "make it first"),
        (("--plot", "x.pdf"), "ends in .png or .html"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_remedy(file, arguments, words):
    told = run(file, "--law", "utility", *arguments)
    assert told.exit_code == 2
    assert words in told.output


@pytest.mark.parametrize("change", ["\ufeff{}", "crlf", "{}\n\n"], ids=["bom", "crlf", "blank end"])
def test_how_editors_save_a_table_does_not_matter(file, tmp_path, change):
    text = file.read_text()
    saved = text.replace("\n", "\r\n") if change == "crlf" else change.format(text)
    other = tmp_path / "saved.csv"
    other.write_bytes(saved.encode())
    one, two = (json.loads(run(f, "--law", "power", "--json").output) for f in (file, other))
    assert one["laws"] == two["laws"]


@pytest.mark.parametrize("kind", ["parquet", "delta"])
def test_curves_in_parquet_and_delta(file, tmp_path, kind):
    other = tmp_path / ("curves.parquet" if kind == "parquet" else "curves")
    table = pl.read_csv(file)
    if kind == "parquet":
        table.write_parquet(other)
    else:
        table.write_delta(other)
    one, two = (json.loads(run(f, "--law", "power", "--json").output) for f in (file, other))
    assert one["laws"] == two["laws"]


@pytest.mark.parametrize(
    "text", ["", "\n", "pool,pool_unique,samples_seen,metric_value\n", "\x00\x01"]
)
def test_a_table_without_rows_is_refused(tmp_path, text):
    empty = tmp_path / "empty.csv"
    empty.write_text(text)
    told = run(empty)
    assert told.exit_code == 2
    assert told.output.startswith("sluice: ")
