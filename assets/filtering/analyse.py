"""Answer `sluice laws`: fit, plan and predict from one table of curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from assets.filtering.average import Choice, Ensemble, average
from assets.filtering.bootstrap import Method
from assets.filtering.compute_budget import convert_budget
from assets.filtering.curves import Curves, read_curves
from assets.filtering.diagnostics import Diagnosis, diagnose, diagnose_reach
from assets.filtering.frontier import frontier, next_budget, switch_points
from assets.filtering.law_table import describe_laws
from assets.filtering.laws import LawError
from assets.filtering.mixture_check import MixtureCheck, check_mixtures, tell
from assets.filtering.plan import make_plan
from assets.filtering.points import predict_points
from assets.filtering.predict import Setting
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
    diagnosis
        What the curves can't say.
    setting
        How plans are made.
    mixture_check
        How the mixture rule did on mixtures that were kept out of the fit.
    asked
        Law, form, draws and seed that were asked for, and the values that were fixed.
    """

    curves: Curves
    ensemble: Ensemble
    diagnosis: Diagnosis
    setting: Setting
    mixture_check: MixtureCheck
    asked: Mapping[str, Any]

    @cached_property
    def laws(self) -> dict[str, Any]:
        """Return the parameters of the laws, as `sluice laws --json` prints them."""
        return describe_laws(self.ensemble, self.ensemble.curves, **self.asked)

    def predict(self, points: pl.DataFrame) -> list[dict[str, Any]]:
        """Return the points with predicted metric and intervals; see `analyse` for the columns."""
        told = replace(self.diagnosis, notices=[*self.diagnosis.notices])
        return predict_points(self.ensemble, points, self.setting, told)

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
            "mixture_check": self.mixture_check.describe(ensemble),
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
                    "size_kappa": m.fitted.problem.size_kappa,
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
        if self.mixture_check.verdict == "unchecked":
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
    check = check_mixtures(ensemble, setting)
    tell(check, ensemble, diagnosis)
    setting = replace(setting, mixture_error=check.error)
    asked = {"law": law, "form": form, "bootstraps": bootstraps, "seed": seed}
    fixed = {"floor": floor, "anchor": anchor}
    return Study(read, ensemble, diagnosis, setting, check, asked | fixed)


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
