"""Measured problems: fitted curves, intervals over draws, verdicts against simple rules, groups without a curve."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError, InfeasibleFloors
from assets.allocation.group_curves import CurveError
from assets.allocation.measured import allocate_measured
from assets.allocation.problem import ProblemError
from orchestration.cli import main
from tests.allocation.stated import MAX_MIN, SUM, three

TRUTH = {"A": (0.95, 2.0, 0.5), "B": (0.90, 1.5, 0.25), "C": (0.92, 3.0, 0.35)}


def runs(noise=0.0, sizes=(200, 400, 800, 1600, 3200), seeds=3, truth=TRUTH):
    rng = np.random.default_rng(7)
    rows = [
        {
            "group": group,
            "samples_seen": n,
            "metric_value": a - b * n**-p + noise * rng.normal(),
            "direction": "higher",
            "se": noise or None,
            "seed": s,
            "chance_level": 0.0,
        }
        for group, (a, b, p) in truth.items()
        for n in sizes
        for s in range(seeds)
    ]
    return pl.DataFrame(rows, schema_overrides={"se": pl.Float64})


def measured(budget=50_000, **change):
    problem = three(budget, **SUM)
    for group in problem["groups"]:
        del group["curve"]
    return problem | {"draws": {"count": 40}} | change


def column(answer, name):
    return [row[name] for row in answer["allocation"]]


def test_exact_runs_give_the_optimum_of_the_true_curves():
    answer = allocate_measured(measured(), runs())
    true = allocate(three(50_000, **SUM))
    assert answer["objective"] == pytest.approx(true["objective"], abs=2e-3)
    assert answer["decided_by"] == "optimum of weighted_sum"
    assert answer["planned_on"] == "best curves"
    assert [c["status"] for c in answer["curves"]] == ["ok"] * 3
    # the answer is that of the fitted problem, to the digit
    fitted = three(50_000, **SUM)
    for group, row in zip(fitted["groups"], answer["curves"], strict=True):
        group["curve"] |= {k: row[k] for k in "abp"}
    np.testing.assert_allclose(column(answer, "samples"), column(allocate(fitted), "samples"))


def test_intervals_hold_the_plan_and_widen_with_noise():
    width = []
    for noise in (0.002, 0.02):
        answer = allocate_measured(measured(), runs(noise))
        lo, hi = (np.array(column(answer, f"records_{end}80")) for end in ("lo", "hi"))
        assert (lo <= hi).all()
        width.append(float((hi - lo).mean()))
        assert answer["draws"] == 40
    assert width[1] > 2 * width[0] > 0


def test_records_are_the_distinct_ones_among_the_samples():
    problem = measured()
    for group in problem["groups"]:
        group |= {"available": 4000, "repeats": {"r_star": 5.0, "max_passes": 4}}
    answer = allocate_measured(problem | {"draws": {"count": 20}}, runs(0.01))
    assert max(column(answer, "records_hi80")) <= 4000 * (1 + 1e-9)
    assert max(column(answer, "samples_hi80")) > 4000


def test_where_curves_cannot_tell_the_named_rule_decides():
    same = dict.fromkeys(TRUTH, (0.9, 1.5, 0.35))  # at equal costs the optimum is the equal split
    problem = measured(fallback="alpha_0.3")
    for group, size in zip(problem["groups"], (100, 1000, 10_000), strict=True):
        group |= {"cost": 1, "weight": 1 / 3, "available": size * 100}
    noisy = runs(0.03, truth=same)
    answer = allocate_measured(problem, noisy)
    assert answer["not_distinguishable"]
    assert answer["decided_by"] == "rule alpha_0.3"
    assert answer["rules"]["equal"]["verdict"] == "not distinguishable"
    share = np.array([100, 1000, 10_000]) ** 0.3
    np.testing.assert_allclose(column(answer, "samples"), 50_000 * share / share.sum(), rtol=2e-6)
    assert any("not distinguishable" in w for w in answer["warnings"])
    del problem["fallback"]  # no rule is ever taken that was not named
    kept = allocate_measured(problem, noisy)
    assert kept["decided_by"] == "optimum of weighted_sum"
    assert any("no fallback is named" in w for w in kept["warnings"])


def test_a_clear_gain_is_called_better():
    answer = allocate_measured(measured(fallback="equal"), runs(0.001))
    assert answer["rules"]["equal"]["verdict"] == "better"
    assert not answer["not_distinguishable"]
    assert answer["decided_by"] == "optimum of weighted_sum"


def test_plans_on_the_mean_and_on_the_worst_draw():
    noisy = runs(0.02)
    best = allocate_measured(measured(), noisy)
    mean = allocate_measured(measured(draws={"count": 40, "plan": "mean"}), noisy)
    assert mean["planned_on"] == "mean"
    assert column(mean, "samples") != column(best, "samples")
    worst = allocate_measured(
        measured(objective=MAX_MIN, draws={"count": 40, "plan": "worst"}), noisy
    )
    assert worst["planned_on"] == "worst"
    with pytest.raises(AllocationError, match="worst does not go with weighted_sum"):
        allocate_measured(measured(draws={"count": 40, "plan": "worst"}), noisy)


def test_a_group_without_runs_is_unallocatable_and_told_its_pilot():
    rows = runs().filter(pl.col("group") != "B")
    answer = allocate_measured(measured(), rows, integer=True)
    lost = answer["allocation"][1]
    assert (lost["group"], lost["bound"], lost["samples"]) == ("B", "no_curve", 0)
    assert "unallocatable without a pilot: at least 4 nested" in lost["remedy"]
    assert any("'B' has no curve" in w for w in answer["warnings"])
    policy = answer["policy"]
    assert policy["budget"] == 50_000
    assert (policy["weights"]["B"], policy["costs"]["B"], policy["floors"]["B"]) == (0.3, 2, 0)
    assert column(answer, "samples")[0] > 0
    # with a rule it gets the rule's share, and the others divide the rest
    ruled = allocate_measured(measured(fallback="equal_spend"), rows)
    assert ruled["allocation"][1]["samples"] * 2 == pytest.approx(50_000 / 3, rel=1e-6)
    assert ruled["spend"] == pytest.approx(50_000)
    # a floor is kept in any case
    floored = measured()
    floored["groups"][1]["floor"] = 700
    assert allocate_measured(floored, rows)["allocation"][1]["samples"] == pytest.approx(700)
    floored["groups"][1]["floor"] = 40_000
    with pytest.raises((InfeasibleFloors, AllocationError), match="80000"):
        allocate_measured(floored, rows)
    # two languages of the test bed have a header and no row
    floored["groups"][1] |= {"floor": 0, "available": 0}
    assert allocate_measured(floored, rows)["allocation"][1]["samples"] == 0


def test_too_few_sizes_are_no_curve():
    rows = runs().filter((pl.col("group") != "C") | (pl.col("samples_seen") < 800))
    row = allocate_measured(measured(), rows)["allocation"][2]
    assert row["bound"] == "no_curve"
    assert "at least 4 nested fresh sizes" in row["remedy"]
    with pytest.raises(AllocationError, match=r"no group has a curve. 'A': train on"):
        allocate_measured(measured(), runs(sizes=(100, 200)))


def test_few_seeds_are_said():
    answer = allocate_measured(measured(), runs(seeds=2))
    assert any("fewer than 3 seeds" in w for w in answer["warnings"])


def test_a_stated_curve_stays_beside_measured_ones():
    problem = measured()
    problem["groups"][2]["curve"] = three()["groups"][2]["curve"]
    answer = allocate_measured(problem, runs().filter(pl.col("group") != "C"))
    assert column(answer, "bound") == ["none"] * 3
    with pytest.raises(ProblemError, match="group 'C', field curve: it is stated"):
        allocate_measured(problem, runs())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": {"count": 1}}, "draws, field count"),
        ({"draws": {"cuont": 50}}, "did you mean 'count'"),
        ({"draws": {"plan": "median"}}, "draws, field plan"),
        ({"draws": 100}, "field draws: an object with keys is needed"),
        ({"fallback": "best"}, "field fallback"),
        ({"groups": "A"}, "field groups"),
        ({"groups": [3]}, "group '#0'"),
        ({"objective": {"kind": "max_min"}}, "field level"),
        ({"budget": None}, "field budget"),
    ],
)
def test_misstated_measured_problems(change, words):
    with pytest.raises(ProblemError, match=words):
        allocate_measured(measured(**change), runs())


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (runs().drop("seed"), "column 'seed' is missing"),
        (runs().with_columns(metric_value=pl.lit("x")), "column 'metric_value' holds String"),
        (runs().with_columns(group=pl.lit("Z")), "group 'Z' is not in the problem"),
        (runs().with_columns(direction=pl.lit("up")), "direction 'up'"),
        (runs().with_columns(samples_seen=pl.lit(0)), "samples"),
        (runs().with_columns(metric_value=pl.lit(-0.5)), "metric -0.5"),
    ],
)
def test_misstated_runs(rows, words):
    with pytest.raises(CurveError, match=words):
        allocate_measured(measured(), rows)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_command_reads_runs_and_writes_intervals(tmp_path, suffix):
    problem, table = tmp_path / "problem.json", tmp_path / f"runs.{suffix}"
    problem.write_text(json.dumps(measured()))
    rows = runs(0.01).filter(pl.col("group") != "B")
    {"csv": rows.write_csv, "parquet": rows.write_parquet, "jsonl": rows.write_ndjson}[suffix](
        table
    )
    call = ["allocate", str(problem), "--evaluations", str(table)]

    def told(*more):
        return CliRunner().invoke(main, [*call, *more], catch_exceptions=False)

    answer = json.loads(told("--json", "--integer").stdout)
    assert answer["allocation"][0]["records_lo80"] < answer["allocation"][0]["records_hi80"]
    for_people = told()
    for words in (" to ", "gain over equal at 80 %", "decided by", "unallocatable"):
        assert words in for_people.output.replace("\n", " ")
    page, folder = tmp_path / "page.html", tmp_path / "out"
    assert told("--report", str(page), "--export", str(folder)).exit_code == 0
    plan = pl.read_csv(folder / "plan.csv")
    assert plan["records_lo80"].null_count() == 1
    assert page.stat().st_size > 10_000


def test_the_command_names_the_file_at_fault(tmp_path):
    problem, table = tmp_path / "problem.json", tmp_path / "runs.csv"
    problem.write_text(json.dumps(measured()))

    def told(*more):
        out = CliRunner().invoke(main, ["allocate", str(problem), *more])
        assert out.exit_code == 2
        return out.stderr

    assert f"{problem}: field draws: it is about runs" in told()
    table.write_text("group,samples_seen\nA,3\n")
    assert f"{table}: column 'metric_value' is missing" in told("--evaluations", str(table))
    table.write_text("")
    assert f"{table}" in told("--evaluations", str(table))
