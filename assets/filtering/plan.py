"""Choose pools and passes for a budget, with the uncertainty of that choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.filtering.average import Ensemble
from assets.filtering.candidates import Candidates, PlanError, list_candidates
from assets.filtering.decay import Array
from assets.filtering.laws import mixture_error

SHOWN = 20


@dataclass(frozen=True)
class Setting:
    """Hold what a plan is made under: widening, caps, seed, nested only, model size."""

    inflate: float = 1.0
    max_passes: float | None = None
    pool_caps: tuple[tuple[str, float], ...] = ()
    nested_only: bool = False
    seed: int = 0
    model_size: float | None = None


def quality_order(ensemble: Ensemble) -> npt.NDArray[np.int64]:
    """Return pools from best to worst by predicted error of equally many fresh samples.

    Fresh: at the size of the smallest pool or the middle of the data, whichever is less, so no
    repetition enters. With a shared anchor it is the order of the exponents.
    """
    curves = ensemble.curves
    pools = len(curves.pools)
    count = float(np.median(curves.samples))
    errors = ensemble.predict(
        np.full(pools, count),
        np.eye(pools),
        np.full((pools, pools), max(count, curves.pool_sizes.max())),
    )
    # equal errors: by exponent, then by content (size), never by name
    return np.asarray(np.lexsort((-curves.pool_sizes, errors)), dtype=np.int64)


def predict_plans(ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting) -> Array:
    """Return predicted errors, shape (plans,). Cost: O(members x plans x pools x passes)."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    return ensemble.predict(
        plans.spend(budget), plans.weights, unique, model_size=setting.model_size
    )


def predict_grid(
    ensemble: Ensemble, plans: Candidates, budgets: Array, setting: Setting, *, chunk: int = 8192
) -> Array:
    """Return predicted errors, shape (budgets, plans), in chunks that stay in the cache."""
    count = len(plans.members)
    spend = np.stack([plans.spend(float(budget)) for budget in budgets]).ravel()
    rows = np.tile(np.arange(count), len(budgets))
    out = np.empty(len(rows))
    # neighbours in budget go together, because the cost of a chunk is set by its largest number of
    # passes
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        out[start : start + chunk] = ensemble.predict(
            spend[start : start + chunk],
            plans.weights[part],
            np.broadcast_to(plans.unique, (len(part), len(plans.unique))),
            model_size=setting.model_size,
        )
    return out.reshape(len(budgets), count)


def sample_plans(ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting) -> Array:
    """Return draws of the true error of all plans, shape (draws, plans)."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    return ensemble.sample(
        plans.spend(budget),
        plans.weights,
        unique,
        model_size=setting.model_size,
        inflate=setting.inflate,
        seed=setting.seed,
    )


def achieved(draws: Array, ensemble: Ensemble, *, seed: int) -> Array:
    """Return draws of what a run would measure: the true error plus the noise of one evaluation."""
    noise = np.random.Generator(np.random.PCG64([seed, 23])).standard_normal((len(draws), 1))
    return np.asarray(draws + ensemble.sigma * noise)


def interval(
    ensemble: Ensemble, draws: Array, level: float, predicted: Array | None = None
) -> Array:
    """Return central intervals of the metric, shape (plans, 2), reaching ``predicted``."""
    tail = 0.5 * (1.0 - level)
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    if predicted is not None:
        # the best fit can lie outside of the draws where priors pull them: reach it
        low, high = np.minimum(low, predicted), np.maximum(high, predicted)
    metric = np.stack([ensemble.curves.to_metric(low), ensemble.curves.to_metric(high)], axis=1)
    return np.asarray(np.sort(metric, axis=1))


def caps_of(ensemble: Ensemble, setting: Setting) -> Array:
    """Return the most passes of each pool, inf without a cap."""
    own = dict(setting.pool_caps)
    most = np.inf if setting.max_passes is None else setting.max_passes
    return np.array([min(most, own.get(name, np.inf)) for name in ensemble.curves.pools])


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
        laws_disagree, beats_baselines, unspent. Errors are turned back into the metric; ``regret``
        is in its units.

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
    ranked = np.argsort(predicted, kind="stable")
    names = baseline_rows(ensemble, plans, order, predicted)
    short = list(dict.fromkeys([int(i) for i in ranked[: SHOWN + 10]] + list(names.values())))
    few = plans.take(short)
    draws = sample_plans(ensemble, few, budget, setting)
    measured = achieved(draws, ensemble, seed=setting.seed)
    winner = np.argmin(draws, axis=1)
    p_best = np.bincount(winner, minlength=len(short)) / len(draws)
    regret = np.mean(draws - draws.min(axis=1, keepdims=True), axis=0)
    best = 0
    chosen, tied = _break_ties(ensemble, predicted[short], draws, few.passes(budget))
    low80 = interval(ensemble, measured, 0.8, predicted[short])
    low90 = interval(ensemble, measured, 0.9, predicted[short])
    rows = [
        describe(ensemble, few, i, budget)
        | {
            "predicted": float(curves.to_metric(predicted[short[i]])),
            "interval80": low80[i].tolist(),
            "interval90": low90[i].tolist(),
            "p_best": float(p_best[i]),
            "regret": float(regret[i]),
            "tie": bool(tied[i]),
        }
        for i in range(len(short))
    ]
    by_name = {
        name: rows[short.index(at)]
        | {"p_plan_better": float(np.mean(draws[:, chosen] < draws[:, short.index(at)]))}
        for name, at in names.items()
    }
    listed = [chosen] + [i for i in np.argsort(predicted[short], kind="stable") if i != chosen]
    return {
        "plans": [rows[int(i)] for i in listed[:SHOWN]],
        "baselines": by_name,
        "beats_baselines": _verdict(rows[chosen], by_name),
        "laws_disagree": disagreement(ensemble, plans, budget, setting),
        "marginal": marginal(ensemble, plans, short[chosen], budget, setting),
        "unspent": float(budget - few.spend(budget)[chosen]),
        "tie_note": None
        if chosen == best
        else "the plan with the lowest prediction is not told apart from one "
        "that repeats less; the latter is listed first",
    }


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


def describe(ensemble: Ensemble, plans: Candidates, row: int, budget: float) -> dict[str, Any]:
    """Return one plan's pools, shares, passes and spent samples as plain values."""
    members = np.flatnonzero(plans.members[row])
    weights, passes = plans.weights[row], plans.passes(budget)[row]
    return {
        "pools": [ensemble.curves.pools[i] for i in members],
        "weights": [float(weights[i]) for i in members],
        "passes": [float(passes)] * len(members),
        "samples": float(plans.spend(budget)[row]),
    }


def _break_ties(
    ensemble: Ensemble, predicted: Array, draws: Array, passes: Array
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
    # fewest repeats among the tied; among equals the lowest prediction
    repeats = np.where(tied, np.maximum(passes, 1.0), np.inf)
    return int(np.lexsort((predicted, repeats))[0]), tied


def baseline_rows(
    ensemble: Ensemble, plans: Candidates, order: npt.NDArray[np.int64], predicted: Array
) -> dict[str, int]:
    """Return the plan of each fixed rule.

    all_data; rs2 (a new random subset of everything each pass: equal to all data in what the laws
    see); best_single_pool; fixed_top_30_percent (best pools that hold at least 30 % of the data);
    single_scale_ranking (the pool that measured best at one common small scale).
    """
    pools = len(order)
    rows: dict[str, int] = {}

    def find(members: list[int]) -> int:
        row = np.zeros(pools, dtype=bool)
        row[members] = True
        at = plans.find(row)
        return int(np.argmin(predicted)) if at is None else at

    rows["all_data"] = find(list(range(pools)))
    rows["rs2"] = rows["all_data"]
    single = [find([p]) for p in range(pools)]
    rows["best_single_pool"] = min(single, key=lambda at: float(predicted[at]))
    share = np.cumsum(plans.unique[order]) / plans.unique.sum()
    rows["fixed_top_30_percent"] = find(
        [int(p) for p in order[: int(np.argmax(share >= 0.3 - 1e-12)) + 1]]
    )
    rows["single_scale_ranking"] = find([single_scale_best(ensemble)])
    return rows


def single_scale_best(ensemble: Ensemble) -> int:
    """Return the pool with the lowest measured error at the scale that most pools share."""
    curves = ensemble.curves
    budgets = np.unique(curves.samples)
    present = [np.unique(curves.pool[curves.samples == n]).size for n in budgets]
    most = max(present)
    # several scales with equally many pools: the smallest that is not the very first, where noise
    # rules
    shared = [n for n, k in zip(budgets, present, strict=True) if k == most]
    scale = shared[min(len(shared) // 3, len(shared) - 1)]
    at = curves.samples == scale
    means = {
        int(p): float(np.mean(curves.error[at & (curves.pool == p)]))
        for p in np.unique(curves.pool[at])
    }
    return min(means, key=lambda p: means[p])


def _verdict(plan: dict[str, Any], baselines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    better, same, unsure = [], [], []
    for name, row in baselines.items():
        if row["pools"] == plan["pools"]:
            same.append(name)
        elif row["p_plan_better"] >= 0.8:
            better.append(name)
        else:
            unsure.append(name)
    text = f"better than {', '.join(better)} with probability 0.8 or more" if better else ""
    if same:
        text += ("; " if text else "") + f"the plan is the same as {', '.join(same)}"
    if unsure:
        text += ("; " if text else "") + f"not shown to beat {', '.join(unsure)}"
    return {"better_than": better, "same_as": same, "not_shown_to_beat": unsure, "message": text}


def disagreement(
    ensemble: Ensemble, plans: Candidates, budget: float, setting: Setting
) -> dict[str, Any]:
    """Return each law's own choice and its cost under the others; ``flag`` where they differ."""
    unique = np.broadcast_to(plans.unique, plans.members.shape)
    values: dict[str, Array] = {}
    for member, point in zip(ensemble.members, ensemble.points, strict=True):
        error = mixture_error(
            point, plans.spend(budget), plans.weights, unique, model_size=setting.model_size
        )[0]
        name = f"{member.law}, kappa {member.kappa:g}, {member.heights} heights"
        values[name] = error
    choices, cost = {}, 0.0
    best = {name: int(np.argmin(error)) for name, error in values.items()}
    for name, at in best.items():
        choices[name] = describe(ensemble, plans, at, budget)["pools"]
        cost = max([cost, *(float(error[at] - error.min()) for error in values.values())])
    return {
        "flag": len({tuple(pools) for pools in choices.values()}) > 1,
        "choices": choices,
        "largest_regret": cost,
    }


def marginal(
    ensemble: Ensemble, plans: Candidates, chosen: int, budget: float, setting: Setting
) -> dict[str, Any]:
    """Return what one more pool, one more unit of unique data and of compute would change.

    ``next_pool``: change of the metric by adding the best further pool now, and the budget at which
    adding it starts to pay. ``unique_data``: d error / d ln U of each drawn pool. ``compute``: d
    error / d ln budget.
    """
    curves = ensemble.curves
    members = plans.members[chosen]
    out: dict[str, Any] = {}

    def error_of(rows: Candidates, at: float) -> Array:
        return predict_plans(ensemble, rows, at, setting)

    base = float(error_of(plans.take([chosen]), budget)[0])
    others = np.flatnonzero(~members)
    if others.size:
        extended = np.repeat(members[None, :], len(others), axis=0)
        extended[np.arange(len(others)), others] = True
        grown = Candidates(extended, plans.unique, plans.caps)
        gains = error_of(grown, budget)
        pick = int(np.argmin(gains))
        pays = _pays_from(ensemble, plans.take([chosen]), grown.take([pick]), budget, setting)
        out["next_pool"] = {
            "pool": curves.pools[int(others[pick])],
            "error_change": float(gains[pick] - base),
            "pays_from_samples": pays,
        }
    slopes = {}
    for pool in np.flatnonzero(members):
        more = plans.unique.copy()
        more[pool] *= 1.01
        value = float(error_of(Candidates(members[None, :], more, plans.caps), budget)[0])
        slopes[curves.pools[int(pool)]] = (value - base) / float(np.log(1.01))
    out["unique_data"] = slopes
    value = float(error_of(plans.take([chosen]), budget * 1.01)[0])
    out["compute"] = (value - base) / float(np.log(1.01))
    return out


def _pays_from(
    ensemble: Ensemble, now: Candidates, more: Candidates, budget: float, setting: Setting
) -> float | None:
    """Return the least budget, up to 100 times this one, at which ``more`` wins."""
    grid = budget * np.geomspace(1.0, 100.0, 33)
    for step in range(4):
        wins = predict_grid(ensemble, more, grid, setting) < predict_grid(
            ensemble, now, grid, setting
        )
        first = int(np.argmax(wins[:, 0]))
        if not wins.any():
            return None
        if first == 0 and step == 0:
            return float(budget)
        # the change lies in one step of the grid: look there again, 32 times finer
        low, high = float(grid[max(first - 1, 0)]), float(grid[first])
        grid = np.geomspace(low, high, 33)
    return float(high)
