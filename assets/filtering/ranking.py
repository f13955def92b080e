"""Rank the plans for one budget, with the chance that each is the best and what a wrong choice costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assets.filtering.baselines import baseline_rows
from assets.filtering.candidates import Candidates, PlanError, list_candidates
from assets.filtering.curve_checks import LEAST, MOST
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.predict import (
    Setting,
    caps_of,
    predict_plans,
    quality_order,
    sample_plans,
)
from assets.filtering.weights import search_shares

SHOWN = 20
MOST_REPEATS = 100.0


@dataclass(frozen=True)
class Ranking:
    """Hold the plans for one budget, and draws of those that could be chosen.

    Attributes
    ----------
    plans, by_size_count
        All plans; the first ``by_size_count`` sample in proportion to size.
    order
        Pools from best to worst.
    short, few, values, draws
        Rows of ``plans`` that are told apart; these plans; their predicted errors, shape (few,);
        draws of their true errors, shape (draws, few).
    p_best, regret
        Shape (few,): share of draws in which the plan is the best, and its mean excess error.
    chosen, tied
        The plan listed first, a position in ``few``; which plans tie with the best.
    names
        Rows of ``plans`` that the fixed rules choose.
    predicted
        Predicted errors of ``plans``.
    """

    plans: Candidates
    by_size_count: int
    order: npt.NDArray[np.int64]
    short: list[int]
    few: Candidates
    values: Array
    draws: Array
    p_best: Array
    regret: Array
    chosen: int
    tied: npt.NDArray[np.bool_]
    names: dict[str, int]
    predicted: Array


def rank_plans(ensemble: Ensemble, budget: float, setting: Setting) -> Ranking:
    """Predict all plans at one budget and draw the best 30 and the fixed rules; see ``make_plan``."""
    check_budget(budget, float(ensemble.available.sum()), setting)
    order = quality_order(ensemble)
    plans = list_candidates(
        ensemble.available, order, caps_of(ensemble, setting), nested_only=setting.nested_only
    )
    predicted = predict_plans(ensemble, plans, budget, setting)
    count = len(predicted)
    if shares_are_ranked(ensemble, setting):
        free, free_predicted = free_shares(ensemble, plans, predicted, budget, setting)
        plans = plans.with_shares(free)
        predicted = np.concatenate([predicted, free_predicted])
    ranked = np.argsort(predicted, kind="stable")
    names = baseline_rows(ensemble, plans, order, predicted[:count])
    wanted = [*ranked[: SHOWN + 10].tolist(), *names.values()]
    short = list(dict.fromkeys(int(i) for i in wanted))
    few, values = plans.take(short), predicted[short]
    draws = sample_plans(ensemble, few, budget, setting)
    by_size = np.array([i < count for i in short])
    chosen, tied = _break_ties(ensemble, values, draws, few.repeats(budget), by_size)
    return Ranking(
        plans=plans,
        by_size_count=count,
        order=order,
        short=short,
        few=few,
        values=values,
        draws=draws,
        p_best=np.bincount(np.argmin(draws, axis=1), minlength=len(short)) / len(draws),
        regret=np.mean(draws - draws.min(axis=1, keepdims=True), axis=0),
        chosen=chosen,
        tied=tied,
        names=names,
        predicted=predicted,
    )


def shares_are_ranked(ensemble: Ensemble, setting: Setting) -> bool:
    """Return whether a trained mixture supports shares other than by size, and no check failed."""
    return bool(ensemble.curves.mixtures) and setting.mixture_error == 0.0


def free_shares(
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


def check_budget(budget: float, total: float, setting: Setting) -> None:
    """Refuse a budget that is not positive or that the cap on passes cannot use."""
    if not LEAST <= budget <= MOST:
        message = (
            f"budget {budget} is not a positive number of samples ({LEAST:g} to {MOST:g}); "
            "give for example samples=1e6"
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

    A tie: the difference is below its own standard deviation over draws and below a quarter of the
    noise of a run, which no pair of runs would show.
    """
    best = int(np.argmin(predicted))
    spread = np.std(draws - draws[:, best : best + 1], axis=0)
    limit = np.minimum(spread, 0.25 * ensemble.sigma)
    tied = predicted - predicted[best] <= limit
    tied[best] = True
    # fewest repeats among the tied, then sampling by size, then the lowest prediction
    order = np.where(tied, np.maximum(repeats, 1.0), np.inf)
    return int(np.lexsort((predicted, ~by_size, np.round(order, 9)))[0]), tied
