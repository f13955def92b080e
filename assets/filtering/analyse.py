"""Answer `sluice laws`: fit, plan and predict from one table of curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from assets.filtering.average import Choice, Ensemble, average
from assets.filtering.bootstrap import Method, draw
from assets.filtering.compute_budget import convert_budget
from assets.filtering.curves import CurveError, Curves, parse_shares, read_curves
from assets.filtering.decay import Array
from assets.filtering.diagnostics import Diagnosis, diagnose, diagnose_reach, diagnose_sizes
from assets.filtering.fit import Fit
from assets.filtering.frontier import frontier, next_budget, switch_points
from assets.filtering.laws import LAWS, LawError
from assets.filtering.plan import make_plan
from assets.filtering.predict import Setting, achieved, interval, sample_points
from assets.filtering.utility import Form
from resources.compute import Compute

CHOICES: tuple[Choice, ...] = ("average", "utility", "saturation", "power", "data_constrained")


@dataclass(frozen=True)
class Study:
    """Laws fitted to one table of curves; plans and predictions are asked of it, as many as are wanted.

    Attributes
    ----------
    curves
        All evaluations that were read.
    ensemble
        The fitted laws with their draws.
    laws
        Their parameters, as `sluice laws --json` prints them.
    diagnosis
        What the curves can't say.
    setting
        How plans are made.
    asked
        Law, form, draws and seed that were asked for.
    """

    curves: Curves
    ensemble: Ensemble
    laws: Mapping[str, Any]
    diagnosis: Diagnosis
    setting: Setting
    asked: Mapping[str, Any]

    def answer(
        self,
        *,
        budget: float | Compute | None = None,
        predict: pl.DataFrame | None = None,
        max_passes: float | None = None,
    ) -> dict[str, Any]:
        """Plan for a budget and predict points; see `analyse` for what is returned.

        Raises
        ------
        BudgetError, CurveError, PlanError
            All are ValueErrors that name row or setting and remedy.
        """
        read, ensemble, usable = self.curves, self.ensemble, self.ensemble.curves
        diagnosis = replace(self.diagnosis, notices=[*self.diagnosis.notices])
        setting = replace(self.setting, max_passes=max_passes)
        result: dict[str, Any] = {
            "laws": self.laws,
            "plans": [],
            "switch_points": [],
            "predictions": [],
            "baselines": {},
        }
        if isinstance(budget, Compute):
            result["budget"], told = convert_budget(budget)
            diagnosis.notices.extend(told)
            budget = float(result["budget"]["samples"])
        low, high = float(usable.samples.min()), 10.0 * float(usable.samples.max())
        if budget is not None:
            result.update(self._plan(float(budget), setting, diagnosis))
            low, high = min(low, budget / 10.0), max(float(usable.samples.max()), 10.0 * budget)
            result["frontier"] = frontier(ensemble, np.geomspace(low, high, 25), setting)
        # a fair range for switches never needs more passes than the cap allows
        result["switch_points"] = switch_points(ensemble, low, high, setting)
        if predict is not None:
            result["predictions"] = predict_points(ensemble, predict, setting, diagnosis)
        result["warnings"] = [notice.as_dict() for notice in diagnosis.notices]
        result["provenance"] = {
            **self.asked,
            "metric": read.metric_name,
            "direction": read.direction,
            "evaluations": len(read),
            "fitted": len(usable),
            "runs": int(np.unique(read.run).size),
            "largest_samples": float(usable.samples.max()),
            "noise": ensemble.sigma,
            "drift": ensemble.drift,
            "interval_widening": diagnosis.inflate,
            "members": [
                {
                    "law": m.law,
                    "kappa": m.kappa,
                    "heights": m.heights,
                    "weight": m.weight,
                    "log_score": m.score,
                }
                for m in ensemble.members
            ],
        }
        return result

    def _plan(self, budget: float, setting: Setting, diagnosis: Diagnosis) -> dict[str, Any]:
        planned = make_plan(self.ensemble, budget, setting)
        passes = np.array([max(row["passes"]) for row in planned["plans"][:1]])
        diagnose_reach(self.ensemble.curves, np.array([budget]), passes, "the budget", diagnosis)
        if planned["laws_disagree"]["flag"]:
            diagnosis.add(
                "laws_disagree",
                "the laws choose different pools at this budget; a wrong choice costs up to "
                f"{planned['laws_disagree']['largest_regret']:.4g}",
                "train the two plans at the largest scale you can afford, and add the runs to "
                "the curves",
            )
        if not self.curves.mixtures and len(self.curves.pools) > 1:
            diagnosis.add(
                "mixture_unchecked",
                "no trained mixture among the curves: the mixture rule is an assumption here",
                "train one equal mixture of two pools, without repeats, and add it as pool 'a+b'",
            )
        best = planned["plans"][0]["pools"]
        return {**planned, "next_budget": next_budget(self.ensemble, budget, best, setting)}


def analyse(
    curves: pl.DataFrame,
    *,
    budget: float | Compute | None = None,
    predict: pl.DataFrame | None = None,
    max_passes: float | None = None,
    **settings: Any,  # noqa: ANN401 - see `study`
) -> dict[str, Any]:
    """Fit laws to curves, plan for a budget and predict points.

    Parameters
    ----------
    curves
        One row an evaluation; see ``read_curves`` for the columns.
    budget
        Samples to spend, repeats included, or a ``Compute``; None for no plan.
    predict
        Points: pool (and pool_unique) or ``pools`` joined by ``+`` with optional ``weights``, and
        samples_seen; optional model_size.
    max_passes
        Cap on passes.
    settings
        Of `study`.

    Returns
    -------
    dict
        laws, plans, switch_points, predictions, baselines, warnings, and more (frontier, marginal,
        next_budget, laws_disagree, provenance). Intervals are for what one further run would
        measure.

    Raises
    ------
    CurveError, LawError, PlanError
        All are ValueErrors that name row or setting and remedy.
    """
    return study(curves, **settings).answer(budget=budget, predict=predict, max_passes=max_passes)


def study(
    curves: pl.DataFrame,
    *,
    law: Choice = "average",
    form: Form = "paper",
    kappa: float | None = None,
    floor: float | None = None,
    anchor: float | None = None,
    model_size: float | None = None,
    pool_sizes: Mapping[str, float] | None = None,
    nested_only: bool = False,
    bootstraps: int = 200,
    bootstrap: Method = "auto",
    seed: int = 0,
) -> Study:
    """Fit laws to curves.

    Parameters
    ----------
    curves
        One row an evaluation; see ``read_curves`` for the columns.
    law
        ``average`` (utility and saturation, three mixture assumptions, weighted by held-out score)
        or one name.
    form
        ``paper`` or ``code`` form of the utility law.
    kappa
        Diversity exponent; None: averaged over 0, 0.5, 1 (``average``), or 1 as published (one
        law).
    floor, anchor
        Fix the shared floor or n0.
    model_size
        The size to plan for where curves hold several (default: the largest).
    pool_sizes
        Unique samples that each pool has, where curves come from runs on samples of the pools
        (proxy runs).
    nested_only
        Consider only top-k plans, as published.
    bootstraps, bootstrap, seed
        Draws for intervals, how they are made, and their seed.

    Raises
    ------
    CurveError, LawError
        Both are ValueErrors that name row or setting and remedy.
    """
    if law not in CHOICES:
        message = f"law {law!r} does not exist; choose one of {', '.join(CHOICES)}"
        raise LawError(message)
    read = read_curves(curves)
    diagnosis = diagnose(read)
    usable = read.take(diagnosis.keep)
    ensemble = average(
        usable,
        law=law,
        form=form,
        kappa=kappa,
        bootstraps=bootstraps,
        seed=seed,
        method=bootstrap,
        floor=floor,
        anchor=anchor,
        pool_sizes=pool_sizes,
    )
    _undetermined(ensemble, diagnosis)
    setting = Setting(
        inflate=diagnosis.inflate,
        pool_caps=tuple(sorted(diagnosis.caps.items())),
        nested_only=nested_only,
        seed=seed,
        model_size=model_size,
    )
    laws = describe_laws(
        ensemble,
        usable,
        law=law,
        form=form,
        seed=seed,
        bootstraps=bootstraps,
        floor=floor,
        anchor=anchor,
    )
    asked = {"law": law, "form": form, "bootstraps": bootstraps, "seed": seed}
    return Study(read, ensemble, laws, diagnosis, setting, asked)


def _undetermined(ensemble: Ensemble, diagnosis: Diagnosis) -> None:
    """Warn where the draws show that a parameter is open."""
    floors = np.concatenate([p.floor for p in ensemble.draws])
    low, high = np.quantile(floors, [0.1, 0.9])
    best = float(ensemble.curves.error.min())
    if best > 0 and high - low > 0.4 * best:
        diagnosis.add(
            "floor_undetermined",
            f"the irreducible error is open: 80 % interval {low:.4g} to {high:.4g} with "
            f"{best:.4g} the best so far",
            "add one long run without repeats on the largest pool",
        )
    member = ensemble.members[0]
    free = int(member.fitted.problem.free.sum())
    if len(ensemble.curves) <= free:
        diagnosis.add(
            "underdetermined",
            f"{len(ensemble.curves)} evaluations for {free} parameters: priors decide the rest",
            "add evaluations, at other sample counts and pool sizes",
        )


def describe_laws(
    ensemble: Ensemble,
    curves: Curves,
    *,
    law: Choice,
    form: Form,
    seed: int,
    bootstraps: int,
    floor: float | None = None,
    anchor: float | None = None,
) -> dict[str, Any]:
    """Return each law's parameters with 80 % intervals; ``average`` adds the baseline laws."""
    out: dict[str, Any] = {}
    names = list(dict.fromkeys(member.law for member in ensemble.members))
    for name in names:
        parts = [i for i, member in enumerate(ensemble.members) if member.law == name]
        # the shared anchor is the law as published; free heights are shown only where they alone
        # survived
        lead = min(
            parts,
            key=lambda i: (ensemble.members[i].heights != "shared", -ensemble.members[i].weight, i),
        )
        same = [i for i in parts if ensemble.members[i].fitted is ensemble.members[lead].fitted]
        draws = np.concatenate([_stack(ensemble, i) for i in same], axis=0)
        out[name] = _law_entry(ensemble.members[lead].fitted, draws)
        out[name]["log_score"] = max(ensemble.members[i].score for i in parts)
        out[name]["weight"] = float(sum(ensemble.members[i].weight for i in parts))
    if law == "average":
        for name in LAWS:
            if name in out:
                continue
            single = average(
                curves, law=name, form=form, bootstraps=1, seed=seed, floor=floor, anchor=anchor
            )
            fitted = single.members[0].fitted
            out[name] = _law_entry(fitted, draw(fitted, min(bootstraps, 100), seed=seed))
            out[name]["log_score"] = single.members[0].score
            out[name]["weight"] = 0.0
    return out


def _stack(ensemble: Ensemble, member: int) -> Array:
    p, problem = ensemble.draws[member], ensemble.members[member].fitted.problem
    theta = np.zeros((p.draws, problem.size))
    theta[:, 0], theta[:, 1] = p.floor, p.log_anchor
    theta[:, problem.columns("beta")] = np.log(-p.b)
    theta[:, problem.columns("tau")] = np.log(p.tau)
    return theta


def _law_entry(fitted: Fit, draws: Array) -> dict[str, Any]:
    problem = fitted.problem
    point = fitted.parameters(kappa=1.0)
    b, tau = -np.exp(draws[:, problem.columns("beta")]), np.exp(draws[:, problem.columns("tau")])
    pools = {}
    for i, name in enumerate(problem.curves.pools):
        entry: dict[str, Any] = {
            "b": float(point.b[0, i]),
            "tau": None if problem.law == "power" else float(point.tau[0, i]),
            "b_interval": np.quantile(b[:, i], [0.1, 0.9]).tolist(),
            "tau_interval": None
            if problem.law == "power"
            else np.quantile(tau[:, i], [0.1, 0.9]).tolist(),
            "unique": float(problem.curves.pool_sizes[i]),
        }
        if problem.heights == "free":
            entry["anchor"] = float(
                np.exp(point.log_anchor[0] - point.log_height[0, i] / point.b[0, i])
            )
        pools[name] = entry
    shared: dict[str, Any] = {
        "floor": float(point.floor[0]),
        "anchor": float(np.exp(point.log_anchor[0])) if problem.heights == "shared" else None,
        "floor_interval": np.quantile(draws[:, 0], [0.1, 0.9]).tolist(),
    }
    if point.size_height is not None and point.size_exponent is not None:
        shared["model_size"] = {
            "height": float(point.size_height[0]),
            "exponent": float(point.size_exponent[0]),
            "largest": point.largest_model,
        }
    return {
        "shared": shared,
        "pools": pools,
        "rmse": fitted.rmse,
        "form": problem.form,
        "heights": problem.heights,
        "size_kappa": problem.size_kappa,
    }


def predict_points(
    ensemble: Ensemble, points: pl.DataFrame, setting: Setting, diagnosis: Diagnosis
) -> list[dict[str, Any]]:
    """Return each point with its predicted metric and 80 and 90 % intervals, in the order given."""
    curves = ensemble.curves
    if "samples_seen" not in points.columns or not {"pool", "pools"} & set(points.columns):
        message = f"points: need samples_seen and pool or pools (have {', '.join(points.columns)})"
        raise CurveError(message)
    count = points.height
    weights, unique = np.zeros((count, len(curves.pools))), np.ones((count, len(curves.pools)))
    samples = np.empty(count)
    sizes: list[float | None] = []
    for i, row in enumerate(points.iter_rows(named=True)):
        samples[i] = _positive(row["samples_seen"], f"points, row {i}: samples_seen")
        name = row.get("pools") or row.get("pool")
        # a pool may itself be called 'a+b'
        members = (
            [name] if name in curves.pools else [part.strip() for part in str(name).split("+")]
        )
        unknown = [part for part in members if part not in curves.pools]
        if unknown:
            known = ", ".join(curves.pools)
            message = f"points, row {i}: pool {unknown[0]!r} has no curves; known pools: {known}"
            raise CurveError(message)
        at = np.array([curves.pools.index(part) for part in members])
        own = ensemble.available[at].copy()
        if row.get("pool_unique") is not None:
            total = _positive(row["pool_unique"], f"points, row {i}: pool_unique")
            # for a mixture pool_unique is the unique data of all its pools
            own = own * total / own.sum()
        shares = parse_shares(row.get("weights"), len(at), own, f"points, row {i}")
        np.add.at(weights[i], at, shares)
        unique[i, at] = own
        sizes.append(row.get("model_size", setting.model_size))
    out: list[dict[str, Any]] = []
    predicted = np.empty(count)
    intervals = np.empty((count, 4))
    for size in dict.fromkeys(sizes):
        rows = np.array([i for i in range(count) if sizes[i] == size])
        part = (samples[rows], weights[rows], unique[rows])
        predicted[rows] = ensemble.predict(*part, model_size=size)
        draws = sample_points(ensemble, *part, setting, model_size=size)
        measured = achieved(draws, ensemble, seed=setting.seed)
        intervals[rows, :2] = interval(ensemble, measured, 0.8, predicted[rows])
        intervals[rows, 2:] = interval(ensemble, measured, 0.9, predicted[rows])
    if count:
        passes = np.where(weights > 0, weights * samples[:, None] / unique, 0.0).max(axis=1)
        diagnose_reach(curves, samples, passes, "a point", diagnosis)
        diagnose_sizes(curves, weights, unique, passes, diagnosis)
    for i, row in enumerate(points.iter_rows(named=True)):
        lo80, hi80, lo90, hi90 = (float(x) for x in intervals[i])
        out.append(
            {k: v for k, v in row.items() if v is not None}
            | {
                "predicted": float(curves.to_metric(predicted[i])),
                "lo80": lo80,
                "hi80": hi80,
                "lo90": lo90,
                "hi90": hi90,
            }
        )
    return out


def _positive(value: object, where: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number is told below
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number) or number <= 0:
        message = f"{where} is {value!r}, which is not a positive number; correct it"
        raise CurveError(message)
    return number
