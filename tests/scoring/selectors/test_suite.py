"""Properties that every registered selector must have; a registry line suffices to be tested."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from assets.scoring.selectors.budget import Budget, select
from assets.scoring.selectors.protocol import Candidates, SelectionError, Selector, SelectorNeeds
from assets.scoring.selectors.registry import SELECTORS, create, describe, exemptions

NAMES = sorted(SELECTORS)
TAGS = ["sea", "law", "tax", "art", "war", "tea"]
DIVERSE = ["facility_location", "k_center"]
SEEDED = ["gumbel", "k_center", "kmeans_quality", "random", "stratified"]


def candidates(n=120, seed=0, dim=8):
    rng = np.random.default_rng(seed)
    return Candidates(
        pl.Series("id", [f"f#{i}" for i in rng.permutation(n)]),
        value=np.round(rng.normal(size=n), 1),  # with ties
        stratum=pl.Series(rng.choice(["a", "b", None], size=n, p=[0.6, 0.3, 0.1]), dtype=pl.String),
        embedding=rng.normal(size=(n, dim)).astype(np.float32),
        target=rng.normal(size=(9, dim)).astype(np.float32),
        tags=pl.Series([rng.choice(TAGS, size=rng.integers(1, 4)).tolist() for _ in range(n)]),
    )


def chosen(name, given, amount, *, seed=0, unit="records", costs=None):
    found = select(given, create(name), Budget(amount, unit), costs=costs, seed=seed)
    return given.ids.gather(found.rows).to_list(), found


@pytest.mark.parametrize("name", NAMES)
def test_keeps_the_protocol_and_is_described(name):
    assert isinstance(create(name), Selector)
    assert create(name).name == name
    row = describe().filter(pl.col("selector") == name).row(0, named=True)
    assert all(value for key, value in row.items() if key != "exempt")


@pytest.mark.parametrize("name", NAMES)
def test_order_does_not_matter(name):
    given = candidates()
    want, _ = chosen(name, given, 25)
    for seed in range(3):
        shuffled = given.take(np.random.default_rng(seed).permutation(len(given)))
        assert chosen(name, shuffled, 25)[0] == want


@pytest.mark.parametrize("name", NAMES)
def test_budgets_in_records_are_exact_and_nest(name):
    given = candidates()
    before: list[str] = []
    for amount in (1, 2, 7, 30, 119, 120, 500):
        now, found = chosen(name, given, amount)
        assert len(now) == len(set(now)) == found.spent == min(amount, 120)
        assert now[: len(before)] == before
        before = now


@pytest.mark.parametrize("name", NAMES)
def test_budgets_in_tokens_are_never_passed_and_nest(name):
    given = candidates()
    costs = np.random.default_rng(1).integers(0, 40, size=len(given))
    total = 0
    before: list[str] = []
    whole, _ = chosen(name, given, len(given))
    price = dict(zip(given.ids, costs, strict=True))
    for amount in (1, 13, 100, 101, 900, int(costs.sum())):
        now, found = chosen(name, given, amount, unit="tokens", costs=costs)
        total = sum(price[i] for i in now)
        assert found.spent == total <= amount
        assert now == whole[: len(now)]
        if len(now) < len(whole):  # the next one would not have fitted
            assert total + price[whole[len(now)]] > amount
        assert now[: len(before)] == before
        before = now
    assert len(before) == len(given)


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name):
    given = candidates()
    assert chosen(name, given, 30)[0] == chosen(name, given, 30)[0]
    other = chosen(name, given, 30, seed=1)[0]
    if name in SEEDED:
        assert set(other) != set(chosen(name, given, 30)[0])


@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_cannot_look_at_is_left_out_and_counted(name):
    given = candidates()
    given.value[[3, 4]] = np.nan, np.inf
    given.embedding[5], given.embedding[6] = 0, np.nan
    costs = np.ones(len(given), dtype=np.int64)
    costs[7] = -1
    lists = given.tags.to_list()
    lists[8], lists[9] = None, []
    given = dataclasses.replace(given, tags=pl.Series(lists, dtype=pl.List(pl.String)))
    names, found = chosen(name, given, 500, unit="tokens", costs=costs)
    needs = create(name).needs
    lost = {given.ids[7]}
    lost |= {given.ids[i] for i in (3, 4)} if SelectorNeeds.VALUE in needs else set()
    lost |= {given.ids[i] for i in (5, 6)} if SelectorNeeds.EMBEDDING in needs else set()
    lost |= {given.ids[i] for i in (8, 9)} if SelectorNeeds.TAGS in needs else set()
    assert set(given.ids) - set(names) == lost
    assert sum(found.left_out.values()) == len(lost) == len(given) - found.eligible


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_select_is_an_error_that_says_why(name):
    given = candidates(5)
    with pytest.raises(SelectionError, match="5 have no text to count"):
        chosen(name, given, 3, unit="bytes", costs=np.full(5, -1))
    with pytest.raises(SelectionError, match="no records"):
        chosen(name, given.take(np.arange(0)), 3)


@pytest.mark.parametrize("name", [n for n in NAMES if "copy" not in exemptions(SELECTORS[n])])
def test_copies_of_a_pick_come_last(name):
    given = candidates(30)
    twice = Candidates(
        pl.Series([*given.ids, *(f"copy of {i}" for i in given.ids)]),
        embedding=np.concatenate([given.embedding, given.embedding * 3]),
    )
    names, found = chosen(name, twice, 60)
    contents = [n.removeprefix("copy of ") for n in names]
    assert len(set(contents[:30])) == 30
    assert np.allclose(found.gains[30:], 0, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_strata_and_rotations_of_space_do_not_matter(name):
    given = candidates()
    renamed = Candidates(
        given.ids,
        given.value * 2 if name in {"top", "stratified_top"} else given.value,
        given.stratum.replace({"a": "z", "b": "y"}),
        given.embedding[:, ::-1].copy(),
        given.target[:, ::-1].copy(),
        given.tags,
    )
    assert chosen(name, renamed, 40)[0] == chosen(name, given, 40)[0]


@pytest.mark.parametrize("name", NAMES)
def test_exemptions_are_of_known_properties_and_say_why(name):
    said = exemptions(SELECTORS[name])
    assert set(said) <= {"copy", "seed", "direction", "noise", "shortcut"}
    assert all(len(why.split()) > 4 for why in said.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_for_all_returns_all_that_can_be_selected(name):
    given = candidates(60)
    names, found = chosen(name, given, 60)
    assert sorted(names) == sorted(given.ids)
    assert found.eligible == 60


@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_does_not_declare_is_no_shortcut(name):
    given = candidates()
    needs, n = create(name).needs, len(given)
    other = dataclasses.replace(
        given,
        value=given.value if SelectorNeeds.VALUE in needs else np.arange(n) * 1.0,
        stratum=given.stratum
        if SelectorNeeds.STRATUM in needs
        else pl.Series([str(i) for i in range(n)]),
        embedding=given.embedding if SelectorNeeds.EMBEDDING in needs else np.ones((n, 2)),
        target=given.target if SelectorNeeds.TARGET in needs else None,
        tags=given.tags if SelectorNeeds.TAGS in needs else None,
    )
    assert chosen(name, other, 40)[0] == chosen(name, given, 40)[0]


@pytest.mark.parametrize("name", [n for n in NAMES if "direction" not in exemptions(SELECTORS[n])])
def test_the_best_record_comes_first_where_a_method_looks_at_scores(name):
    if SelectorNeeds.VALUE not in create(name).needs:
        assert name in [*DIVERSE, "random", "stratified", "semdedup", "round_robin"]
        return
    given = candidates()
    given.value[17] = 50.0
    names, _ = chosen(name, given, 10)
    assert given.ids[17] in names


@pytest.mark.parametrize("name", NAMES)
def test_on_pure_noise_a_selection_learns_nothing(name):
    # labels are drawn without looking: what beats chance on held-out records has leaked
    from scipy.stats import binom
    from sklearn.linear_model import LogisticRegression

    given = candidates(200, seed=4)
    rng = np.random.default_rng(9)
    label, held, truth = (
        rng.integers(2, size=200),
        rng.normal(size=(1000, 8)),
        rng.integers(2, size=1000),
    )
    rows = select(given, create(name), Budget(100)).rows
    head = LogisticRegression().fit(given.embedding[rows], label[rows])
    low, high = binom.ppf([1e-4, 1 - 1e-4], 1000, 0.5)
    assert low <= (head.predict(held) == truth).sum() <= high


@pytest.mark.parametrize("name", NAMES)
def test_a_list_that_was_broken_off_is_the_beginning_of_the_list(name):
    given = candidates()
    whole = list(create(name).picks(given, 40, 0))
    again = create(name).picks(given, 40, 0)
    first = next(again)
    assert np.array_equal(first[0], whole[0][0])
    rest = [rows for rows, _ in again]
    assert np.array_equal(np.concatenate([first[0], *rest]), np.concatenate([r for r, _ in whole]))


class ByPosition:
    """A mutant that takes what stands first."""

    name, needs = "by_position", SelectorNeeds.NONE

    def picks(self, candidates, most, seed):
        yield np.arange(min(most, len(candidates))), np.zeros(min(most, len(candidates)))


def test_a_mutant_that_goes_by_position_is_seen():
    given = candidates()
    shuffled = given.take(np.arange(len(given))[::-1])
    first = [set(c.ids.gather(select(c, ByPosition(), Budget(10)).rows)) for c in (given, shuffled)]
    assert first[0] != first[1]
