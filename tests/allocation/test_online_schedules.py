"""Rules that follow losses, replayed from a log: against the steps by hand, and through the export."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.errors import AllocationError
from assets.allocation.online_schedules import follow
from assets.allocation.schedules import doremi_step, odm_step, phases, worst_group
from orchestration.cli import main
from tests.allocation.stated import SUM, three

GROUPS = ["A", "B", "C"]


def log(*steps, **columns):
    rows = [
        {"step": t, "group": g, "loss": loss}
        for t, losses in enumerate(steps)
        for g, loss in losses.items()
    ]
    return pl.DataFrame(rows).with_columns(**columns)


TWO = log({"A": 1.0, "B": 2.0, "C": 0.5}, {"A": 0.8, "B": 1.9, "C": 0.4})


def probabilities(followed):
    return np.array(list(followed.phases[0]["probabilities"].values()))


def test_doremi_is_the_mean_of_its_steps():
    reference = np.ones(3)
    first = doremi_step(np.full(3, 1 / 3), np.array([1.0, 2.0, 0.5]), reference)
    second = doremi_step(first, np.array([0.8, 1.9, 0.4]), reference)
    found = probabilities(follow("doremi", TWO.with_columns(reference=1.0), GROUPS))
    np.testing.assert_allclose(found, (first + second) / 2)
    assert abs(found - second).max() > 0.01  # mutant: the last step's weights
    assert found[1] > found[0]


def test_a_group_outside_the_batch_has_no_excess_in_doremi():
    rows = log({"A": 1.0, "B": 1.0}).with_columns(reference=1.0)
    np.testing.assert_allclose(probabilities(follow("doremi", rows, GROUPS)), 1 / 3)


def test_odm_follows_one_group_a_step():
    total, p = odm_step(np.zeros(3), 1, 2.0, np.full(3, 1 / 3), 1)
    total, p = odm_step(total, 0, 0.5, p, 2)
    found = probabilities(follow("odm", log({"B": 2.0}, {"A": 0.5}), GROUPS))
    np.testing.assert_allclose(found, p)
    assert found.sum() == pytest.approx(1)
    with pytest.raises(AllocationError, match="one group a step, step 1 of the log has 3"):
        follow("odm", TWO, GROUPS)


def test_worst_group_goes_by_each_groups_last_loss_and_its_interval():
    rows = log({"A": 1.0, "B": 3.0}, {"B": 0.5})
    assert probabilities(follow("worst_group", rows, GROUPS)).tolist() == [1, 0, 0]
    wide = rows.with_columns(half_width=pl.when(pl.col("group") == "B").then(2.0).otherwise(0.1))
    assert probabilities(follow("worst_group", wide, GROUPS)).tolist() == [0, 1, 0]
    assert worst_group(np.array([np.nan, 0.5, 0.4])) == 2  # not the group that was not measured
    with pytest.raises(AllocationError, match="none is the worst"):
        worst_group(np.full(2, np.nan))


def test_loss_weights_of_group_dro_and_error_bound_scaling():
    dro = follow("group_dro=1", TWO, GROUPS).loss_weights
    raw = np.exp([1.8, 3.9, 0.9])
    np.testing.assert_allclose(list(dro.values()), 3 * raw / raw.sum())
    scaled = follow("error_bound=2", TWO, GROUPS).loss_weights
    np.testing.assert_allclose(
        list(scaled.values()), np.tanh((0.4 / np.array([0.8, 1.9, 0.4])) ** 2)
    )
    assert follow("error_bound", log({"A": 1.0}), GROUPS).loss_weights["C"] == 1


@pytest.mark.parametrize(
    ("rule", "rows", "words"),
    [
        ("doremi", TWO, "column reference: missing"),
        ("doremi=0", TWO, "a number above 0"),
        ("doremi=x", TWO, "a number above 0"),
        ("odm=3", TWO, "is not known"),
        ("temperature", TWO, "is not known"),
        ("group_dro", TWO.drop("loss"), "column loss: missing"),
        ("group_dro", TWO.head(0), "no row"),
        ("group_dro", pl.concat([TWO, TWO]), "'A' stands twice"),
        ("group_dro", log({"Z": 1.0}), "group 'Z' is not in the plan"),
        ("group_dro", log({"A": -1.0}), "step 0, group 'A': loss -1.0"),
        ("group_dro", log({"A": float("nan")}), "loss nan"),
        ("group_dro", TWO.with_columns(loss=pl.lit("x")), "holds String"),
    ],
)
def test_what_cannot_be_followed(rule, rows, words):
    with pytest.raises(AllocationError, match=words):
        follow(rule, rows, GROUPS)


def test_unimax_says_what_it_leaves_over():
    sizes = {"a": 100.0, "b": 1000.0}
    assert "unspent" not in phases("unimax=1", sizes, 1100)[0]
    assert phases("unimax=1", sizes, 5000)[0]["unspent"] == pytest.approx(3900)
    with pytest.raises(AllocationError, match="no group can be drawn from"):
        phases("unimax=0", sizes, 5000)


def test_the_export_follows_losses(tmp_path):
    problem, losses, out = (tmp_path / name for name in ("problem.json", "losses.csv", "out"))
    problem.write_text(json.dumps(three(50_000, **SUM)))
    TWO.with_columns(reference=1.0).write_csv(losses)
    call = ["allocate", str(problem), "--export", str(out)]

    def told(*more):
        return CliRunner().invoke(main, [*call, *more])

    assert told("--schedule", "doremi", "--losses", str(losses)).exit_code == 0
    schedule = json.loads((out / "schedule.json").read_text())
    assert max(schedule[0]["probabilities"], key=schedule[0]["probabilities"].get) == "B"
    assert told("--schedule", "group_dro=1", "--losses", str(losses)).exit_code == 0
    weights = pl.read_csv(out / "plan.csv")["loss_weight"]
    assert weights.mean() == pytest.approx(1)
    assert weights.arg_max() == 1
    for more, words in (
        (("--schedule", "odm"), "odm follows losses; name their table with --losses"),
        (("--losses", str(losses)), "--losses are followed by --schedule"),
        (("--schedule", "temperature=0.3"), "say alpha= (exponent of the size) or tau="),
        (("--schedule", "Temperature=0.3"), "is not known"),
    ):
        refused = told(*more)
        assert refused.exit_code == 2
        assert words in refused.stderr
