from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.filtering import data_constrained, decay, saturation, utility
from tests.filtering.released import (
    BUDGETS,
    CODE_UTILITY,
    DATA,
    EFFECTIVE_DATA,
    PAPER_UTILITY,
    SIZE,
    UTILITY,
    error,
)
from tests.oracles import stepwise_laws as oracle


def nested(law, n, k, **kw):
    p = UTILITY if law is utility else DATA
    return float(
        law.mixture_error(
            n,
            np.full(k, 1 / k),
            np.full(k, SIZE),
            b=p["b"][:k],
            tau=p["tau"][:k],
            floor=0.1,
            anchor=p["anchor"],
            **kw,
        )
    )


@pytest.mark.parametrize(
    ("law", "form", "golden"),
    [
        (utility, "paper", PAPER_UTILITY),
        (utility, "code", CODE_UTILITY),
        (saturation, None, EFFECTIVE_DATA),
    ],
)
def test_nested_unions_match_the_released_code(law, form, golden):
    kw = {} if form is None else {"form": form}
    for n, row in zip(BUDGETS, golden, strict=True):
        for k, expected in enumerate(row, start=1):
            assert nested(law, n, k, **kw) == pytest.approx(expected, rel=1e-9)


def test_single_pools_match_the_released_code():
    expected = {
        "paper": (0.8296401063147294, 0.7142524920391347),
        "code": (0.8175287362543828, 0.6882421336379344),
    }
    for form, (early, late) in expected.items():
        assert error("utility", 32e6, 0, form) == pytest.approx(early, rel=1e-9)
        assert error("utility", 640e6, 0, form) == pytest.approx(late, rel=1e-9)
    assert error("utility", 5e6, 0) == pytest.approx(1.0649268648742383, rel=1e-9)
    assert error("saturation", 5e6, 0) == pytest.approx(1.0827775844798375, rel=1e-9)
    assert error("saturation", 100e6, 0) == pytest.approx(0.7255281611966932, rel=1e-9)
    for n, expected_n in (
        (20e6, 19_144_942),
        (30e6, 27_215_828),
        (128e6, 67_619_082),
        (640e6, 84_118_534),
    ):
        n_eff = SIZE * np.exp(decay.log_worth_power(n / SIZE, 6.7273))
        assert n_eff == pytest.approx(expected_n, rel=2e-5)


def test_floor_inside_the_product_is_not_the_paper_form():
    # mutant: the released placement where the paper's is asked differs by up to .03
    paper, code = error("utility", 640e6, 0, "paper"), error("utility", 640e6, 0, "code")
    assert abs(paper - code) > 0.02
    assert abs(nested(utility, 640e6, 2, form="paper") - PAPER_UTILITY[3][1]) < 1e-9
    assert abs(nested(utility, 640e6, 2, form="code") - PAPER_UTILITY[3][1]) > 0.02


def test_a_pool_is_worth_a_finite_number_of_passes():
    taus = (1.4545, 2.27, 2.909, 4, 4.36, 5.27, 6.73, 8.55, 10, 32.7)
    limits = (2.065, 2.781, 3.336, 4.272, 4.579, 5.351, 6.581, 8.104, 9.311, 27.974)
    four = (1.926, 2.330, 2.557, 2.831, 2.900, 3.044, 3.211, 3.352, 3.433, 3.808)
    for tau, limit, worth in zip(taus, limits, four, strict=True):
        assert decay.epochs_limit(tau) == pytest.approx(limit, abs=6e-4)
        assert np.exp(decay.log_worth_power(4.0, tau)) == pytest.approx(worth, abs=6e-4)


@settings(max_examples=60)
@given(
    passes=st.floats(0.01, 60),
    tau=st.floats(0.3, 1000),
    b=st.floats(-1.5, -0.01),
    form=st.sampled_from(["paper", "code"]),
)
def test_one_pool_equals_the_loop_over_passes(passes, tau, b, form):
    n, unique = passes * 1000.0, 1000.0
    kw = {"b": b, "tau": tau, "floor": 0.07, "anchor": 30.0}
    assert utility.error(n, unique, form=form, **kw) == pytest.approx(
        oracle.utility_error(n, unique, form=form, **kw), rel=1e-10
    )
    assert np.exp(decay.log_worth_step(passes, tau)) * unique == pytest.approx(
        oracle.effective_data(n, unique, tau), rel=1e-10
    )


@settings(max_examples=40)
@given(
    data=st.data(),
    pools=st.integers(1, 4),
    n=st.floats(100, 2e4),
    kappa=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_unequal_mixtures_equal_stepwise_integration(data, pools, n, kappa):

    def number(low, high):
        return data.draw(st.lists(st.floats(low, high), min_size=pools, max_size=pools))

    raw, unique = np.array(number(0.05, 1.0)), np.array(number(80, 3000))
    weights = raw / raw.sum()
    b, tau = -np.array(number(0.02, 0.8)), np.array(number(0.5, 20))
    got = utility.mixture_error(
        n, weights, unique, b=b, tau=tau, floor=0.1, anchor=50.0, kappa=kappa
    )
    assert float(got) == pytest.approx(
        oracle.mixture_utility_error(n, weights, unique, b, tau, 0.1, 50.0, kappa), rel=1e-9
    )


@settings(max_examples=40)
@given(
    n=st.floats(100, 1e5),
    split=st.floats(0.05, 0.95),
    tau=st.floats(0.5, 20),
    b=st.floats(-0.8, -0.02),
)
def test_cutting_one_pool_in_two_changes_nothing_without_the_bonus(n, split, tau, b):
    whole, parts = np.array([1000.0]), np.array([split, 1 - split]) * 1000
    for law in (utility, saturation, data_constrained):
        kw = {"floor": 0.1, "anchor": 50.0, "kappa": 0.0}
        one = law.mixture_error(n, np.ones(1), whole, b=np.array([b]), tau=np.array([tau]), **kw)
        two = law.mixture_error(n, parts / 1000, parts, b=np.full(2, b), tau=np.full(2, tau), **kw)
        assert float(two) == pytest.approx(float(one), rel=1e-9)


def test_general_saturation_path_equals_the_fast_one():
    weights, unique = np.array([0.5, 0.5]), np.array([1000.0, 1000.0])
    kw = {"b": np.array([-0.3, -0.1]), "tau": np.array([3.0, 5.0]), "floor": 0.1, "anchor": 50.0}
    fast = saturation.mixture_error(9000.0, weights, unique, **kw)
    slow = saturation.mixture_error(9000.0, weights, unique * np.array([1, 1 + 1e-7]), **kw)
    assert float(fast) == pytest.approx(float(slow), rel=1e-6)


def test_a_millionth_of_a_giant_pool_buys_nothing():
    # mutant: tau (U_total/U_i)^kappa lets a pool that is hardly drawn lower .714 to .547
    tau, b = np.array([74 / 11, 2.0]), np.array([-0.16, -0.01])
    weights, unique = np.array([1 - 1e-6, 1e-6]), np.array([SIZE, 1.28e9])
    kw = {"b": b, "floor": 0.1, "anchor": 4e6}
    alone = error("utility", 640e6, 0)
    ours = utility.mixture_error(640e6, weights, unique, tau=tau, kappa=1.0, **kw)
    assert float(ours) == pytest.approx(float(alone), abs=1e-4)
    mutant = utility.mixture_error(
        640e6, weights, unique, tau=tau * unique.sum() / unique, kappa=0.0, **kw
    )
    assert float(mutant) == pytest.approx(0.547341, abs=1e-3)


@pytest.mark.parametrize("law", ["utility", "saturation"])
def test_continuous_at_pass_boundaries_and_falling(law):
    n = np.linspace(1e6, 200e6, 4001)
    assert (np.diff(error(law, n, 0)) < 0).all()
    for k in (1, 2, 3, 7):
        left, right = error(law, SIZE * k * (1 - 1e-12), 0), error(law, SIZE * k * (1 + 1e-12), 0)
        assert left == pytest.approx(right, rel=1e-9)


def test_huge_repetition_is_safe():
    assert np.isfinite(decay.log_worth_power(1e9, 1e3))
    exact = np.sum(
        0.5 ** (np.arange(1, 20000) / 1e3) * np.log(np.arange(2, 20001) / np.arange(1, 20000))
    )
    assert decay.log_worth_power(20000.0, 1e3) == pytest.approx(exact, abs=1e-7)
    # mutant: 1 - exp(-x) without expm1 loses all digits when R is huge
    big = 1e14
    worth = np.exp(decay.log_worth_exponential(2.0, big * np.log(2)))
    assert worth == pytest.approx(2.0, rel=1e-12)
    naive = 1 + big * (1 - np.exp(-1.0 / big))
    assert abs(naive - 2.0) > 1e-4


def test_data_constrained_losses_match_the_published_parameters():
    p = data_constrained.DataConstrainedParameters(
        np.exp(6.255414),
        np.exp(7.3049974),
        np.exp(0.6254804),
        0.3526596,
        0.3526596,
        15.387756,
        5.309743,
    )
    cases = [
        (2.81e9, 55e9, 55e9, 2.354099),
        (2.81e9, 55e9, 14e9, 2.376862),
        (2.81e9, 55e9, 4e9, 2.472039),
        (2.81e9, 55e9, 1.25e9, 2.701206),
        (1e9, 20e9, 5e9, 2.597458),
        (1e8, 1e10, 1e8, 3.890115),
    ]
    for n, d, u, expected in cases:
        assert data_constrained.loss(n, d, u, p) == pytest.approx(expected, abs=1e-6)
