"""Further proxy runs are made where they can change a plan, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from assets.filtering.proxies.further import Further, widen
from assets.filtering.proxies.information import open_loss
from assets.filtering.proxies.options import Option, options
from assets.filtering.proxies.work import work_of
from assets.filtering.ranking import rank_plans
from tests.filtering.simulated_proxies import SETTINGS, fit, start, train, true_regret

BUDGETS = (1500.0, 4000.0, 9000.0, 20000.0)


def further(specs, maker, *, share=0.5, runs=12, target=0.002):
    base = sum(work_of(spec, maker.data, SETTINGS) for spec in specs)
    return Further(flops=share * base, runs=runs, target=target)


def ask(begun, *, limits=None, budgets=BUDGETS, trainer=train, study_fit=fit):
    maker, specs, rows = begun
    return widen(
        specs,
        rows,
        maker=maker,
        fit=study_fit,
        train=trainer,
        budgets=budgets,
        further=limits or further(specs, maker),
        max_passes=4.0,
    )


@pytest.fixture(scope="module")
def begun():
    return start(1)


@pytest.fixture(scope="module")
def widened(begun):
    return ask(begun, trainer=lambda specs: train(specs, study_seed=1))


def test_further_runs_stay_within_the_caps_and_are_logged(begun, widened):
    maker, specs, rows = begun
    found, told = widened
    made = found[len(rows) :]
    assert found[: len(rows)] == rows
    assert 0 < len(made) == told["runs"] <= 12
    assert {row["purpose"] for row in made} == {"widening"}
    assert len({row["run_id"] for row in found}) == len(found)
    assert 0 < told["flops"] <= further(specs, maker).flops
    chosen = [run for part in told["rounds"] for run in part["runs"]]
    assert sum(len(run["seeds"]) for run in chosen) == len(made)
    assert all(run["expected_gain"] > 0 for run in chosen)
    first, last = (sum(told["rounds"][i]["open_loss"].values()) for i in (0, -1))
    assert last < first
    few, short = ask(begun, limits=further(specs, maker, runs=2))
    assert len(few) - len(rows) <= 2
    assert "cap" in short["stopped"]


def test_nothing_is_added_where_nothing_is_open_asked_or_allowed(begun):
    """Mutants: always make one round; fit before the caps are looked at."""
    maker, specs, rows = begun

    def forbidden(_):
        raise AssertionError

    found, told = ask(begun, limits=further(specs, maker, target=0.5), trainer=forbidden)
    assert found == rows
    assert "target" in told["stopped"]
    assert told["runs"] == 0
    for limits, budgets, why in (
        (further(specs, maker, runs=0), BUDGETS, "cap"),
        (further(specs, maker, share=1e-6), BUDGETS, "cap"),
        (None, (), "no budget"),
    ):
        found, told = ask(
            begun, limits=limits, budgets=budgets, trainer=forbidden, study_fit=forbidden
        )
        assert found == rows
        assert why in told["stopped"]
    # a budget whose plan no run can change: hardly any data is bought, and the best pool is known
    found, told = ask(begun, budgets=(20.0,), limits=further(specs, maker, target=1e-9))
    assert len(found) - len(rows) <= 12


def test_a_killed_study_takes_the_same_way_and_repeats_no_finished_run(begun, widened):
    cache, trained = {}, []

    def resumable(stop_after):
        def trainer(specs):
            rows = []
            for spec in specs:
                if spec.run_id not in cache:
                    if len(trained) == stop_after:
                        raise KeyboardInterrupt
                    trained.append(spec.run_id)
                    cache[spec.run_id] = train([spec], study_seed=1)[0]
                rows.append(cache[spec.run_id])
            return rows

        return trainer

    with pytest.raises(KeyboardInterrupt):
        ask(begun, trainer=resumable(3))
    assert len(trained) == 3
    found, told = ask(begun, trainer=resumable(None))
    assert (found, told) == widened
    assert len(trained) == len(set(trained)) == told["runs"]


def test_options_are_possible_runs_each_once_and_never_a_held_out_mixture(begun):
    maker, specs, _ = begun
    found = options(maker, specs, [(0, 1), (0, 1, 2), (0, 7)])
    assert len(found) == len(set(found))
    assert {option.pools for option in found} == {(0,), (1,), (2,), (0, 1), (0, 1, 2)}
    assert Option((0,), (480,), 1) in found
    assert all(sum(option.sizes) >= 16 for option in found)
    kept_out = {(s.content_ids, s.samples) for s in specs if s.purpose == "validation"}
    made = [option.spec(maker, 5) for option in found]
    assert not kept_out & {(s.content_ids, s.samples) for s in made}
    held = set(maker.data.content_ids[maker.data.held_out].tolist())
    assert all(not held & set(s.content_ids) for s in made)
    for option, spec in zip(found, made, strict=True):
        assert spec.samples == option.samples
        assert spec.passes == option.passes
    assert options(maker, [s for s in specs if s.kind == "mixture"], []) == []


def by_turns(maker, specs, rows, work, seed):
    """Spend the work on the design again, with further seeds, in its own order."""
    more, again = [], 1
    design = [spec for spec in specs if spec.purpose == "design"]
    while True:
        for spec in design:
            size = len(spec.content_ids) // len(spec.pools)
            passes = round(spec.samples / len(spec.content_ids))
            run = Option(spec.pools, (size,) * len(spec.pools), passes).spec(maker, again)
            work -= work_of(run, maker.data, SETTINGS)
            if work < 0:
                return rows + train(more, study_seed=seed)
            more.append(run)
        again += 1


def losses(fitted):
    setting = replace(fitted.setting, max_passes=4.0)
    found = [rank_plans(fitted.ensemble, budget, setting) for budget in BUDGETS]
    return sum(open_loss(one.draws, one.chosen) for one in found)


@pytest.mark.slow
def test_chosen_runs_leave_less_open_than_the_design_again_at_equal_work():
    gap, regret = [], []
    for seed in range(40):
        maker, specs, rows = start(seed)
        found, told = ask(
            (maker, specs, rows), trainer=lambda s, seed=seed: train(s, study_seed=seed)
        )
        if not told["runs"]:
            continue
        chosen = fit(found)
        turns = fit(by_turns(maker, specs, rows, told["flops"], seed))
        gap.append(losses(turns) - losses(chosen))
        regret.append(true_regret(turns, BUDGETS) - true_regret(chosen, BUDGETS))
    assert np.mean(gap) > 2 * np.std(gap) / np.sqrt(len(gap))
    assert np.mean(regret) > -np.std(regret) / np.sqrt(len(regret))
