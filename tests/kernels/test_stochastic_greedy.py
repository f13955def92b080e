"""Stochastic greedy on coverage, whose optimum is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from assets.kernels.keyed_random import id_words
from assets.kernels.stochastic_greedy import GreedyError, candidates_for, stochastic_greedy


class Coverage:
    """How many elements some sets cover, counting the gains that are asked for."""

    def __init__(self, sets):
        self.sets = sets
        self.covered = np.zeros(sets.shape[1], dtype=bool)
        self.asked = 0

    def gains(self, rows):
        self.asked += len(rows)
        return (self.sets[rows] & ~self.covered).sum(axis=1).astype(float)

    def add(self, row):
        self.covered |= self.sets[row]


def run(sets, most, candidates, seed=0, order=None):
    order = np.arange(len(sets)) if order is None else order
    words = id_words([f"set {i}" for i in order])
    work = Coverage(sets[order])
    picks = list(stochastic_greedy(words, work.gains, work.add, most, candidates, seed))
    return [int(order[row]) for row, _ in picks], [gain for _, gain in picks], work


def sets(n=40, elements=60, seed=0):
    return np.random.default_rng(seed).random((n, elements)) < 0.12


def test_with_all_candidates_it_is_plain_greedy():
    given = sets()
    names, gains, work = run(given, 12, 40)
    covered = np.zeros(60, dtype=bool)
    for name, gain in zip(names, gains, strict=True):
        all_gains = (given & ~covered).sum(axis=1)
        assert gain == all_gains.max() == all_gains[name]
        covered |= given[name]
    assert sorted(gains, reverse=True) == gains
    assert work.asked == sum(40 - i for i in range(12))


def test_fewer_candidates_cost_less_and_lose_what_is_promised_at_most():
    given = sets(n=14, elements=40)
    best = max(given[list(c)].any(axis=0).sum() for c in combinations(range(14), 4))
    few = candidates_for(14, 4, 0.1)
    values = []
    for seed in range(60):
        names, _, work = run(given, 4, few, seed=seed)
        values.append(given[names].any(axis=0).sum())
        assert work.asked <= 4 * few
    assert np.mean(values) >= (1 - 1 / np.e - 0.1) * best
    drawn = [given[run(given, 4, 1, seed=s)[0]].any(axis=0).sum() for s in range(60)]
    assert np.mean(values) > np.mean(drawn)  # one candidate is a random pick


def test_picks_nest_and_order_has_no_influence():
    given = sets()
    names, _, _ = run(given, 15, 6, seed=2)
    assert len(set(names)) == 15
    assert run(given, 7, 6, seed=2)[0] == names[:7]
    shuffled = np.random.default_rng(3).permutation(40)
    assert run(given, 15, 6, seed=2, order=shuffled)[0] == names
    assert run(given, 15, 6, seed=3)[0] != names
    assert len(run(given, 99, 6)[0]) == 40


def test_what_cannot_be_is_refused():
    with pytest.raises(GreedyError, match="1 or more"):
        run(sets(), 3, 0)
    with pytest.raises(GreedyError, match="between 0 and 1"):
        candidates_for(10, 2, 0)
    assert candidates_for(10, 10, 0.5) == 1
    assert candidates_for(10, 1, 0.001) == 10
