"""Ask fitted laws for plans and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from assets.filtering.compute_budget import convert_budget
from assets.filtering.curves import Curves
from assets.filtering.ensemble import Choice, Ensemble
from assets.filtering.frontier import frontier, next_budget, switch_points
from assets.filtering.law_table import describe_laws
from assets.filtering.mixture_check import MixtureCheck
from assets.filtering.notices import Diagnosis
from assets.filtering.plan import make_plan
from assets.filtering.points import predict_points
from assets.filtering.predict import Setting
from assets.filtering.reach import diagnose_reach
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
