"""Group-Shapley against enumeration, and the axioms of the value."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.scoring.group_shapley import GroupShapley
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.shapley_games import exact_shapley, truncated_monte_carlo

CONTEXT = ScoreContext(seed=1)


def game(players, seed=0):
    """A random game, neither additive nor monotone."""
    table = np.random.default_rng(seed).normal(size=2**players)
    return lambda members: float(table[int((members * 2 ** np.arange(players)).sum())])


def by_orders(worth, players):
    """The oracle: the definition, over all orders."""
    total = np.zeros(players)
    orders = list(permutations(range(players)))
    for order in orders:
        inside = np.zeros(players, dtype=bool)
        for player in order:
            before = worth(inside)
            inside[player] = True
            total[player] += worth(inside) - before
    return total / len(orders)


@pytest.mark.parametrize("players", [1, 2, 5])
def test_enumeration_is_the_mean_over_orders(players):
    worth = game(players, seed=players)
    assert np.allclose(exact_shapley(worth, players).values, by_orders(worth, players))


@given(st.integers(1, 8), st.integers(0, 99))
@settings(max_examples=40)
def test_values_add_up_exactly_and_approximately(players, seed):
    worth = game(players, seed)
    whole = worth(np.ones(players, bool)) - worth(np.zeros(players, bool))
    assert np.isclose(exact_shapley(worth, players).values.sum(), whole)
    assert np.isclose(truncated_monte_carlo(worth, players, 7, 0.0, seed).values.sum(), whole)


@pytest.mark.parametrize("players", [3, 8])
def test_monte_carlo_comes_to_the_exact_values(players):
    worth = game(players, seed=3)
    exact = exact_shapley(worth, players).values
    found = truncated_monte_carlo(worth, players, 600, 0.0, seed=0)
    assert (np.abs(found.values - exact) < 5 * found.errors + 1e-12).all()
    assert found.errors.max() < 0.08
    few = truncated_monte_carlo(worth, players, 40, 0.0, seed=0)
    assert few.errors.mean() > 2 * found.errors.mean()
    assert found.worths <= 2**players


def test_dummies_and_twins():
    def worth(members):  # a glove game: two left gloves, a right one, and one who holds nothing
        return float(min(members[:2].any(), members[2]))

    for found in (exact_shapley(worth, 4), truncated_monte_carlo(worth, 4, 2000, 0.0, 0)):
        assert found.values[3] == 0
        assert found.values == pytest.approx([1 / 6, 1 / 6, 2 / 3, 0], abs=0.03)


def test_truncation_saves_worths_and_costs_its_tolerance_at_most():
    def worth(members):  # saturates: the first few decide
        return 1.0 - 0.5 ** members.sum()

    whole = truncated_monte_carlo(worth, 16, 50, 0.0, 0)
    cut = truncated_monte_carlo(worth, 16, 50, 0.05, 0)
    assert cut.worths < whole.worths / 2
    assert abs(cut.values.sum() - whole.values.sum()) <= 0.05
    assert np.allclose(exact_shapley(worth, 8).values, (1 - 0.5**8) / 8)


def records(sizes, seed=0, target=120, noise=()):
    """Groups of labelled clouds: `sizes` by name, those in `noise` with random labels; a clean target."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(10, 3)))[0].T
    vectors, label, group, role = [], [], [], []
    for name, size in [*sizes.items(), (None, target)]:
        truth = rng.integers(3, size=size)
        vectors.append(centres[truth] + 0.3 * rng.normal(size=(size, 10)))
        said = rng.integers(3, size=size) if name in noise else truth
        label += [str(v) for v in said]
        group += [name] * size
        role += ["target" if name is None else "train"] * size
    return ScoreBatch(
        [f"{i:032x}" for i in range(len(label))],
        label=pa.array(label),
        embedding=np.concatenate(vectors).astype(np.float32),
        group=pa.array(group, pa.string()),
        role=pa.array(role),
    )


def values(scorer, given):
    state = fit(scorer, [given], CONTEXT)
    column = scorer.score(given, state)
    groups = given.group.to_pylist()
    found = {g: v for g, v in zip(groups, column.values, strict=True) if g is not None}
    return found, state, column


SIZES = {"good": 60, "small": 8, "bad": 60, "fine": 40}


def test_groups_add_up_and_noise_is_worth_least():
    given = records(SIZES, noise=("bad",))
    found, state, column = values(GroupShapley(), given)
    assert sum(found.values()) == pytest.approx(state.meta["worth"] - state.meta["chance"])
    assert min(found, key=found.get) == "bad"
    assert state.meta["coalitions"] == 16
    assert state.meta["largest_error"] == 0
    assert set(column.reasons.drop_nulls()) == {"no group"}  # of the target
    sampled, state, _ = values(GroupShapley(exact_groups=0, orders=400), given)
    assert sampled == pytest.approx(found, abs=5 * state.meta["largest_error"] + 1e-9)
    each, _, _ = values(GroupShapley(per="record"), given)
    assert each == pytest.approx({g: v / SIZES[g] for g, v in found.items()})


def test_a_coalition_is_worth_what_a_ridge_classifier_of_its_records_is():
    from sklearn.linear_model import Ridge

    from assets.kernels.unit_vectors import SCALE, to_grid

    given = records({"a": 30, "b": 20}, noise=("b",))
    _, state, _ = values(GroupShapley(), given)
    unit = to_grid(given.embedding.astype(np.float16).astype(np.float32)).astype(float) / SCALE
    rows = np.column_stack([unit, np.ones(len(unit))])
    label = np.array(given.label.to_pylist(), dtype=int)
    penalty = 0.1 * (rows[:50] ** 2).sum() / 11
    head = Ridge(alpha=penalty, fit_intercept=False).fit(rows[:50], np.eye(3)[label[:50]])
    right = head.predict(rows[50:]).argmax(1) == label[50:]
    assert state.meta["worth"] == pytest.approx(right.mean())
    assert state.meta["chance"] == pytest.approx(1 / 3)


def test_names_of_groups_have_no_influence():
    given = records(SIZES, noise=("bad",))
    names = {"good": "z", "small": "y", "bad": "a", "fine": "m"}
    renamed = ScoreBatch(
        given.ids,
        label=given.label,
        embedding=given.embedding,
        group=pa.array([names.get(g) for g in given.group.to_pylist()]),
        role=given.role,
    )
    for scorer in (GroupShapley(), GroupShapley(exact_groups=0, orders=6)):
        want, _, _ = values(scorer, given)
        got, _, _ = values(scorer, renamed)
        assert {names[g]: v for g, v in want.items()} == pytest.approx(got, abs=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ScoringError, match=r"found 1 groups.*--group COL"):
        fit(GroupShapley(), [records({"a": 20})], CONTEXT)
    with pytest.raises(ScoringError, match="found no target record"):
        fit(GroupShapley(), [records({"a": 20, "b": 20}, target=0)], CONTEXT)
    for settings_ in ({"per": "x"}, {"orders": 1}, {"penalty": 0}, {"exact_groups": 30}):
        with pytest.raises(ScoringError, match="cannot use"):
            GroupShapley(**settings_)
    given = records({"a": 20, "b": 20})
    state = fit(GroupShapley(), [given], CONTEXT)
    strange = ScoreBatch(
        ["x", "y"], embedding=np.eye(2, 10, dtype=np.float32), group=pa.array(["c", None])
    )
    told = GroupShapley().score(strange, state).reasons.to_list()
    assert told == ["the group has no labelled train record", "no group"]
