"""Choose pools, shares and passes for a budget, with the uncertainty of that choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.filtering.average import Ensemble
from assets.filtering.baselines import baseline_rows, verdict
from assets.filtering.candidates import Candidates, PlanError, list_candidates
from assets.filtering.decay import Array
from assets.filtering.marginal import disagreement, marginal
from assets.filtering.predict import (
    Setting,
    achieved,
    caps_of,
    describe,
    interval,
    predict_plans,
    quality_order,
    sample_plans,
)
from assets.filtering.schedule import schedules
from assets.filtering.weights import search_shares

SHOWN = 20
MOST_REPEATS = 100.0


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
        curves hold a trained mixture.

    Raises
    ------
    PlanError
        A budget that is not positive, or more than ``max_passes`` passes over all data.
    """
    setting = setting or Setting()
    curves = ensemble.curves
    check_budget(budget, float(ensemble.available.sum()), setting)
    order = quality_order(ensemble)
    plans = list_candidates(
        ensemble.available, order, caps_of(ensemble, setting), nested_only=setting.nested_only
    )
    predicted = predict_plans(ensemble, plans, budget, setting)
    count = len(predicted)
    free, free_predicted = _free_shares(ensemble, plans, predicted, budget, setting)
    trusted = bool(curves.mixtures)
    if trusted:
        plans = plans.with_shares(free)
        predicted = np.concatenate([predicted, free_predicted])
    ranked = np.argsort(predicted, kind="stable")
    names = baseline_rows(ensemble, plans, order, predicted[:count])
    wanted = [*ranked[: SHOWN + 10].tolist(), *names.values()]
    short = list(dict.fromkeys(int(i) for i in wanted))
    few, values = plans.take(short), predicted[short]
    draws = sample_plans(ensemble, few, budget, setting)
    measured = achieved(draws, ensemble, seed=setting.seed)
    p_best = np.bincount(np.argmin(draws, axis=1), minlength=len(short)) / len(draws)
    regret = np.mean(draws - draws.min(axis=1, keepdims=True), axis=0)
    by_size = np.array([i < count for i in short])
    chosen, tied = _break_ties(ensemble, values, draws, few.repeats(budget), by_size)
    low80 = interval(ensemble, measured, 0.8, values)
    low90 = interval(ensemble, measured, 0.9, values)
    rows = [
        describe(ensemble, few, i, budget)
        | {
            "predicted": float(curves.to_metric(values[i])),
            "interval80": low80[i].tolist(),
            "interval90": low90[i].tolist(),
            "p_best": float(p_best[i]),
            "regret": float(regret[i]),
            "tie": bool(tied[i]),
            "sampling": "by size" if by_size[i] else "free shares",
        }
        for i in range(len(short))
    ]
    by_name = {
        name: rows[short.index(at)]
        | {"p_plan_better": float(np.mean(draws[:, chosen] < draws[:, short.index(at)]))}
        for name, at in names.items()
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
            ranked=trusted,
        ),
        "schedules": schedules(ensemble, few, chosen, order, budget, setting),
        "unspent": float(budget - few.spend(budget)[chosen]),
        "tie_note": None
        if chosen == best
        else "the plan with the lowest prediction is not told apart from one "
        "that repeats less or samples by size; the latter is listed first",
    }


def _free_shares(
    ensemble: Ensemble, plans: Candidates, predicted: Array, budget: float, setting: Setting
) -> tuple[Array, Array]:
    """Return shares that beat every plan by size, best first, and their predictions; maybe none.

    None where all data would be shown more than a hundred times: nothing is left to gain.

    Starts: the three best plans by size, and all data. One is kept for each set of pools, two at
    most.
    """
    pools = len(plans.unique)
    drowned = budget > MOST_REPEATS * float(plans.unique.sum())
    if pools < 2 or setting.nested_only or drowned:
        return np.empty((0, pools)), np.empty(0)
    ranked = np.argsort(predicted, kind="stable")
    starts = [plans.weights[i] for i in ranked[:3]] + [plans.unique / plans.unique.sum()]
    shares, values = search_shares(
        ensemble, plans, np.array(starts), budget, model_size=setting.model_size
    )
    keep: dict[bytes, int] = {}
    for i in np.argsort(values, kind="stable"):
        if values[i] < predicted.min() - 1e-9:
            keep.setdefault((shares[i] > 0).tobytes(), int(i))
    at = list(keep.values())[:2]
    return shares[at], values[at]


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
        else ("not ranked: no trained mixture among the curves checks the rule that it rests on")
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


def check_budget(budget: float, total: float, setting: Setting) -> None:
    """Refuse a budget that is not positive or that the cap on passes cannot use."""
    if not np.isfinite(budget) or budget <= 0:
        message = (
            f"budget {budget} is not a positive number of samples; give for example samples=1e6"
        )
        raise PlanError(message)
    if setting.max_passes is not None:
        if not setting.max_passes > 0:
            message = f"max_passes {setting.max_passes} must be positive"
            raise PlanError(message)
        if budget > setting.max_passes * total * (1 + 1e-12):
            message = (
                f"budget {budget:.6g} samples needs {budget / total:.3g} passes over all data, "
                f"but max_passes is "
                f"{setting.max_passes:g}: lower the budget to {setting.max_passes * total:.6g}, "
                f"raise max_passes, or "
                "add data"
            )
            raise PlanError(message)


def _break_ties(
    ensemble: Ensemble,
    predicted: Array,
    draws: Array,
    repeats: Array,
    by_size: npt.NDArray[np.bool_],
) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return the chosen plan and which plans tie with the best.

    A tie: the difference is below its own standard deviation over draws and below half the noise
    of a run.
    """
    best = int(np.argmin(predicted))
    spread = np.std(draws - draws[:, best : best + 1], axis=0)
    limit = np.minimum(spread, 0.5 * ensemble.sigma)
    tied = predicted - predicted[best] <= limit
    tied[best] = True
    # fewest repeats among the tied, then sampling by size, then the lowest prediction
    order = np.where(tied, np.maximum(repeats, 1.0), np.inf)
    return int(np.lexsort((predicted, ~by_size, np.round(order, 9)))[0]), tied
