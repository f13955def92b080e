"""The report: what it says of a plan, its pictures, the price of fairness."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation import report_figures as draw
from assets.allocation.answer import allocate
from assets.allocation.comparisons import aversion_sweep, rule_samples
from assets.allocation.fairness import Change, suppress_small
from assets.allocation.report_page import croissant_rai, report_page
from orchestration.cli import main
from tests.allocation.stated import three


def test_the_worst_group_rises_and_the_mean_falls_with_aversion():
    sweep = aversion_sweep(three(kind="weighted_sum"))
    assert sweep.height == 11
    assert (np.diff(sweep["worst"]) >= -1e-9).all()
    assert (np.diff(sweep["overall"]) <= 1e-9).all()
    best = allocate(three(kind="max_min", level="raw"))["objective"]
    assert sweep["worst"].to_list()[-1] == pytest.approx(best, abs=0.02)
    assert aversion_sweep(three(kind="weighted_sum") | {"budget": None}).height == 0


def test_rules_spend_the_budget_on_what_they_say():
    counts = rule_samples(three(kind="weighted_sum"), 50_000)
    cost = np.array([1, 2, 5])
    for samples in counts.values():
        assert np.array(samples) @ cost == pytest.approx(50_000)
    assert counts["equal"] == pytest.approx([50_000 / 8] * 3)
    assert np.array(counts["equal_spend"]) * cost == pytest.approx([50_000 / 3] * 3)


def test_the_command_writes_one_page(tmp_path):
    file, page = tmp_path / "problem.json", tmp_path / "report.html"
    problem = three(kind="max_min", level="raw")
    problem["groups"][0] |= {"name": "A<b>", "available": 60}
    file.write_text(json.dumps(problem))
    result = CliRunner().invoke(main, ["allocate", str(file), "--report", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 4
    assert "A&lt;b&gt;" in text
    assert "A<b>" not in text
    assert "rai:dataManipulationProtocol" in text
    assert "10(5)" in text
    assert "all data is taken of A&lt;b&gt;" in text


def test_the_croissant_fields_hold_the_policy():
    problem = three(kind="max_min", level="raw")
    problem["groups"][2]["floor"] = 50
    fields = croissant_rai(problem, allocate(problem), {"owner": "Ada", "time": "2026-11-24"})
    assert "kind max_min, level raw" in fields["rai:dataManipulationProtocol"]
    assert "floors {'C': 50}" in fields["rai:dataManipulationProtocol"]
    assert "owner: Ada" in fields["rai:dataManipulationProtocol"]


def test_pictures_of_a_change_and_of_cells_hide_small_ones():
    rng = np.random.default_rng(0)
    change = Change(("a", "b"), rng.random((2, 4)), rng.random((2, 4)))
    cells = pl.DataFrame(
        {
            "race": ["x", "x", "y", "y"],
            "sex": ["f", "m", "f", "m"],
            "rows": [100, 90, 2, 80],
            "value": [0.5, 0.6, 0.9, 0.7],
        }
    )
    hidden = suppress_small(cells, keep=("race", "sex"))
    figure = draw.intersections(hidden, "race", "sex")
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.5", "0.6"]
    assert len(figure.axes[0].patches) == 2
    problem = three(kind="weighted_sum")
    page = report_page(problem, allocate(problem), [figure, draw.before_and_after(change.frame())])
    assert page.count("<img") == 2
