"""Parameters of a joint problem from proxy runs: a, b, p of groups, worth and decay of pools, with draws.

What the problem leaves out is fitted. Groups are fitted alone first; then ln p, and per pool ln worth
and ln decay, are shrunk towards the mean over groups (a random effect), and draws are refits to perturbed
runs around perturbed shared values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.curve_fit import normals
from assets.allocation.joint_alone import FEW, columns, fit_alone, priors_of
from assets.allocation.joint_fit import Model, least_squares, spread
from assets.allocation.joint_identified import check_identified
from assets.allocation.joint_problem import JointGroup, JointProblem, pool_labels
from assets.allocation.joint_runs import JointRuns, read_joint_runs
from assets.allocation.joint_shrinkage import Prior, Shared, shared_effect, without_prior
from assets.allocation.roots import Floats


@dataclass(frozen=True)
class Fitted:
    """One group's fit: central values and draws.

    `curve` shape (1 + draws, 3) holds a, b, p; `worth` and `decay` shape (1 + draws, Q); the first row is
    the fit to the runs as they are. `alone` holds what the group's runs give without the others, as (curve, worth,
    decay) of one row each.
    """

    model: Model
    curve: Floats
    worth: Floats
    decay: Floats
    alone: tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class JointFit:
    """Fits of the groups whose curve the problem leaves out, by name; the runs' misfit in mixtures."""

    groups: dict[str, Fitted]
    labels: dict[str, list[str]]

    def problem(self, read: JointProblem, number: int) -> JointProblem:
        """Return the problem with the values of row `number`: 0 the fit, 1 and on the draws."""
        groups = []
        for group in read.groups:
            fit = self.groups.get(group.name)
            if fit is None:
                groups.append(group)
                continue
            a, b, p = fit.curve[number].tolist()
            decay = "r_star" if fit.model.kind == "exp" else "tau"
            cells = [
                c.model_copy(
                    update={
                        "worth": float(fit.worth[number, q]),
                        decay: float(fit.decay[number, q]),
                    }
                )
                for q, c in enumerate(group.cells)
            ]
            update = {"a": a, "b": max(b, 1e-12), "p": p, "cells": cells}
            groups.append(group.model_copy(update=update))
        return read.model_copy(update={"groups": groups})

    def table(self) -> list[dict[str, Any]]:
        """Return a row a fitted parameter: group, pool, parameter, value, lo80, hi80, alone, runs."""
        out = []
        for name, fit in self.groups.items():
            model, labels = fit.model, self.labels[name]
            decay = "r_star" if model.kind == "exp" else "tau"
            every = model.runs.score.size
            drawn, repeated = (model.runs.samples > 0).sum(axis=0), ~model.runs.once
            told = repeated.sum(axis=0)
            out += [
                _row((name, None, what), fit.curve[:, k], fit.alone[0][0, k], every)
                for k, what in enumerate(("a", "b", "p"))
            ]
            out += [
                _row((name, labels[q], "worth"), fit.worth[:, q], fit.alone[1][0, q], int(drawn[q]))
                for q in model.worths
            ]
            out += [
                _row((name, labels[q], decay), fit.decay[:, q], fit.alone[2][0, q], int(told[q]))
                for q in model.decays
            ]
        return out


def _row(
    of: tuple[str, str | None, str], values: Floats, alone: float, runs: int
) -> dict[str, Any]:
    lo, hi = np.quantile(values[1:], [0.1, 0.9])
    return {
        **dict(zip(("group", "pool", "parameter"), of, strict=True)),
        "value": float(values[0]),
        "lo80": float(lo),
        "hi80": float(hi),
        "alone": float(alone) if runs else None,
        "runs": runs,
    }


def fit_joint(
    problem: JointProblem,
    unset: Mapping[str, tuple[list[int], list[int]]],
    evaluations: pl.DataFrame,
    *,
    draws: int = 200,
    seed: int = 0,
) -> JointFit:
    """Fit what a joint problem leaves out.

    Parameters
    ----------
    problem
        Effective form; values that are left out hold anything.
    unset
        By group whose a, b and p are left out: positions of the pools without worth (never all), and
        of those without tau or r_star that may be repeated.
    evaluations
        See `read_joint_runs`.
    draws
        Number of refits.
    seed
        Of the draws, which do not depend on the order of rows.

    Returns
    -------
    JointFit
        Values, draws, and the table of parameters.

    Raises
    ------
    CurveError
        A row can't be used, or no run tells a parameter; with row or pool, group, field and remedy.

    Notes
    -----
    Performance is read as 1 - metric where lower is better. Where `se` is unknown it comes from the
    residuals of the group, steadied by four degrees of freedom of all groups'. Cost O(draws * runs) a
    group: 3 groups of 2 pools and 200 draws take about a second.
    """
    by_name = {g.name: g for g in problem.groups}
    labels = {name: pool_labels(by_name[name]) for name in unset}
    runs = read_joint_runs(evaluations, labels)
    models = {name: _model(problem, by_name[name], runs[name], *unset[name]) for name in unset}
    check_identified(models, by_name, labels)
    priors = {name: priors_of(model, labels[name]) for name, model in models.items()}
    alone, sigma = fit_alone(models, priors)
    effects = _effects(models, priors, alone, sigma)
    groups = {}
    for name, model in models.items():
        keyed = [effects[key] if key else None for key, _ in priors[name]]
        theta = _with_draws(
            model, keyed, alone[name], sigma[name], draws, (seed, name, priors[name])
        )
        curve = np.stack(model.curve(theta), axis=1)
        single = alone[name][None]
        groups[name] = Fitted(
            model,
            curve,
            *model.cells(theta),
            (np.stack(model.curve(single), axis=1), *model.cells(single)),
        )
    return JointFit(groups, labels)


def _model(
    problem: JointProblem, group: JointGroup, runs: JointRuns, worths: list[int], decays: list[int]
) -> Model:
    exp = problem.repetition == "exp"
    decay = [(c.r_star if exp else c.tau) or 1.0 for c in group.cells]
    worth = [c.worth for c in group.cells]
    return Model(runs, problem.repetition, np.array(worth), np.array(decay), worths, decays)


def _effects(
    models: Mapping[str, Model],
    priors: Mapping[str, list[tuple[str, Prior]]],
    alone: Mapping[str, Floats],
    sigma: Mapping[str, Floats],
) -> dict[str, Shared]:
    seen: dict[str, list[tuple[float, float]]] = {}
    prior_of: dict[str, Prior] = {}
    for name, model in models.items():
        variance = spread(model, alone[name], sigma[name], columns(priors[name])[1])
        for k, (key, prior) in enumerate(priors[name]):
            if not key:
                continue
            prior_of[key] = prior
            told = without_prior(float(alone[name][k]), float(variance[k]), prior)
            seen.setdefault(key, []).extend([] if told is None else [told])
    return {
        key: shared_effect(
            np.array([v for v, _ in told]), np.array([s for _, s in told]), prior_of[key]
        )
        for key, told in seen.items()
    }


def _with_draws(
    model: Model,
    effects: list[Shared | None],
    start: Floats,
    sigma: Floats,
    draws: int,
    whose: tuple[int, str, list[tuple[str, Prior]]],
) -> Floats:
    """Return parameters (1 + draws, K): the shrunk fit, and refits to perturbed runs and priors."""
    seed, name, priors = whose
    rows = 1 + draws
    centre, precision = np.zeros((rows, model.size)), np.zeros((rows, model.size))
    for k, effect in enumerate(effects):
        if effect is None:
            continue
        key = priors[k][0]
        mean, deviation = effect.drawn(f"{seed}|{key}", draws)
        own = normals(f"{seed}|{name}|{key}", draws)
        centre[:, k] = np.concatenate([[effect.centre], mean + deviation * own])
        precision[:, k] = np.concatenate([[effect.precision], deviation**-2.0])
    noise = np.stack([normals(f"{seed}|{name}|run {r}", draws) for r in range(sigma.size)], axis=1)
    score = np.repeat(model.runs.score[None], rows, axis=0)
    score[1:] += noise * sigma * _noisier(model, f"{seed}|{name}|sigma", draws)[:, None]
    first = np.repeat(start[None], rows, axis=0)
    return least_squares(model, score, sigma, centre, precision, first)[0]


def _noisier(model: Model, key: str, draws: int) -> Floats:
    """Return by draw the factor by which runs may be noisier than estimated, from their residuals.

    The root of n over a chi-square of n degrees of freedom, by the approximation of Wilson and Hilferty;
    1 where the runs state their errors.
    """
    if (model.runs.se > 0).any():
        return np.ones(draws)
    part = 2.0 / (9.0 * (max(model.runs.score.size - model.size, 0) + FEW))
    return np.asarray(np.maximum(1.0 - part + np.sqrt(part) * normals(key, draws), 0.2) ** -1.5)
