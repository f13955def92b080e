"""Sampling schedules and online weights that go through the same output as a plan.

Static rules (`alpha=`, `tau=`, `cooldown=`, `unimax=`) give phases: a start as a share of the run
and a probability per group. Online rules change with what training measures; each is a pure step
from old weights and the groups' losses to new ones, so a trainer keeps the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assets.allocation.baselines import shares, unimax
from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats

_KNOWN = "alpha=0.3, tau=3.3, cooldown=5:1:0.5 (tau at first, tau then, share of the run), unimax=4"


def phases(rule: str, sizes: Mapping[str, float], budget: float) -> list[dict[str, Any]]:
    """Return the phases of a rule: `start` (share of the run) and `probabilities` per group.

    Where UniMax meets its cap in every group, `unspent` says how much of the budget is left over.

    Parameters
    ----------
    rule
        `alpha=x`, `tau=x`, `cooldown=x:y:z` or `unimax=epochs`. The bare word "temperature" is
        refused, because it means alpha to some and tau to others.
    sizes
        Unique records per group.
    budget
        Samples in all, which UniMax divides.

    Notes
    -----
    Cooldown: Li, Xu, Tan, Murray and Khashabi, NAACL 2025 (the values are the user's). UniMax:
    Chung et al. 2023.
    """
    name, _, value = rule.partition("=")
    unspent = 0.0
    if name in ("temperature", "temp", "t"):
        msg = f"schedule {rule!r}: say alpha= (exponent of the size) or tau= (its inverse)"
        raise AllocationError(msg)
    counts = np.array(list(sizes.values()), float)
    numbers = _numbers(rule, value)
    if name == "alpha" and len(numbers) == 1:
        steps = [(0.0, shares(counts, alpha=numbers[0]))]
    elif name == "tau" and len(numbers) == 1:
        steps = [(0.0, shares(counts, tau=numbers[0]))]
    elif name == "cooldown" and len(numbers) == 3 and 0 < numbers[2] < 1:
        first, then, at = numbers
        steps = [(0.0, shares(counts, tau=first)), (at, shares(counts, tau=then))]
    elif name == "unimax" and len(numbers) == 1:
        drawn, unspent = unimax(counts, budget, max_epochs=numbers[0])
        if not drawn.sum() > 0:
            msg = f"schedule {rule!r}: no group can be drawn from; give more epochs or a budget"
            raise AllocationError(msg)
        steps = [(0.0, drawn / drawn.sum())]
    else:
        msg = f"schedule {rule!r} is not known; use {_KNOWN}"
        raise AllocationError(msg)
    more = {"unspent": unspent} if unspent > 0 else {}
    return [
        {"start": start, "probabilities": dict(zip(sizes, p.tolist(), strict=True)), **more}
        for start, p in steps
    ]


def _numbers(rule: str, value: str) -> list[float]:
    try:
        numbers = [float(v) for v in value.split(":")]
    except ValueError:
        numbers = []
    if not numbers or not all(np.isfinite(v) and v >= 0 for v in numbers):
        msg = f"schedule {rule!r} is not known; use {_KNOWN}"
        raise AllocationError(msg)
    return numbers


def doremi_step(
    weights: Floats, loss: Floats, reference: Floats, *, eta: float = 1.0, smoothing: float = 1e-3
) -> Floats:
    """Return the group weights after one step of DoReMi (Xie et al. 2023, algorithm 1).

    log w rises by `eta` times the excess loss over a reference model, clipped at 0; a share
    `smoothing` stays uniform. The weights to train with are the mean over all steps.
    """
    excess = np.maximum(loss - reference, 0.0)
    return _mix(np.log(weights) + eta * excess, smoothing)


def _mix(log_weight: Floats, smoothing: float) -> Floats:
    raw = np.exp(log_weight - log_weight.max())
    return np.asarray((1 - smoothing) * raw / raw.sum() + smoothing / raw.size)


def odm_step(
    total: Floats, group: int, loss: float, probabilities: Floats, step: int
) -> tuple[Floats, Floats]:
    """Return (reward sums, probabilities) after one step of online data mixing.

    Parameters
    ----------
    total
        Importance-weighted reward per group so far, shape (G,), zeros at first.
    group, loss
        The group that was trained on, and its loss (the reward).
    probabilities
        Those it was drawn with.
    step
        Steps done before this one, from 1.

    Notes
    -----
    Exp3 with exploration eps_t = min(1/K, sqrt(ln K / (K t))); the exponent uses the former eps
    (Albalak et al. 2023).
    """
    count = total.size
    total = total.copy()
    total[group] += loss / probabilities[group]

    def explore(t: int) -> float:
        return float(min(1 / count, np.sqrt(np.log(count) / (count * t))))

    raw = np.exp(explore(step) * (total - total.max()))
    now = explore(step + 1)
    return total, np.asarray((1 - count * now) * raw / raw.sum() + now)


def group_dro_step(weights: Floats, loss: Floats, *, eta: float) -> Floats:
    """Return w_g exp(eta loss_g), normalised: loss weights of Group DRO (Sagawa et al. 2020)."""
    return _mix(np.log(weights) + eta * np.where(np.isfinite(loss), loss, 0.0), 0.0)


def worst_group(performance: Floats, half_width: Floats | None = None) -> int:
    """Return the group to draw the next sample from: the worst one (Abernethy et al. 2022).

    With `half_width` of confidence intervals it is the one that might be worst (Shekhar et al.
    2021). Groups that were not measured (NaN) are passed over.
    """
    low = performance if half_width is None else performance - half_width
    if not np.isfinite(low).any():
        msg = "no group has a finite performance, so none is the worst"
        raise AllocationError(msg)
    return int(np.nanargmin(low))


def error_bound_scaling(loss: Floats, *, gamma: float = 1.0) -> Floats:
    """Return tanh((least loss / loss_g)^gamma) per group; 1 for groups that are not in the batch.

    Parameters
    ----------
    loss
        Mean loss of each group in the batch, NaN for groups without a row. Only present groups
        count: a missing group taken as loss 0 would turn every other weight into 0.
    gamma
        Sharpness.
    """
    present = np.isfinite(loss)
    out = np.ones(loss.size)
    if not present.any():
        return out
    positive = np.maximum(loss[present], 1e-12)
    out[present] = np.tanh((positive.min() / positive) ** gamma)
    return out
