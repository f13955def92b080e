"""Answer `sluice laws`: fit, plan and predict from one table of curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from assets.filtering.average import average
from assets.filtering.bootstrap import Method
from assets.filtering.curves import read_curves
from assets.filtering.diagnostics import diagnose
from assets.filtering.ensemble import Choice, Ensemble
from assets.filtering.laws import LawError
from assets.filtering.mixture_check import check_mixtures, tell
from assets.filtering.notices import Diagnosis
from assets.filtering.predict import Setting
from assets.filtering.study import Study
from assets.filtering.utility import Form
from resources.compute import Compute

CHOICES: tuple[Choice, ...] = ("average", "utility", "saturation", "power", "data_constrained")


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
