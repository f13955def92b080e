from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import kendalltau

from assets.scoring import rank_aggregation as module
from assets.scoring.rank_aggregation import (
    RankingError,
    disagreements,
    kemeny,
    plackett_luce,
    preferences,
)

CONDORCET = [list("ABC")] * 3 + [list("BCA")] * 2


def test_kemeny_puts_the_condorcet_winner_first_where_borda_does_not():
    assert kemeny(CONDORCET) == ["A", "B", "C"]
    borda = {i: sum(r.index(i) for r in CONDORCET) for i in "ABC"}
    assert min(borda, key=borda.get) == "B"


@settings(max_examples=40)
@given(st.lists(st.permutations(range(5)), min_size=1, max_size=6), st.integers(1, 5))
def test_kemeny_is_the_best_of_all_orders(rankings, length):
    rankings = [r[: max(2, length)] for r in rankings]  # some items left out
    found = kemeny(rankings)
    items = sorted(found)
    wins = preferences([np.array([items.index(i) for i in r]) for r in rankings], len(items))
    numbers = [items.index(i) for i in found]
    best = min(disagreements(order, wins) for order in permutations(range(len(items))))
    assert disagreements(numbers, wins) == best


def test_many_items_come_close_to_the_exact_order(monkeypatch):
    rng = np.random.default_rng(0)
    rankings = [np.argsort(np.arange(10) + rng.normal(scale=3, size=10)).tolist() for _ in range(9)]
    exact = kemeny(rankings)
    monkeypatch.setattr(module, "EXACT_ITEMS", 0)
    local = kemeny(rankings)
    wins = preferences([np.array(r) for r in rankings], 10)
    assert disagreements(local, wins) <= disagreements(exact, wins) * 1.02
    long = [np.argsort(np.arange(60) + rng.normal(scale=4, size=60)).tolist() for _ in range(15)]
    assert kendalltau(kemeny(long), range(60)).statistic > 0.9


def likelihood(theta, rankings):
    total = 0.0
    for ranking in rankings:
        for place in range(len(ranking) - 1):
            rest = theta[ranking[place:]]
            total += theta[ranking[place]] - np.log(np.exp(rest).sum())
    return total


def test_strengths_are_the_maximum_of_the_likelihood():
    rng = np.random.default_rng(1)
    rankings = [rng.permutation(6)[: rng.integers(2, 7)].tolist() for _ in range(40)]
    fitted = plackett_luce(rankings)
    theta = np.array([fitted[i] for i in range(6)])
    best = minimize(lambda t: -likelihood(t, rankings), np.zeros(6), tol=1e-12).x
    assert np.allclose(theta, best - best.mean(), atol=1e-4)
    assert sum(fitted.values()) == pytest.approx(0, abs=1e-9)


def test_planted_strengths_are_found_though_most_is_missing():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=60)
    rankings = []
    for _ in range(2_000):
        some = rng.choice(60, 3, replace=False)  # 95 % missing
        rankings.append(some[np.argsort(-(truth[some] + rng.gumbel(size=3)))].tolist())
    fitted = plackett_luce(rankings, tolerance=1e-6)
    theta = np.array([fitted[i] for i in range(60)])
    assert kendalltau(theta, truth).statistic > 0.8
    assert np.abs(theta - (truth - truth.mean())).mean() < 0.15


def test_what_cannot_be_ranked_is_refused_by_name():
    with pytest.raises(RankingError, match=r"\['C'\] never lose to, or never beat"):
        plackett_luce([["A", "B", "C"], ["B", "A", "C"]])
    with pytest.raises(RankingError, match="names an item twice"):
        kemeny([["A", "A"]])
    with pytest.raises(RankingError, match="no rankings"):
        kemeny([])


@pytest.mark.compare
def test_strengths_equal_those_of_choix():
    choix = pytest.importorskip("choix")
    rng = np.random.default_rng(3)
    rankings = [rng.permutation(7)[: rng.integers(2, 8)].tolist() for _ in range(60)]
    fitted = plackett_luce(rankings, tolerance=1e-13)
    theirs = choix.ilsr_rankings(7, rankings, max_iter=10_000, tol=1e-13)
    assert np.allclose([fitted[i] for i in range(7)], theirs - theirs.mean(), atol=1e-8)
