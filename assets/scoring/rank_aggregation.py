"""One ranking of a few items from many: Kemeny's consensus, and Plackett-Luce strengths.

For up to some thousands of items (sources, pools, models, scorers), not for rows: rows are combined by their ranks
(`combine`). A ranking lists items from best to worst and may leave items out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

EXACT_ITEMS = 12


class RankingError(ValueError):
    """Rankings that no consensus can be made of."""


def _numbered(
    rankings: Sequence[Sequence[Hashable]],
) -> tuple[list[Hashable], list[NDArray[np.int64]]]:
    items = sorted({item for ranking in rankings for item in ranking}, key=repr)
    if not items:
        message = "there are no rankings; give at least one with two items"
        raise RankingError(message)
    number = {item: i for i, item in enumerate(items)}
    for at, ranking in enumerate(rankings):
        if len(set(ranking)) != len(ranking):
            message = f"ranking {at} names an item twice"
            raise RankingError(message)
    return items, [np.array([number[item] for item in r], dtype=np.int64) for r in rankings]


def preferences(rankings: Sequence[NDArray[np.int64]], n: int) -> NDArray[np.float64]:
    """Count by how many rankings item i stands before item j: float64, shape (n, n)."""
    wins = np.zeros((n, n))
    for ranking in rankings:
        for place, item in enumerate(ranking):
            wins[item, ranking[place + 1 :]] += 1
    return wins


def kemeny(rankings: Sequence[Sequence[Hashable]]) -> list[Hashable]:
    """Return the order that disagrees with the rankings in the fewest pairs.

    Parameters
    ----------
    rankings
        Best first.

    Returns
    -------
    list
        The items, best first. Exact up to 12 items (dynamic programme over subsets); above, the better of Borda's and
        Copeland's order, each improved by moving single items until no move helps.

    Raises
    ------
    RankingError
        There are no items, or a ranking names one twice.
    """
    items, numbered = _numbered(rankings)
    wins = preferences(numbered, len(items))
    order = _exact(wins) if len(items) <= EXACT_ITEMS else _local(wins)
    return [items[i] for i in order]


def disagreements(order: Sequence[int], wins: NDArray[np.float64]) -> float:
    """Count the pairs of all rankings that an order reverses."""
    at = np.asarray(order)
    return float(np.tril(wins[np.ix_(at, at)], -1).sum())


def _exact(wins: NDArray[np.float64]) -> list[int]:
    n = len(wins)
    cost = np.full(1 << n, np.inf)
    last = np.zeros(1 << n, dtype=np.int64)
    cost[0] = 0.0
    members = [[i for i in range(n) if subset >> i & 1] for subset in range(1 << n)]
    for subset in range(1, 1 << n):
        for item in members[subset]:
            before = subset & ~(1 << item)
            # the item comes after all of them: pairs that want it first are reversed
            total = cost[before] + wins[item, members[before]].sum()
            if total < cost[subset]:
                cost[subset], last[subset] = total, item
    order: list[int] = []
    subset = (1 << n) - 1
    while subset:
        order.append(int(last[subset]))
        subset &= ~(1 << order[-1])
    return order[::-1]


def _local(wins: NDArray[np.float64]) -> list[int]:
    margin = wins - wins.T
    starts = [np.argsort(-margin.sum(axis=1)), np.argsort(-np.sign(margin).sum(axis=1))]
    return min((_improved(list(s), margin) for s in starts), key=lambda o: disagreements(o, wins))


def _improved(order: list[int], margin: NDArray[np.float64]) -> list[int]:
    moved = True
    while moved:
        moved = False
        for item in list(order):
            at = order.index(item)
            along = margin[item, order]
            # what is gained by standing before place j instead of here
            gain = np.concatenate([-np.cumsum(along[at + 1 :])[::-1], [0.0]])[::-1]
            ahead = np.concatenate([np.cumsum(along[:at][::-1])[::-1], [0.0]])
            best_back, best_front = int(gain.argmax()), int(ahead.argmax())
            if max(gain[best_back], ahead[best_front]) <= 0:
                continue
            order.pop(at)
            to = best_front if ahead[best_front] >= gain[best_back] else at + best_back
            order.insert(to, item)
            moved = True
    return order


def plackett_luce(
    rankings: Sequence[Sequence[Hashable]], *, tolerance: float = 1e-10, most: int = 10_000
) -> dict[Hashable, float]:
    """Fit log strengths: each place of a ranking is a choice among what is left, in proportion to strength.

    Parameters
    ----------
    rankings
        Best first.
    tolerance
        Largest change of a log strength at which the fit has converged.
    most
        Iterations at most.

    Returns
    -------
    dict
        Item to log strength, summing to 0: the maximum of the likelihood, by Hunter's minorise-maximise iteration.

    Raises
    ------
    RankingError
        There are no items, or the comparisons do not connect every item with every other both ways: then no maximum
        exists. Names the items.
    """
    items, numbered = _numbered(rankings)
    n = len(items)
    _check_connected(items, numbered)
    chosen = np.zeros(n)
    for ranking in numbered:
        chosen[ranking[:-1]] += 1
    theta = np.zeros(n)
    for _ in range(most):
        strength = np.exp(theta)
        against = np.zeros(n)
        for ranking in numbered:
            rest = np.cumsum(strength[ranking][::-1])[::-1][:-1]
            share = np.cumsum(1.0 / rest)
            against[ranking[:-1]] += share
            against[ranking[-1:]] += share[-1:]
        updated = np.log(chosen) - np.log(against)
        updated -= updated.mean()
        done = np.abs(updated - theta).max() < tolerance
        theta = updated
        if done:
            break
    return dict(zip(items, theta.tolist(), strict=True))


def _check_connected(items: list[Hashable], rankings: list[NDArray[np.int64]]) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = [pair for ranking in rankings for pair in pairwise(ranking)]
    n = len(items)
    rows = np.array([a for a, _ in edges], dtype=np.int64)
    columns = np.array([b for _, b in edges], dtype=np.int64)
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(n, n))
    count, part = connected_components(graph, directed=True, connection="strong")
    if count > 1:
        smallest = min(range(count), key=lambda c: (int((part == c).sum()), c))
        names = [items[i] for i in np.flatnonzero(part == smallest)[:5]]
        message = (
            f"no strengths exist: {names} never lose to, or never beat, any of the others; "
            "add rankings that connect them, or rank them apart"
        )
        raise RankingError(message)
