"""Simple rules to compare with, under the same caps and floors."""

from __future__ import annotations

import numpy as np

from assets.allocation.errors import AllocationError
from assets.allocation.fill import Fill
from assets.allocation.roots import Floats, scalar_root

RULES = ("equal", "equal_spend", "proportional", "alpha_0.3")


def shares(sizes: Floats, *, alpha: float | None = None, tau: float | None = None) -> Floats:
    """Return temperature sampling probabilities, proportional to size^alpha = size^(1/tau).

    Parameters
    ----------
    sizes
        Unique records per group, shape (G,).
    alpha
        Exponent: 1 is proportional, 0 uniform.
    tau
        Temperature, the inverse of alpha. Name exactly one: "temperature 0.3" means alpha to some
        and tau to others.
    """
    if (alpha is None) == (tau is None):
        msg = "name exactly one of alpha= (exponent) or tau= (temperature, 1/alpha)"
        raise AllocationError(msg)
    exponent = alpha if alpha is not None else 1.0 / float(tau or np.nan)
    if not np.isfinite(exponent) or exponent < 0:
        msg = f"alpha {exponent} must be 0 or more (tau above 0)"
        raise AllocationError(msg)
    log_size = np.log(np.where(sizes > 0, sizes, 1.0)) * exponent
    raw = np.where(sizes > 0, np.exp(log_size - log_size.max(initial=-np.inf)), 0.0)
    return np.asarray(raw / raw.sum())


def rule_spend(rule: str, fill: Fill, sizes: Floats, floor_spend: Floats, budget: float) -> Floats:
    """Return each group's spend under a simple rule within caps and floors.

    Parameters
    ----------
    rule
        `equal` (samples), `equal_spend`, `proportional` (to unique records) or `alpha_<x>`.
    fill
        Paths of the groups; inside a group the pools are filled in the best order, so a rule is
        shown at its kindest.
    sizes
        Unique records per group.
    floor_spend, budget
        Spend of the floors, and in all.

    Notes
    -----
    The rule's shares are scaled by one factor t; a group gets clip(t * share, floor, cap) and t is
    the root of
    total spend = budget. For `equal` with unit costs this is the UniMax rule with the cap on passes
    as its E.
    """
    if rule == "equal_spend":
        share = np.ones(fill.groups)
    elif rule == "equal":
        share = shares(sizes, alpha=0.0)
    elif rule == "proportional":
        share = shares(sizes, alpha=1.0)
    elif rule.startswith("alpha_"):
        share = shares(sizes, alpha=float(rule.removeprefix("alpha_")))
    else:
        msg = f"unknown rule {rule!r}; known: {', '.join(RULES)} or alpha_<number>"
        raise AllocationError(msg)

    def spend(t: float) -> Floats:
        if rule == "equal_spend":
            return np.clip(t * share, floor_spend, fill.top_spend)
        samples = np.minimum(t * share, fill.top_samples)
        return np.clip(fill.spend_of_samples(samples), floor_spend, fill.top_spend)

    full = np.where(share > 0, fill.top_spend, floor_spend)
    if full.sum() <= budget:
        return full
    if budget <= floor_spend.sum():
        return floor_spend
    top = fill.top_spend if rule == "equal_spend" else fill.top_samples
    hi = float((top[share > 0] / share[share > 0]).max())

    def gap(log_t: float) -> float:
        return float(np.log(max(spend(float(np.exp(log_t))).sum(), budget * 1e-30) / budget))

    log_hi = float(np.log(hi))
    _, one, other = scalar_root(gap, log_hi - 120.0, log_hi)
    low, high = spend(float(np.exp(min(one, other)))), spend(float(np.exp(max(one, other))))
    jump = high.sum() - low.sum()
    part = np.clip((budget - low.sum()) / jump, 0.0, 1.0) if jump > 0 else 0.0
    return np.asarray(low + part * (high - low))


def unimax(sizes: Floats, budget: float, *, max_epochs: float) -> tuple[Floats, float]:
    """Divide `budget` as evenly as caps of `max_epochs` passes allow (UniMax, Chung et al. 2023).

    Returns
    -------
    tuple
        (samples per group, budget left over once every group is at its cap).
    """
    order = np.argsort(sizes, kind="stable")
    out, left = np.zeros(sizes.size), float(budget)
    for rank, g in enumerate(order):
        out[g] = min(left / (sizes.size - rank), sizes[g] * max_epochs)
        left -= out[g]
    return out, max(left, 0.0)
