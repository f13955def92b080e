"""Slow twins of the laws: plain loops over passes and fine steps, straight from the definitions."""

from __future__ import annotations

import math


def utility_error(n, unique, b, tau, floor, anchor, form="paper"):
    """Multiply pass by pass."""
    total, previous, passes = 1.0, None, 0
    while previous is None or previous < n:
        end = min(unique * (passes + 1), n)
        if previous is None:
            first = (end / anchor) ** b
        else:
            total *= (end / previous) ** (b * 0.5 ** (passes / tau))
        previous, passes = end, passes + 1
    return (first + floor) * total if form == "code" else first * total + floor


def mixture_utility_error(n, weights, unique, b, tau, floor, anchor, kappa):
    """Walk from boundary to boundary of any pool, each with its own floor(w n / U)."""
    laps = [_laps(w, u, n) for w, u in zip(weights, unique, strict=True)]
    marks = sorted({mark for lap in laps for mark in lap} | {n})
    position, log_reducible = anchor, 0.0
    for mark in marks:
        middle = 0.5 * (position + mark)
        slope = 0.0
        for w, u, exponent, half_life in zip(weights, unique, b, tau, strict=True):
            if w > 0:
                slope += (
                    w * exponent * 0.5 ** (math.floor(w * middle / u) / (half_life * w**-kappa))
                )
        log_reducible += slope * math.log(mark / position)
        position = mark
    return math.exp(log_reducible) + floor


def _laps(w, u, n):
    if w <= 0:
        return []
    lap = u / w
    return [lap * k for k in range(1, int(n / lap) + 1) if lap * k < n]


def effective_data(n, unique, tau):
    """Count each pass at its worth."""
    total, passes = 0.0, 0
    while passes * unique < n:
        total += min(unique, n - passes * unique) * 0.5 ** (passes / tau)
        passes += 1
    return total
