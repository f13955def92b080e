"""Each selector against a slow exact answer, and against wrong twins of itself."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from assets.kernels.stochastic_greedy import candidates_for
from assets.kernels.unit_vectors import to_grid
from assets.scoring.selectors import facility_location
from assets.scoring.selectors.budget import Budget, select
from assets.scoring.selectors.protocol import Candidates, SelectionError
from assets.scoring.selectors.ranked import Top
from assets.scoring.selectors.registry import create
from tests.oracles import selection as oracle


def vectors(n, seed, dim=5, copies=0.3):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    for i in range(1, n):
        if rng.random() < copies:
            rows[i] = rows[rng.integers(i)]
    return rows


def ids_of(n):
    return pl.Series("id", [f"x#{i}" for i in range(n)])


def picks(name, rows, most, seed=0):
    found = select(
        Candidates(ids_of(len(rows)), embedding=rows), create(name), Budget(most), seed=seed
    )
    return found.rows.tolist(), found.gains


@settings(max_examples=30)
@examples(st.integers(1, 25), st.integers(1, 25), st.integers(0, 500))
def test_k_center_is_farthest_first(n, most, seed):
    rows = vectors(n, seed)
    want = oracle.farthest_first(rows, ids_of(n), most, seed)
    assert picks("k_center", rows, most, seed)[0] == want


@pytest.mark.parametrize("seed", range(5))
def test_k_center_is_within_twice_the_best_radius(seed):
    rows = vectors(11, seed, copies=0)
    grid = to_grid(rows).astype(float)
    unit = grid / np.linalg.norm(grid, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    best = min(distance[:, list(c)].min(axis=1).max() for c in combinations(range(11), 3))
    assert distance[:, picks("k_center", rows, 3)[0]].min(axis=1).max() <= 2 * best + 1e-3


@settings(max_examples=30)
@examples(st.integers(1, 25), st.integers(1, 25), st.integers(0, 500))
def test_facility_location_is_plain_greedy(n, most, seed):
    rows = vectors(n, seed)
    want = oracle.greedy_facility_location(rows, ids_of(n), most, seed)
    found, gains = picks("facility_location", rows, most, seed)
    assert found == want
    assert (np.diff(gains) <= 0).all()


def test_facility_location_in_small_tiles_is_the_same(monkeypatch):
    rows = vectors(60, 3)
    want = picks("facility_location", rows, 20)[0]
    monkeypatch.setattr(facility_location, "BLOCK_CANDIDATES", 4)
    monkeypatch.setattr(facility_location, "TILE_ROWS", 7)
    assert picks("facility_location", rows, 20)[0] == want


@pytest.mark.parametrize("seed", range(4))
def test_facility_location_keeps_its_guarantee(seed):
    rows = vectors(12, seed, copies=0)
    best = max(oracle.coverage(rows, c) for c in combinations(range(12), 3))
    got = oracle.coverage(rows, picks("facility_location", rows, 3)[0])
    assert got >= (1 - 1 / np.e) * best
    _, gains = picks("facility_location", rows, 3)
    assert gains.sum() == pytest.approx(got / 32e6)


def test_lazy_greedy_looks_at_few_candidates_again(monkeypatch):
    looked = 0
    plain = facility_location._gains

    def counted(grid, rows, *rest):
        nonlocal looked
        looked += len(rows)
        return plain(grid, rows, *rest)

    monkeypatch.setattr(facility_location, "_gains", counted)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 16))
    rows = centres[rng.integers(40, size=2000)] + 0.1 * rng.normal(size=(2000, 16))
    picks("facility_location", rows.astype(np.float32), 40)
    assert looked < 2000 + 40 * 2000 * 0.2  # plain greedy looks at 80,000


def test_picks_are_the_same_where_products_are_held_and_where_they_are_made_again(monkeypatch):
    rng = np.random.default_rng(3)
    rows = (
        rng.normal(size=(30, 24))[rng.integers(30, size=300)] + rng.normal(size=(300, 24))
    ).astype(np.float32)
    held = picks("facility_location", rows, 60)
    monkeypatch.setattr(facility_location, "WHOLE_ROWS", 299)
    monkeypatch.setattr(facility_location, "TILE_ROWS", 128)
    again = picks("facility_location", rows, 60)
    assert np.array_equal(held[0], again[0])
    assert np.array_equal(held[1], again[1])


def test_the_centre_of_a_dense_cloud_comes_before_an_outlier_only_where_it_represents_more():
    rng = np.random.default_rng(1)
    cloud = np.array([1.0, 0, 0]) + 0.05 * rng.normal(size=(50, 3))
    rows = np.concatenate([cloud, [[-1.0, 0, 0]]]).astype(np.float32)
    assert picks("facility_location", rows, 1)[0] != [50]
    assert 50 in picks("k_center", rows, 2)[0]


@settings(max_examples=40)
@examples(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.data())
def test_strata_get_what_webster_gives(sizes, data):
    n = sum(sizes)
    seats = data.draw(st.integers(1, n))
    names = [f"s{i}" for i, size in enumerate(sizes) for _ in range(size)]
    strata = pl.Series(names)
    found = select(Candidates(ids_of(n), stratum=strata), create("stratified"), Budget(seats))
    got = Counter(strata.gather(found.rows))
    want = oracle.webster(Counter(names), seats)
    quotient = {
        s: sorted((2 * j + 1) / size for j in range(size)) for s, size in Counter(names).items()
    }
    # equal quotients may fall either way; the largest one that got a seat is the same
    cut = [
        max((quotient[s][c - 1] for s, c in each.items() if c), default=0) for each in (got, want)
    ]
    assert cut[0] == cut[1]
    assert sum(got.values()) == seats


def test_within_a_stratum_the_draw_is_uniform():
    strata = pl.Series(["a"] * 6 + ["b"] * 4)
    counts = Counter()
    for seed in range(2000):
        given = Candidates(ids_of(10), stratum=strata)
        counts.update(select(given, create("stratified"), Budget(5), seed=seed).rows.tolist())
    shares = np.array([counts[i] for i in range(10)]) / 2000
    assert np.abs(shares - 0.5).max() < 0.05  # 3 of 6 and 2 of 4; 4.5 standard deviations


@pytest.mark.parametrize("direction", ["high", "low"])
def test_the_top_of_each_stratum_has_the_seats_of_stratified(direction):
    rng = np.random.default_rng(3)
    n = 90
    strata = pl.Series(rng.choice(["a", "b", None], size=n, p=[0.6, 0.3, 0.1]), dtype=pl.String)
    # scores of one stratum lie far above those of another: a plain top takes that one alone
    shift = strata.replace_strict({"a": 0.0, "b": 100.0}, default=-100.0).to_numpy()
    value = np.round(rng.normal(size=n), 1) + shift
    given = Candidates(ids_of(n), value=value, stratum=strata)
    method = create("stratified_top", {"direction": direction})
    sign = 1 if direction == "high" else -1
    for amount in (1, 7, 30, 89, 90):
        found = select(given, method, Budget(amount))
        even = select(given, create("stratified"), Budget(amount))
        got, want = (Counter(strata.gather(s.rows).to_list()) for s in (found, even))
        # equal quotients (a whole number of seats) may fall to either stratum
        assert sum(got.values()) == amount
        assert all(abs(got[s] - want[s]) <= 1 for s in ("a", "b", None))
        for name in ("a", "b", None):
            own = strata.eq_missing(pl.Series([name], dtype=pl.String)).to_numpy()
            taken = np.isin(np.arange(n), found.rows)
            kept, left = sign * value[own & taken], sign * value[own & ~taken]
            assert not len(kept) or not len(left) or kept.min() >= left.max()
        assert np.array_equal(found.gains, value[found.rows])
    plain = select(given, create("top", {"direction": direction}), Budget(7))
    assert len(set(strata.gather(plain.rows))) == 1  # the wrong method that this must not be


def test_gumbel_draws_with_the_weights_and_temperature_flattens():
    weights = np.array([0.6, 0.3, 0.1])
    for temperature in (1.0, 3.0):
        first = Counter()
        for seed in range(4000):
            given = Candidates(ids_of(3), value=np.log(weights))
            chosen = select(
                given, create("gumbel", {"temperature": temperature}), Budget(1), seed=seed
            )
            first[int(chosen.rows[0])] += 1
        want = weights ** (1 / temperature)
        assert np.allclose([first[i] / 4000 for i in range(3)], want / want.sum(), atol=0.035)


def test_top_takes_the_better_end():
    value = np.array([3.0, 1.0, 2.0, np.nan])
    given = Candidates(ids_of(4), value=value)
    for direction, want in (("high", [0, 2, 1]), ("low", [1, 2, 0])):
        found = select(given, create("top", {"direction": direction}), Budget(9))
        assert found.rows.tolist() == want
        assert found.gains.tolist() == value[want].tolist()


def test_what_cannot_be_is_refused():
    for text in ("0", "-3", "ten", "tokens=", "flops=3", "1.5"):
        with pytest.raises(SelectionError, match="--budget"):
            Budget.parse(text)
    assert Budget.parse("tokens=1_000") == Budget(1000, "tokens")
    with pytest.raises(SelectionError, match="did you mean 'k_center'"):
        create("k_centre")
    with pytest.raises(SelectionError, match="--temperature means nothing to --method top"):
        create("top", {"temperature": 2.0})
    with pytest.raises(SelectionError, match="--temperature is 0"):
        create("gumbel", {"temperature": 0.0})
    with pytest.raises(SelectionError, match="--direction"):
        Top("up")


def drawn(rows, candidates, most, seed=0, order=None):
    """Return the names of stochastic picks, and their gains."""
    order = np.arange(len(rows)) if order is None else order
    names = ids_of(len(rows)).gather(order)
    method = create("facility_location", {"candidates": candidates})
    found = select(Candidates(names, embedding=rows[order]), method, Budget(most), seed=seed)
    return order[found.rows].tolist(), found.gains


def test_stochastic_facility_location_is_exact_in_budget_nests_and_is_free_of_order():
    rows = vectors(80, 5)
    whole, gains = drawn(rows, 6, 80)
    assert sorted(whole) == list(range(80))
    for most in (1, 2, 7, 30):
        assert drawn(rows, 6, most)[0] == whole[:most]
    shuffled = np.random.default_rng(1).permutation(80)
    assert drawn(rows, 6, 30, order=shuffled)[0] == whole[:30]
    assert drawn(rows, 6, 30, seed=1)[0] != whole[:30]
    covered = [oracle.coverage(rows, whole[: k + 1]) for k in range(6)]
    assert np.cumsum(gains[:6]) == pytest.approx(np.array(covered) / 32e6)


def test_stochastic_facility_location_of_all_candidates_is_greedy_and_of_few_keeps_its_promise():
    rows = vectors(12, 2, copies=0)
    assert drawn(rows, 12, 4)[0] == picks("facility_location", rows, 4)[0]
    best = max(oracle.coverage(rows, c) for c in combinations(range(12), 4))
    few = candidates_for(12, 4, 0.1)
    assert few < 12
    values = [oracle.coverage(rows, drawn(rows, few, 4, seed=s)[0]) for s in range(40)]
    assert np.mean(values) >= (1 - 1 / np.e - 0.1) * best
    one = [oracle.coverage(rows, drawn(rows, 1, 4, seed=s)[0]) for s in range(40)]
    assert np.mean(values) > np.mean(one)  # wrong: a random pick
    with pytest.raises(SelectionError, match="candidates=-1"):
        create("facility_location", {"candidates": -1})
