"""Joint problems with measured parameters: the plan, its intervals, verdicts, the command."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.group_curves import CurveError
from assets.allocation.joint import solve_joint
from assets.allocation.joint_measured import allocate_joint_measured
from assets.allocation.problem import ProblemError
from orchestration.cli import main
from tests.allocation.joint_study import TRUTH, problem, runs, stated, value

LEVELS = [
    {"kind": "weighted_sum"},
    {"kind": "max_min", "level": "raw"},
    {"kind": "leximin", "level": "excess"},
]


@pytest.mark.parametrize("objective", LEVELS)
def test_exact_runs_give_the_plan_of_the_planted_parameters(objective):
    answer = allocate_joint_measured(problem(objective=objective), runs())
    true = solve_joint(stated(objective=objective))
    for part in ("answer", "two_stage"):
        assert answer[part]["objective"] == pytest.approx(true[part]["objective"], rel=1e-5)
        np.testing.assert_allclose(
            answer[part]["performance"], true[part]["performance"], rtol=1e-5
        )
    gain = abs(true["gain"]["objective"])  # of excess it is a shortfall less
    assert answer["rules"]["two_stage"]["gain_lo80"] == pytest.approx(gain, abs=1e-5)
    assert answer["decided_by"] == f"optimum of {objective['kind']}"


def test_least_spend_has_intervals_and_no_rules():
    objective = {"kind": "min_cost", "level": "raw", "target": 0.8}
    without = problem(objective=objective)
    del without["budget"]
    answer = allocate_joint_measured(without, runs(noise=0.003))
    assert answer["rules"] == {}
    assert answer["answer"]["performance"] == pytest.approx([0.8] * 3)
    assert all(row["samples_lo80"] < row["samples_hi80"] for row in answer["allocation"])


def test_rows_hold_samples_records_and_their_intervals():
    answer = allocate_joint_measured(problem(), runs(noise=0.001))
    assert sum(row["samples"] for row in answer["allocation"]) == pytest.approx(20_000)
    width = []
    for row, drawn in zip(answer["allocation"], answer["answer"]["samples"], strict=True):
        assert [p["samples"] for p in row["pools"]] == pytest.approx(drawn)
        for cell, part in zip(TRUTH[row["group"]]["U"], row["pools"], strict=True):
            assert part["records"] == pytest.approx(min(part["samples"], cell * 0.1))
            assert part["records_hi80"] <= cell * 0.1 * (1 + 1e-9)
            assert 0 <= part["samples_lo80"] <= part["samples_hi80"]
        assert row["records"] == pytest.approx(sum(p["records"] for p in row["pools"]))
        width.append(row["samples_hi80"] - row["samples_lo80"])
    assert max(r["samples_hi80"] for r in answer["allocation"]) > 1700  # some group repeats
    wider = allocate_joint_measured(problem(), runs(noise=0.01))
    noisy = [row["samples_hi80"] - row["samples_lo80"] for row in wider["allocation"]]
    assert sum(noisy) > 1.5 * sum(width)


def test_where_runs_cannot_tell_the_named_rule_decides():
    alike = dict.fromkeys(TRUTH, TRUTH["B"])  # the optimum is the equal split
    noisy = runs(alike, noise=0.03)
    kept = allocate_joint_measured(problem(alike), noisy)
    assert kept["not_distinguishable"]
    assert kept["decided_by"] == "optimum of weighted_sum"
    assert any("no fallback is named" in w for w in kept["warnings"])
    assert "optimum" not in kept
    ruled = allocate_joint_measured(problem(alike, fallback="equal"), noisy)
    assert ruled["decided_by"] == "rule equal"
    assert [row["samples"] for row in ruled["allocation"]] == pytest.approx([20_000 / 3] * 3)
    assert ruled["optimum"]["samples"] == kept["answer"]["samples"]
    staged = allocate_joint_measured(problem(alike, fallback="two_stage"), noisy)
    assert staged["answer"]["samples"] == staged["two_stage"]["samples"]


def test_a_clear_gain_over_two_stages_is_called_better_and_lossless_staging_the_same_plan():
    answer = allocate_joint_measured(problem(fallback="two_stage"), runs(noise=0.001))
    assert answer["rules"]["two_stage"]["verdict"] == "better"
    assert answer["decided_by"] == "optimum of weighted_sum"
    plenty = allocate_joint_measured(problem(budget=2_000, share=1.0), runs(noise=0.001))
    assert plenty["rules"]["two_stage"]["verdict"] == "same plan"
    assert plenty["verdict"] == "no difference"


def test_whole_samples_and_stated_parts():
    half = problem(integer=True)
    half["groups"][0] |= {"a": 0.95, "b": 2.0, "p": 0.5}
    for cell in half["groups"][0]["cells"]:
        cell |= {"worth": 1.0, "tau": 3.0}
    half["groups"][1]["cells"][1] |= {"worth": 0.7}  # then `clean` is still told apart
    half["groups"][1]["cells"][0] |= {"worth": 1.0}
    rows = runs(noise=0.002)
    rows = rows.filter(rows["group"] != "A")
    answer = allocate_joint_measured(half, rows)
    for row in answer["allocation"]:
        for part in row["pools"]:
            assert part["samples"] == int(part["samples"])
    told = {(r["group"], r["parameter"]) for r in answer["parameters"]}
    assert not any(group == "A" for group, _ in told)
    assert ("B", "worth") not in told
    assert ("C", "worth") in told
    assert answer["answer"]["spend"] <= 20_000


def test_misstated_problems_name_group_and_field():
    rows = runs(seeds=2)
    cases = [
        (stated(), "field a: every group states its curve"),
        (problem(formulation="mixture"), "field formulation: runs are fitted in the effective"),
        (problem(budgets=[1, 2]), "field budgets: a measured plan"),
        (problem(fallback="median"), "field fallback"),
        (problem(draws={"count": 3}), "draws, field count"),
        (problem(groups=3), "field groups: a list is needed"),
        (problem(groups=[{"name": "A", "cells": 3, "weight": 1.0}]), "group 'A', field cells"),
        (problem(groups=[{"name": "A", "p": 0.5, "cells": [{"U": 3}]}]), "field a: missing"),
    ]
    for case, message in cases:
        with pytest.raises(ProblemError, match=message):
            allocate_joint_measured(case, rows)
    mixed = problem()
    mixed["groups"][0] = stated()["groups"][0]
    with pytest.raises(CurveError, match="row 1, group 'A', field group: the problem states"):
        allocate_joint_measured(mixed, rows)


def test_warnings_name_borrowed_parameters_worths_of_one_and_few_seeds():
    alike = {name: of | {"worth": 1.0} for name, of in TRUTH.items()}
    answer = allocate_joint_measured(
        problem(alike), runs(alike, noise=0.003, seeds=2, whole=["A", "B"])
    )
    told = "\n".join(answer["warnings"])
    assert "group 'C', pool 'plain': no run tells its worth" in told
    assert "can't be told from 1 at 80 %; merge it" in told
    assert "fewer than 3 seeds" in told
    assert value(answer, "C", "worth", "plain", "alone") is None


def test_chance_comes_from_the_runs_and_a_flat_group_is_told():
    rows = runs(noise=0.002)
    skill = problem(objective={"kind": "max_min", "level": "skill"}, draws={"count": 20})
    with pytest.raises(ProblemError, match="group 'A', field chance"):
        allocate_joint_measured(skill, rows)
    lower = rows.with_columns(
        chance_level=pl.lit(0.9), metric_value=1 - pl.col("metric_value"), direction=pl.lit("lower")
    )
    skilled = allocate_joint_measured(skill, lower)["answer"]
    raw = allocate_joint_measured(skill | {"objective": LEVELS[1]}, rows)["answer"]
    assert skilled["objective"] == pytest.approx((raw["objective"] - 0.1) / 0.9, rel=1e-6)
    down = (pl.col("group") == "A") & (pl.col("metric_value") > 0)
    flat = rows.with_columns(
        metric_value=pl.when(down).then(1 - pl.col("metric_value")).otherwise("metric_value")
    )
    told = allocate_joint_measured(problem(draws={"count": 20}), flat)["warnings"]
    assert any("group 'A': no gain with size was seen" in w for w in told)


def test_the_command_fits_and_names_the_file_at_fault(tmp_path):
    stated_file, table = tmp_path / "problem.json", tmp_path / "runs.csv"
    stated_file.write_text(json.dumps(problem(draws={"count": 20})))
    rows = runs(noise=0.003)
    rows.write_csv(table)
    call = ["allocate", str(stated_file), "--joint", "--evaluations", str(table), "--json"]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output)
    assert {"answer", "two_stage", "allocation", "parameters", "rules"} <= set(answer)
    rows.filter(rows["unique"] == rows["samples_seen"]).write_csv(table)
    failed = CliRunner().invoke(main, call)
    assert failed.exit_code != 0
    assert f"--evaluations {table}: group 'A', pool 'clean', field tau" in failed.output


def test_the_command_rounds_joint_plans(tmp_path):
    stated_file = tmp_path / "problem.json"
    stated_file.write_text(json.dumps(stated()))
    for more, whole in (([], False), (["--integer"], True)):
        done = CliRunner().invoke(main, ["allocate", str(stated_file), "--joint", "--json", *more])
        drawn = [v for row in json.loads(done.output)["answer"]["samples"] for v in row]
        assert all(v == int(v) for v in drawn) is whole
