"""The page of a stated problem: its pictures, its policy, what it warns of, and what it says is missing."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.answer import allocate
from assets.allocation.comparisons import aversion_sweep, best_attainable, rule_points, rule_samples
from assets.allocation.curve_evidence import curve_evidence
from assets.publication.allocation_page import allocation_page, gather
from assets.publication.clauses import PROBLEM, evidence
from orchestration.cli import main
from tests.allocation.stated import three
from tests.allocation.test_results import predictions, rows
from tests.publication.test_card import Reader, check_harmless


def evaluations(problem, *, noise=0.01, sizes=(100, 200, 400, 800)):
    rng = np.random.default_rng(0)
    out = []
    for group in problem["groups"]:
        c = group["curve"]
        for n in sizes:
            for seed in range(3):
                value = c["a"] - c["b"] * n ** -c["p"] + rng.normal(0, noise)
                out.append(
                    (
                        group["name"],
                        n,
                        n,
                        min(max(value, 0), 1),
                        "higher",
                        noise,
                        seed,
                        f"{n}-{seed}",
                    )
                )
    schema = [
        "group",
        "samples_seen",
        "unique",
        "metric_value",
        "direction",
        "se",
        "seed",
        "run_id",
    ]
    return pl.DataFrame(out, schema=schema, orient="row")


def page_of(problem, **given):
    return allocation_page(gather(problem, allocate(problem), **given))


def test_the_worst_group_rises_and_the_mean_falls_with_aversion():
    sweep = aversion_sweep(three(kind="weighted_sum"))
    assert sweep.height == 11
    assert (np.diff(sweep["worst"]) >= -1e-9).all()
    assert (np.diff(sweep["overall"]) <= 1e-9).all()
    best = allocate(three(kind="max_min", level="raw"))["objective"]
    assert sweep["worst"].to_list()[-1] == pytest.approx(best, abs=0.02)
    assert aversion_sweep(three(kind="weighted_sum") | {"budget": None}).height == 0


def test_without_weights_each_group_counts_once():
    problem = three(kind="max_min", level="raw")
    once = json.loads(json.dumps(problem))
    for group in once["groups"]:
        group["weight"] = 1.0
    for group in problem["groups"]:
        del group["weight"]
    assert aversion_sweep(problem).equals(aversion_sweep(once))
    assert "each group counted once" in page_of(problem)


def test_rules_spend_the_budget_on_what_they_say():
    problem = three(kind="weighted_sum")
    counts = rule_samples(problem, 50_000)
    cost = np.array([1, 2, 5])
    for samples in counts.values():
        assert np.array(samples) @ cost == pytest.approx(50_000)
    assert counts["equal"] == pytest.approx([50_000 / 8] * 3)
    assert np.array(counts["equal_spend"]) * cost == pytest.approx([50_000 / 3] * 3)
    points = {
        rule: (overall, worst) for rule, overall, worst in rule_points(problem, 50_000).iter_rows()
    }
    baselines = allocate(problem)["baselines"]
    for rule, (overall, worst) in points.items():
        assert overall == pytest.approx(baselines[rule]["objective"])
        assert worst == pytest.approx(baselines[rule]["worst"])


def test_the_best_attainable_is_the_curve_at_all_that_there_is():
    problem = three(kind="weighted_sum")
    problem["groups"][0] |= {"available": 60, "held": 40}
    assert best_attainable(problem)[0] == pytest.approx(0.95 - 2 * 100**-0.5)


def test_all_six_pictures_are_drawn_where_their_data_is_there():
    problem = three(kind="max_min", level="raw")
    for group, name in zip(problem["groups"], "abc", strict=True):
        group["name"] = name
    bare = page_of(problem)
    assert bare.count("<svg ") == 4
    assert "give --results FILE" in bare
    assert "give them with --evaluations" in bare
    frame = predictions()
    more = frame.filter(pl.col("group") == "a").with_columns(group=pl.lit("c"))
    facts = gather(problem, allocate(problem), evaluations=evaluations(problem))
    full = allocation_page(
        dataclasses.replace(facts, results=gather_results(pl.concat([frame, more])))
    )
    assert full.count("<svg ") == 6
    check_harmless(full)
    titles = re.findall(r"Figure \d\. ([^<]+)\.</b>", full)
    for words in (
        "Available, chosen",
        "Learning curves",
        "Overall against worst",
        "one more unit",
        "before and after",
        "accuracy by group and sex",
    ):
        assert any(words in title for title in titles), words
    assert "Cells of fewer than 10 rows are suppressed" in full


def gather_results(frame):
    from assets.allocation.results import read_results

    return read_results(frame)


def test_bands_are_of_the_fitted_draws_and_absent_without_evaluations():
    problem = three(kind="weighted_sum")
    answer = allocate(problem)
    assert curve_evidence(problem, answer).bands["lo80"].null_count() == 120
    bands = curve_evidence(problem, answer, evaluations(problem), draws=60).bands
    near = bands.filter(pl.col("group") == "A", pl.col("samples").is_between(150, 500))
    assert near.height
    assert (near["lo80"] < near["hi80"]).all()
    assert (
        (near["lo80"] - 0.02 < near["performance"]) & (near["performance"] < near["hi80"] + 0.02)
    ).all()


def test_what_noisy_curves_cannot_tell_apart_is_said():
    alike = three(kind="weighted_sum")
    for group, b in zip(alike["groups"], (1.9, 2.0, 2.1), strict=True):
        group |= {"weight": 1, "cost": 1, "curve": {"form": "power", "a": 0.9, "b": b, "p": 0.4}}
    noisy = page_of(alike, evaluations=evaluations(alike, noise=0.05))
    assert "not distinguishable: against the rule" in noisy
    sharp = three(kind="max_min", level="raw")
    clear = page_of(
        sharp, evaluations=evaluations(sharp, noise=0.0005, sizes=(200, 1000, 5000, 20000))
    )
    assert "not distinguishable" not in clear


def test_groups_that_nothing_can_be_planned_for_are_named_with_their_pilot():
    problem = three(kind="weighted_sum")
    few = evaluations(problem).filter((pl.col("group") != "B") | (pl.col("samples_seen") < 300))
    other = few.filter(pl.col("group") == "A").with_columns(group=pl.lit("orm"))
    text = Reader(page_of(problem, evaluations=pl.concat([few, other]))).text
    assert "unallocatable: group B (few sizes); train on at least 4 nested fresh sizes" in text
    assert "unallocatable: group orm (not in the problem)" in text


def test_a_group_that_cannot_reach_the_others_is_named():
    problem = three(kind="leximin", level="raw")
    problem["groups"][2] |= {"available": 60}
    text = Reader(page_of(problem)).text
    assert re.search(r"unreachable: group C gets to \S+ at most, with all of its data", text)
    assert "unreachable" not in page_of(three(kind="leximin", level="raw"))


def test_who_decided_is_shown_and_asked_for():
    problem = three(kind="weighted_sum")
    assert "nobody is named" in page_of(problem)
    problem["policy"] = {"owner": "the <council>", "reason": "fair", "decided": "2026-11-24"}
    text = Reader(page_of(problem)).text
    assert "set by the <council> reason fair decided 2026-11-24" in text
    assert "weights A 0.6, B 0.3, C 0.1" in text
    assert "owner: the <council>" in text  # in Croissant's field too
    with pytest.raises(Exception, match="owner"):
        allocate(problem | {"policy": {"reason": "no one"}})


def test_the_clauses_say_what_is_missing():
    problem = three(kind="weighted_sum")
    problem["policy"] = {"owner": "Ada", "decided": "2026-11-24"}
    answer = allocate(problem)

    def states(**given):
        from assets.publication.allocation_page import _found

        facts = gather(problem, answer, **given)
        return dict(evidence(PROBLEM, _found(facts)).select("place", "state").iter_rows())

    bare = states()
    assert bare["problem.policy.owner"] == "there (1 value)"
    assert bare["problem.groups.weight"] == "there (3 values)"
    assert bare["problem.groups.floor"] == "missing"
    assert bare["results.metric"] == "missing"
    assert bare["evaluations.bands"] == "empty"
    full = states(evaluations=evaluations(problem), results=rows([0.0, 0.05]))
    assert full["results.metric"] == "there (4 values)"
    assert full["evaluations.bands"] == "there (120 values)"
    assert full["results.intersections"] == "empty"
    del problem["policy"]
    assert states()["problem.policy.owner"] == "missing"


def test_results_without_predictions_say_what_more_could_be_had():
    problem = three(kind="weighted_sum")
    text = Reader(page_of(problem, results=rows([-0.15, 0.0]))).text
    assert "levelling down" in text
    assert "not predictions" in text
    assert "told apart" in text
    assert "not distinguishable" in text


def test_without_fairlearn_the_page_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("assets.allocation.group_metrics.find_spec", lambda _: None)
    problem = three(kind="weighted_sum")
    text = Reader(page_of(problem, results=predictions())).text
    assert "Not computed: group metrics need Fairlearn: install the extra `fairness`" in text


def test_with_fairlearn_the_page_has_metrics_gaps_and_intervals(monkeypatch):
    pytest.importorskip("fairlearn")
    monkeypatch.setattr("assets.publication.allocation_results.DRAWS", 5)
    problem = three(kind="weighted_sum")
    text = Reader(page_of(problem, results=predictions())).text
    assert "Gaps between groups: after" in text
    assert "true positive rate" in text


def test_the_command_writes_one_page(tmp_path):
    file, page, results = (
        tmp_path / name for name in ("problem.json", "report.html", "results.csv")
    )
    problem = three(kind="max_min", level="raw")
    problem["groups"][0] |= {"name": "A<b>", "available": 60}
    file.write_text(json.dumps(problem))
    rows([0.0, 0.05]).write_csv(results)
    measured = tmp_path / "curves.csv"
    evaluations(problem).write_csv(measured)
    asked = [
        "allocate",
        str(file),
        "--report",
        str(page),
        "--results",
        str(results),
        "--evaluations",
        str(measured),
    ]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    check_harmless(text)
    assert text.count("<svg ") == 5
    assert "A&lt;b&gt;" in text
    assert "A<b>" not in text
    assert "rai:dataManipulationProtocol" in text
    assert "10(3)" in text
    assert "all data is taken of A&lt;b&gt;" in text
    alone = CliRunner().invoke(main, ["allocate", str(file), "--results", str(results)])
    assert alone.exit_code == 2
    assert "--report FILE" in alone.output


def test_fitted_problems_keep_who_decided_and_show_their_intervals(tmp_path):
    file, page, curves = (tmp_path / name for name in ("problem.json", "page.html", "curves.csv"))
    problem = three(kind="weighted_sum")
    evaluations(problem).write_csv(curves)
    problem["policy"] = {"owner": "the council", "decided": "2026-11-24"}
    for group in problem["groups"]:
        del group["curve"]
    more = {"name": "orm", "weight": 0.1, "cost": 1, "available": 500}
    file.write_text(json.dumps(problem | {"groups": [*problem["groups"], more]}))
    asked = ["allocate", str(file), "--report", str(page), "--evaluations", str(curves)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    text = Reader(page.read_text()).text
    assert "set by the council" in text
    assert "records, 80 %" in text
    assert re.search(r"group 'orm' has no curve", text)


def test_results_that_cannot_be_read_name_their_file(tmp_path):
    file, results = tmp_path / "problem.json", tmp_path / "results.csv"
    file.write_text(json.dumps(three(kind="weighted_sum")))
    rows([0.0, 0.05]).drop("seed").write_csv(results)
    asked = ["allocate", str(file), "--report", str(tmp_path / "p.html"), "--results", str(results)]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert "results.csv" in result.output
    assert "group, arm, seed, metric" in " ".join(result.output.split())


def test_an_arm_of_any_name_is_in_the_legend():
    from assets.publication.plots import before_and_after

    change = gather_results(rows([0.0, 0.05]).with_columns(arm=pl.lit("_") + pl.col("arm"))).change
    (legend,) = before_and_after(change, "metric").legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_after", "_before"]
