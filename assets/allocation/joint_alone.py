"""Fit every group of a joint problem by itself, and say how noisy its runs are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.allocation.group_curves import CurveError
from assets.allocation.joint_fit import Model, least_squares, starts
from assets.allocation.joint_shrinkage import Prior
from assets.allocation.roots import Floats

EXPONENT = Prior(float(np.log(0.35)), 0.45, 0.3)
WORTH = Prior(0.0, 1.5, 0.5)
DECAY = {"step": Prior(float(np.log(5)), 1.0, 0.5), "exp": Prior(float(np.log(15)), 1.0, 0.5)}
FEW = 4.0
_LEAST_SIGMA = 1e-7


def priors_of(model: Model, labels: list[str]) -> list[tuple[str, Prior]]:
    """Return for every free parameter the key of what groups share (empty: nothing) and its prior."""
    flat = Prior(0.0, np.inf, 1.0)
    decay = DECAY["exp" if model.kind == "exp" else "step"]
    out = [("", flat), ("", flat), ("p", EXPONENT)]
    out += [(f"worth|{labels[q]}", WORTH) for q in model.worths]
    return out + [(f"decay|{labels[q]}", decay) for q in model.decays]


def columns(priors: list[tuple[str, Prior]]) -> tuple[Floats, Floats]:
    """Return centre and precision of the priors, each (K,)."""
    return (
        np.array([prior.mean for _, prior in priors]),
        np.array([prior.sd**-2.0 for _, prior in priors]),
    )


def fit_alone(
    models: Mapping[str, Model], priors: Mapping[str, list[tuple[str, Prior]]]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Fit every group by itself; returns parameters (K,) and standard errors of the runs (R,)."""
    sigma = {n: np.where(m.runs.se > 0, m.runs.se, 0.01) for n, m in models.items()}
    found: dict[str, Floats] = {}
    for _ in range(30):
        left, freedom = {}, {}
        for name, model in models.items():
            centre, precision = columns(priors[name])
            start = starts(model, centre) if name not in found else found[name][None]
            size = start.shape[0]
            theta, value = least_squares(
                model,
                np.repeat(model.runs.score[None], size, axis=0),
                sigma[name],
                np.repeat(centre[None], size, axis=0),
                np.repeat(precision[None], size, axis=0),
                start,
            )
            found[name] = theta[int(np.argmin(value))]
            miss = model.runs.score - model.predict(found[name][None])[0][0]
            left[name] = miss
            freedom[name] = max(model.runs.score.size - model.size, 0)
        after = _sigma(models, left, freedom)
        settled = all(
            np.allclose(np.log(after[n]), np.log(sigma[n]), rtol=0, atol=0.02) for n in models
        )
        sigma = after
        if settled:
            break
    return found, sigma


def _sigma(
    models: Mapping[str, Model], left: Mapping[str, Floats], freedom: Mapping[str, int]
) -> dict[str, Floats]:
    unknown = [n for n, m in models.items() if not (m.runs.se > 0).any()]
    total = sum(freedom[n] for n in unknown)
    if unknown and not total:
        msg = (
            f"group {unknown[0]!r}, field se: as many runs as parameters and no standard error, so "
            "nothing tells how noisy a run is; train every run with 3 seeds, or give se"
        )
        raise CurveError(msg)
    pooled = sum(float((left[n] ** 2).sum()) for n in unknown) / max(total, 1)
    out = {}
    for name, model in models.items():
        squares = float((left[name] ** 2).sum())
        se = model.runs.se
        if name in unknown:
            size = np.sqrt((squares + FEW * pooled) / (freedom[name] + FEW))
            out[name] = np.full(se.size, max(float(size), _LEAST_SIGMA))
        else:
            known = np.maximum(np.where(se > 0, se, se[se > 0].mean()), _LEAST_SIGMA)
            chi = float(((left[name] / known) ** 2).sum())
            out[name] = known * max(1.0, np.sqrt(chi / max(freedom[name], 1)))
    return out
