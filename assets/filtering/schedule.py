"""Lay a plan out in time: schedules that a trainer can follow.

The laws count what is seen and know no order, so a schedule's predicted metric is that of its
totals. What the order adds is not predicted: upsampling the best data at the end of training
(Blakeney et al. 2024, arXiv 2406.03476) and starting from flattened shares that cool to sizes
(Li et al. 2024, arXiv 2410.04579) helped in their experiments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.predict import Setting, predict_plans

FINAL_SHARE = 0.15
#: at most this multiple of the plan's share goes to the best pool in the final phase
UPSAMPLE = 3.0
#: the rest of the final phase is drawn as the plan does
MOST_OF_FINAL = 0.75
TEMPERATURES = (5.0, 4.0, 3.0, 2.0, 1.5, 1.0)
COOLING_PHASES = 4


def schedules(
    ensemble: Ensemble,
    plans: Candidates,
    row: int,
    order: npt.NDArray[np.int64],
    budget: float,
    setting: Setting,
) -> dict[str, Any]:
    """Return the plan as one phase, as two with the best pool upsampled at the end, and cooling.

    Parameters
    ----------
    ensemble, budget, setting
        As for the plan.
    plans, row
        The chosen plan.
    order
        Pools from best to worst.

    Returns
    -------
    dict
        constant, two_phase, cooldown: each with ``phases`` (see ``table``), ``predicted`` (of the
        totals) and ``note``.
    """
    weights = plans.weights[row]
    spent = float(plans.spend(budget)[row])
    final, early = _two_phases(weights, order)
    ends = np.array([1.0 - FINAL_SHARE, 1.0])
    heat, cooling = _cooling(plans, row, spent)
    stages = np.arange(1, len(cooling) + 1) / len(cooling)
    return {
        "constant": _describe(
            ensemble, plans, np.array([1.0]), weights[None, :], spent, setting, "the plan itself"
        ),
        "two_phase": _describe(
            ensemble,
            plans,
            ends,
            np.stack([early, final]),
            spent,
            setting,
            f"the last {FINAL_SHARE:.0%} draws more of the best pools; totals are those of the plan, "
            "and what the order adds is not predicted",
        ),
        "cooldown": _describe(
            ensemble,
            plans,
            stages,
            cooling,
            spent,
            setting,
            f"shares in proportion to size^(1/T), T falling from {heat:g} to 1"
            + ("" if heat > 1 else ": hotter would break the cap on passes")
            + ("; equal pools have equal shares at every T" if _equal(plans, row) else ""),
        ),
    }


def table(phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row a phase and pool: phase, start, end, pool, share, samples, passes, passes_after."""
    return [
        {
            "phase": phase["phase"],
            "start": phase["start"],
            "end": phase["end"],
            "pool": pool,
            "share": phase["weights"][i],
            "samples": phase["samples"][i],
            "passes": phase["passes"][i],
            "passes_after": phase["passes_after"][i],
        }
        for phase in phases
        for i, pool in enumerate(phase["pools"])
    ]


def _two_phases(weights: Array, order: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return the final and the earlier shares; together they draw what the plan draws."""
    final = np.zeros_like(weights)
    left = MOST_OF_FINAL if (weights > 0).sum() > 1 else 1.0
    rest = 1.0 - left
    for pool in order:
        # no pool can give the end more than it has in all
        most = min(UPSAMPLE * weights[pool], 0.8 * weights[pool] / FINAL_SHARE, left)
        final[pool] = most
        left -= most
    final += (left + rest) * weights
    early = np.maximum(weights - FINAL_SHARE * final, 0.0) / (1.0 - FINAL_SHARE)
    return final, early / early.sum()


def _cooling(plans: Candidates, row: int, spent: float) -> tuple[float, Array]:
    """Return the first temperature and the shares of each phase, none past its cap in all."""
    size = plans.members[row] * plans.unique
    caps = np.where(plans.members[row], plans.caps, np.inf)
    for heat in TEMPERATURES:
        steps = np.geomspace(heat, 1.0, COOLING_PHASES)
        shares = np.array([np.where(size > 0, size ** (1.0 / t), 0.0) for t in steps])
        shares /= shares.sum(axis=1, keepdims=True)
        total = shares.mean(axis=0) * spent
        if (total <= caps * np.maximum(size, 1e-300) * (1 + 1e-9)).all():
            break
    return heat, shares


def _equal(plans: Candidates, row: int) -> bool:
    sizes = plans.unique[plans.members[row]]
    return bool(np.allclose(sizes, sizes[0]))


def _describe(
    ensemble: Ensemble,
    plans: Candidates,
    ends: Array,
    shares: Array,
    spent: float,
    setting: Setting,
    note: str,
) -> dict[str, Any]:
    members = np.flatnonzero(shares.sum(axis=0) > 0)
    names = [ensemble.curves.pools[i] for i in members]
    lengths = np.diff(np.concatenate([[0.0], ends]))
    samples = lengths[:, None] * shares * spent
    passes = samples / plans.unique
    after = np.cumsum(passes, axis=0)
    total = (samples.sum(axis=0) / spent)[None, :]
    whole = Candidates(total > 0, plans.unique, np.full_like(plans.unique, np.inf), total)
    predicted = float(predict_plans(ensemble, whole, spent, setting)[0])
    phases = [
        {
            "phase": i + 1,
            "start": float((ends[i] - lengths[i]) * spent),
            "end": float(ends[i] * spent),
            "pools": names,
            "weights": shares[i, members].tolist(),
            "samples": samples[i, members].tolist(),
            "passes": passes[i, members].tolist(),
            "passes_after": after[i, members].tolist(),
        }
        for i in range(len(ends))
    ]
    return {
        "phases": phases,
        "predicted": float(ensemble.curves.to_metric(np.array(predicted))),
        "note": note,
    }
