"""State the fitted laws with their intervals, as `sluice laws --json` prints them."""

from __future__ import annotations

from typing import Any

import numpy as np

from assets.filtering.average import average
from assets.filtering.bootstrap import draw
from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.ensemble import Choice, Ensemble
from assets.filtering.fit import Fit
from assets.filtering.laws import LAWS
from assets.filtering.utility import Form


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
