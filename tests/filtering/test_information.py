"""What a further run is worth, against brute force, and that runs chosen by it beat equal ones at equal cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.filtering.proxies.information import choose_runs, expected_gain, open_loss

NUMBERS = st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 3))


def slow_gain(mean, shift):
    """The same expectation on a grid of 40,001 points."""
    z = np.linspace(-9, 9, 40_001)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    lowest = (mean[None, :] + z[:, None] * shift[None, :]).min(axis=1)
    return mean.min() - np.trapezoid(lowest * density, z)


@settings(max_examples=60)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=7))
def test_the_gain_is_the_expectation_and_never_negative(lines):
    """Mutants: maximum for minimum; lines of equal slope kept twice; the density's sign."""
    mean, shift = np.array(lines).T
    found = expected_gain(mean, shift[None, :])[0]
    assert found == pytest.approx(slow_gain(mean, shift), abs=2e-6)
    assert found >= 0.0


def test_a_run_that_moves_all_plans_alike_or_none_is_worth_nothing():
    mean = np.array([0.30, 0.31, 0.35])
    assert expected_gain(mean, np.array([[0.0, 0, 0], [0.2, 0.2, 0.2]])) == pytest.approx([0, 0])
    assert expected_gain(mean, np.array([[0.0, 0.02, 0]]))[0] > 1e-4


def test_the_open_loss_is_small_where_the_choice_is_clear_or_does_not_matter():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4000, 1))
    clear = np.hstack([base, base + 5 + 0.5 * rng.standard_normal((4000, 1))])
    assert open_loss(clear, 0) == 0.0
    twins = np.hstack([base, base + 1e-4 * rng.standard_normal((4000, 1))])
    assert open_loss(twins, 0) < 2e-4
    even = np.hstack([base, base + rng.standard_normal((4000, 1))])
    # the 90 % point of a standard normal difference
    assert open_loss(even, 0) == pytest.approx(1.2816, abs=0.08)
    assert open_loss(clear, 1) > 5


def world(seed, *, parts=5, plans=4, noise=0.3):
    """A linear world: plans and runs are read off a hidden vector, and beliefs stay exactly normal."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal(parts)
    reads = np.vstack([np.eye(parts)[[0, 1]], np.ones((1, parts)) / 2, np.eye(parts)[[4]]])[:plans]
    # of ten possible runs four see what the plans depend on; the dear ones see it more clearly
    runs = np.vstack([np.eye(parts), 2 * np.eye(parts)])
    work = np.concatenate([np.ones(parts), np.full(parts, 2.0)])
    return rng, hidden, reads, runs, work, noise


def posterior(measured, parts, noise):
    if not measured:
        return np.zeros(parts), np.eye(parts)
    rows = np.array([r for r, _ in measured])
    values = np.array([v for _, v in measured])
    precision = np.eye(parts) + rows.T @ rows / noise**2
    covariance = np.linalg.inv(precision)
    return covariance @ rows.T @ values / noise**2, covariance


def study(seed, *, by_rule, allowed=4.0):
    """Spend the work by the rule or by turns, and return the loss of the plan that is then taken."""
    rng, hidden, reads, runs, work, noise = world(seed)
    measured, turn = [], 0
    while allowed > 1e-9:
        mean, covariance = posterior(measured, len(hidden), noise)
        if by_rule:
            root = np.linalg.cholesky(covariance)
            draws = mean + np.random.default_rng(7).standard_normal((300, len(hidden))) @ root.T
            picks = choose_runs(
                [draws @ reads.T],
                draws @ runs.T,
                work,
                noise=noise,
                allowed=allowed,
                most=1,
                least_gain=1e-3,
            )
            if not picks:
                break
            at = picks[0].candidate
        else:
            at, turn = turn % 5, turn + 1
        allowed -= work[at]
        measured.append((runs[at], float(runs[at] @ hidden + noise * rng.standard_normal())))
    mean, _ = posterior(measured, len(hidden), noise)
    errors = reads @ hidden
    return errors[np.argmin(reads @ mean)] - errors.min(), 4.0 - allowed


def test_chosen_runs_beat_runs_by_turns_at_no_more_cost():
    rule = np.array([study(seed, by_rule=True) for seed in range(400)])
    turns = np.array([study(seed, by_rule=False) for seed in range(400)])
    gap = turns[:, 0] - rule[:, 0]
    assert gap.mean() > 2 * gap.std() / np.sqrt(len(gap))
    assert (rule[:, 1] <= turns[:, 1] + 1e-9).all()


def choose(plans, runs, **more):
    given = {"noise": 0.1, "allowed": 10.0, "most": 5, "least_gain": 1e-3} | more
    return choose_runs(plans, runs, np.ones(runs.shape[1]), **given)


def test_nothing_is_chosen_where_nothing_is_gained_or_allowed():
    rng = np.random.default_rng(1)
    hidden = rng.standard_normal((500, 2))
    decided = [np.stack([hidden[:, 0], hidden[:, 0] + 9.0], axis=1)]
    assert choose(decided, hidden) == []
    open_plans = [hidden]
    assert choose(open_plans, hidden)
    assert choose(open_plans, hidden, allowed=0.5) == []
    assert choose(open_plans, hidden, most=0) == []
    assert choose(open_plans, hidden, noise=1e6) == []
    assert choose([], hidden) == []
    # a run that has nothing to do with the plans is left alone
    unrelated = np.hstack([hidden[:, :1], rng.standard_normal((500, 1))])
    assert {pick.candidate for pick in choose(open_plans, unrelated, least_gain=0.02)} == {0}


def test_the_choice_heeds_cost_what_was_chosen_and_the_number_of_seeds():
    """Mutants: gain without cost; no update after a choice; one seed only."""
    rng = np.random.default_rng(2)
    hidden = rng.standard_normal((800, 2))
    both = np.hstack([hidden, hidden[:, :1]])
    picks = choose_runs(
        [hidden],
        both,
        np.array([5.0, 1.0, 1.0]),
        noise=0.01,
        allowed=20,
        most=9,
        least_gain=0.01,
    )
    # the cheap twin of run 0 is taken, once, then the other plan's run; then all is known
    assert sorted(pick.candidate for pick in picks) == [1, 2]
    assert all(pick.replicates == 1 for pick in picks)
    hard = [np.stack([0 * hidden[:, 0], 0.8 + 0.5 * hidden[:, 0]], axis=1)]
    few = choose_runs(
        hard, hidden[:, :1], np.ones(1), noise=2.5, allowed=9, most=4, least_gain=1e-6
    )
    assert few[0].replicates == 4
    again = choose_runs(
        hard, hidden[:, :1], np.ones(1), noise=2.5, allowed=9, most=4, least_gain=1e-6
    )
    assert few == again
