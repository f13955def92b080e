"""MIG against plain greedy on dense matrices, and what saturation must do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from assets.scoring.selectors.budget import Budget, select
from assets.scoring.selectors.mig import Mig, spread_tags
from assets.scoring.selectors.protocol import Candidates, SelectionError, tie_order


def given(tags, value, ids=None):
    ids = [f"r{i}" for i in range(len(tags))] if ids is None else ids
    return Candidates(
        pl.Series("id", ids),
        value=np.asarray(value, dtype=float),
        tags=pl.Series("tags", tags, dtype=pl.List(pl.String)),
    )


def names(candidates, amount, **settings):
    found = select(candidates, Mig(**settings), Budget(amount))
    return candidates.ids.gather(found.rows).to_list(), found.gains


def random_case(n=60, tags=12, seed=0):
    rng = np.random.default_rng(seed)
    words = [f"tag{i}" for i in range(tags)]
    lists = [rng.choice(words, size=rng.integers(1, 5), replace=False).tolist() for _ in range(n)]
    return given(lists, rng.integers(1, 8, size=n))


def plain_greedy(candidates, picks, power=0.8, gain="first_order"):
    """The oracle: every gain, every time."""
    order = tie_order(candidates.ids, 0, "mig ties")
    z = spread_tags(candidates.tags, 0.9).toarray() * candidates.value[:, None]
    x = np.zeros(z.shape[1])
    found = []
    for _ in range(picks):
        a = x + 1e-6
        if gain == "exact":
            gains = ((a + z) ** power - a**power).sum(axis=1)
        else:
            gains = z @ (power * a ** (power - 1))
        gains[found] = -np.inf
        best = order[np.argmax(np.round(gains[order], 9))]
        found.append(int(best))
        x += z[best]
    return [candidates.ids[i] for i in found]


@pytest.mark.parametrize("gain", ["first_order", "exact"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_picks_are_those_of_plain_greedy(gain, seed):
    case = random_case(seed=seed)
    got, _ = names(case, 25, quality="raw", gain=gain)
    assert got == plain_greedy(case, 25, gain=gain)


def test_one_tag_each_goes_round_by_score():
    case = given([["a"], ["a"], ["a"], ["b"], ["b"], ["c"]], [9, 8, 7, 6.5, 6.2, 6])
    got, _ = names(case, 6, quality="raw")
    assert {*got[:3]} == {"r0", "r3", "r5"}  # the best of each tag before the second of any
    assert {*got[3:5]} == {"r1", "r4"}


def test_without_saturation_it_is_the_best_by_score():
    case = given([["a"], ["a"], ["b"], ["b"]], [4, 3, 2, 1])
    assert names(case, 4, quality="raw", power=1.0)[0] == ["r0", "r1", "r2", "r3"]


def test_tags_of_one_meaning_share_saturation_and_others_do_not():
    like = given(
        [["machine learning"], ["learning machine learning machine"], ["cooking"]], [3, 2.9, 1]
    )
    vectors = {"machine learning": [1, 0.1], "ml": [1, 0.12], "cooking": [0, 1]}
    found = spread_tags(
        pl.Series([["ml"], ["machine learning"], ["cooking"]]),
        0.9,
        lambda tags: np.array([vectors[t] for t in tags], dtype=float),
    ).toarray()
    #                  cooking, machine learning, ml
    assert found[:, 0].tolist() == [0, 0, 1]
    assert np.allclose(found[:2, 1:], 0.5, atol=1e-3)
    assert np.allclose(found.sum(axis=0), 1)
    assert len(names(like, 3, quality="raw")[0]) == 3


def test_scaling_the_scores_changes_nothing():
    case = random_case(seed=3)
    scaled = given(case.tags.to_list(), case.value * 1000, case.ids)
    assert names(case, 30, quality="raw")[0] == names(scaled, 30, quality="raw")[0]
    monotone = given(case.tags.to_list(), np.exp(case.value), case.ids)
    assert names(case, 30)[0] == names(monotone, 30)[0]
    turned = given(case.tags.to_list(), -case.value, case.ids)
    assert names(turned, 30, direction="low")[0] == names(case, 30)[0]


def test_exact_gains_reach_what_greedy_promises():
    case = random_case(n=12, tags=6, seed=5)
    z = spread_tags(case.tags, 0.9).toarray() * case.value[:, None]

    def objective(rows):
        return ((z[list(rows)].sum(axis=0) + 1e-6) ** 0.8 - 1e-6**0.8).sum()

    best = max(objective(c) for c in combinations(range(12), 4))
    got, gains = names(case, 4, quality="raw", gain="exact")
    value = objective([case.ids.to_list().index(i) for i in got])
    assert value >= (1 - 1 / np.e) * best
    assert gains.sum() == pytest.approx(value)
    assert sorted(gains, reverse=True) == gains.tolist()


def test_records_without_tags_are_left_out_and_bad_settings_refused():
    case = given([["a"], [], None, ["b"]], [1, 2, 3, 4])
    found = select(case, Mig(), Budget(9))
    assert len(found.rows) == 2
    assert found.left_out == {"no tags": 2}
    for settings in ({"power": 0}, {"threshold": 2}, {"quality": "x"}, {"gain": "x"}):
        with pytest.raises(SelectionError, match="mig cannot use"):
            Mig(**settings)
    with pytest.raises(SelectionError, match="quality=rank"):
        names(given([["a"]], [-1]), 1, quality="raw")
