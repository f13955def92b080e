"""Shapley values of games of few players: by enumeration, and by truncated Monte Carlo.

A player's value is the mean, over all orders in which players may come, of what it adds to the worth of those before it
(Shapley 1953). Values of all players add up to the worth of all less that of none (efficiency), equal players have
equal values, and one that never adds anything has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

Worth = Callable[[NDArray[np.bool_]], float]
"""From who is in (bool, shape (players,)) to what they are worth together."""


@dataclass(frozen=True, slots=True)
class Values:
    """Shapley values.

    Attributes
    ----------
    values
        float64, shape (players,).
    errors
        Standard errors of the estimates, float64 of the same shape; 0 where they are exact.
    worths
        How often a worth was computed.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    worths: int


def exact_shapley(worth: Worth, players: int) -> Values:
    """Return the values by enumerating all ``2**players`` coalitions; at most 20 players, or it takes days."""
    worths = np.empty(2**players)
    for coalition in range(2**players):
        worths[coalition] = worth(_members(coalition, players))
    sizes = np.array([c.bit_count() for c in range(2**players)])
    weights = [
        factorial(s) * factorial(players - s - 1) / factorial(players) for s in range(players)
    ]
    values = np.zeros(players)
    for player in range(players):
        without = np.flatnonzero((np.arange(2**players) >> player) & 1 == 0)
        added = worths[without | (1 << player)] - worths[without]
        values[player] = np.sum(np.asarray(weights)[sizes[without]] * added)
    return Values(values, np.zeros(players), 2**players)


def _members(coalition: int, players: int) -> NDArray[np.bool_]:
    return np.asarray((coalition >> np.arange(players)) & 1 == 1)


def truncated_monte_carlo(
    worth: Worth, players: int, orders: int, tolerance: float, seed: int
) -> Values:
    """Estimate the values from random orders, each followed until what is left to add is small.

    Parameters
    ----------
    worth
        Called for each coalition once.
    players
        At least 1.
    orders
        Random orders, each walked from both ends: an even number of walks, which cancels much of their noise.
    tolerance
        A walk stops, and those that have not come yet get nothing, where the worth is within this of the worth of all.
        At 0 nothing is truncated but what adds exactly nothing, and the values add up exactly.
    seed
        Key of the orders.

    Notes
    -----
    Unbiased at tolerance 0 (Ghorbani and Zou 2019, arXiv 1904.02868, algorithm 1); else by at most `tolerance`. At most
    ``2 x orders x players`` worths.
    """
    known: dict[bytes, float] = {}

    def ask(inside: NDArray[np.bool_]) -> float:
        key = np.packbits(inside).tobytes()
        if key not in known:
            known[key] = worth(inside.copy())
        return known[key]

    nobody, everyone = np.zeros(players, dtype=bool), np.ones(players, dtype=bool)
    start, end = ask(nobody), ask(everyone)
    draw = np.random.default_rng([seed % 2**63, players])
    found = np.zeros((orders, players))
    for order in found:
        chosen = draw.permutation(players)
        for walk in (chosen, chosen[::-1]):
            inside, before = nobody.copy(), start
            for player in walk:
                if abs(end - before) <= tolerance and not inside.all() and tolerance > 0:
                    break
                inside[player] = True
                now = ask(inside)
                order[player] += (now - before) / 2
                before = now
    errors = found.std(axis=0, ddof=1) / np.sqrt(orders) if orders > 1 else np.full(players, np.nan)
    return Values(found.mean(axis=0), errors, len(known))
