"""Choose pools, shares and passes for a budget, with the uncertainty of that choice."""

from __future__ import annotations

from typing import Any

import numpy as np

from assets.filtering.baselines import verdict
from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.marginal import disagreement, marginal
from assets.filtering.predict import Setting, achieved, describe, interval, sample_plans
from assets.filtering.ranking import SHOWN, Ranking, free_shares, rank_plans, shares_are_ranked
from assets.filtering.schedule import schedules


def make_plan(ensemble: Ensemble, budget: float, setting: Setting | None = None) -> dict[str, Any]:
    """Compare all candidate plans at one budget.

    Parameters
    ----------
    ensemble
        Fitted laws.
    budget
        Samples, repeats included.
    setting
        See ``Setting``.

    Returns
    -------
    dict
        plans (best first; ties go to the plan with fewest repeats), baselines, marginal,
        laws_disagree, beats_baselines, free_shares, schedules, unspent. Errors are turned back into
        the metric; ``regret`` is in its units. Shares other than by size are among the plans only where the
        curves hold a trained mixture and the mixture rule has not failed its check.

    Raises
    ------
    PlanError
        A budget that is not positive, or more than ``max_passes`` passes over all data.
    """
    setting = setting or Setting()
    curves = ensemble.curves
    found = rank_plans(ensemble, budget, setting)
    plans, few, values, draws = found.plans, found.few, found.values, found.draws
    chosen, short, count = found.chosen, found.short, found.by_size_count
    free, free_predicted = _free(ensemble, found, budget, setting)
    measured = achieved(draws, ensemble, seed=setting.seed)
    low80 = interval(ensemble, measured, 0.8, values)
    low90 = interval(ensemble, measured, 0.9, values)
    rows = [
        describe(ensemble, few, i, budget)
        | {
            "predicted": float(curves.to_metric(values[i])),
            "interval80": low80[i].tolist(),
            "interval90": low90[i].tolist(),
            "p_best": float(found.p_best[i]),
            "regret": float(found.regret[i]),
            "tie": bool(found.tied[i]),
            "sampling": "by size" if short[i] < count else "free shares",
        }
        for i in range(len(short))
    ]
    by_name = {
        name: rows[short.index(at)]
        | {"p_plan_better": float(np.mean(draws[:, chosen] < draws[:, short.index(at)]))}
        for name, at in found.names.items()
    }
    listed = [chosen] + [int(i) for i in np.argsort(values, kind="stable") if i != chosen]
    best = int(np.argmin(values))
    return {
        "plans": [rows[i] for i in listed[:SHOWN]],
        "baselines": by_name,
        "beats_baselines": verdict(rows[chosen], by_name),
        "laws_disagree": disagreement(ensemble, plans, budget, setting),
        "marginal": marginal(ensemble, plans, short[chosen], budget, setting),
        "free_shares": _describe_free(
            ensemble,
            plans.take([short[chosen]]).with_shares(free),
            np.concatenate([values[chosen : chosen + 1], free_predicted]),
            budget,
            setting,
            ranked=shares_are_ranked(ensemble, setting),
        ),
        "schedules": schedules(ensemble, few, chosen, found.order, budget, setting),
        "unspent": float(budget - few.spend(budget)[chosen]),
        "tie_note": None
        if chosen == best
        else "the plan with the lowest prediction is not told apart from one "
        "that repeats less or samples by size; the latter is listed first",
    }


def _free(
    ensemble: Ensemble, found: Ranking, budget: float, setting: Setting
) -> tuple[Array, Array]:
    """Return free shares that beat the plans by size, and their predictions."""
    count = found.by_size_count
    if shares_are_ranked(ensemble, setting):
        return found.plans.weights[count:], found.predicted[count:]
    return free_shares(ensemble, found.plans, found.predicted, budget, setting)


def _describe_free(
    ensemble: Ensemble,
    plans: Candidates,
    predicted: Array,
    budget: float,
    setting: Setting,
    *,
    ranked: bool,
) -> list[dict[str, Any]]:
    """Describe plans of free shares beside the chosen plan, which is the first row of ``plans``."""
    draws = sample_plans(ensemble, plans, budget, setting)
    measured = achieved(draws, ensemble, seed=setting.seed)
    bands = {level: interval(ensemble, measured, level, predicted) for level in (0.8, 0.9)}
    note = (
        "ranked among the plans"
        if ranked
        else (
            "not ranked: the mixture rule that it rests on failed its check"
            if setting.mixture_error > 0.0
            else "not ranked: no trained mixture among the curves checks the rule that it rests on"
        )
    )
    return [
        describe(ensemble, plans, i, budget)
        | {
            "predicted": float(ensemble.curves.to_metric(predicted[i])),
            "interval80": bands[0.8][i].tolist(),
            "interval90": bands[0.9][i].tolist(),
            "error_change": float(predicted[i] - predicted[0]),
            "p_better_than_plan": float(np.mean(draws[:, i] < draws[:, 0])),
            "note": note,
        }
        for i in range(1, len(plans.members))
    ]
