from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.unit_vectors import to_grid
from assets.scoring import knn_shapley
from assets.scoring.knn_shapley import KnnShapley
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError
from assets.scoring.registry import from_recipe

CONTEXT = ScoreContext()


def batch(rows, label, targets):
    n = len(rows)
    return ScoreBatch(
        [f"{i:032x}" for i in range(n)],
        label=pa.array([None if v is None else str(v) for v in label], pa.string()),
        embedding=np.asarray(rows, dtype=np.float32),
        role=pa.array(["train"] * (n - targets) + ["target"] * targets),
    )


def values(rows, label, targets, k=3):
    column, facts = KnnShapley(k).score_all(
        batch(rows, label, targets), np.arange(len(rows)), CONTEXT
    )
    return column, facts


def by_all_subsets(rows, label, targets, k):
    """The definition: weighted marginal worth over all 2^(n-1) subsets."""
    n = len(rows) - targets
    grid = to_grid(np.asarray(rows, dtype=np.float32)).astype(int)
    order = [
        sorted(range(n), key=lambda i: (-int(grid[i] @ grid[v]), i)) for v in range(n, len(rows))
    ]

    def worth(chosen):
        total = 0.0
        for v, near in zip(range(n, len(rows)), order, strict=True):
            nearest = [i for i in near if i in chosen][:k]
            total += sum(label[i] == label[v] for i in nearest) / k
        return total / targets

    result = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        result.append(
            sum(
                (worth({*some, i}) - worth(set(some))) / (n * comb(n - 1, size))
                for size in range(n)
                for some in combinations(others, size)
            )
        )
    everyone = worth(set(range(n)))
    return np.array(result), everyone


@settings(max_examples=25)
@given(st.integers(2, 7), st.integers(1, 3), st.integers(1, 8), st.integers(0, 1000))
def test_equals_the_definition_and_adds_up(n, targets, k, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, size=(n + targets, 3)) + np.array([0.5, 0, 0])  # with ties
    label = rng.integers(2, size=n + targets)
    label[:2] = [0, 1]
    want, worth = by_all_subsets(rows, label, targets, k)
    column, facts = values(rows, label, targets, k)
    assert np.allclose(column.values[:n], want, atol=1e-12)
    assert facts["worth"] == pytest.approx(worth, abs=1e-12)
    assert np.isnan(column.values[n:]).all()


def clouds(n=300, targets=60, flipped=0.1, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n + targets)
    rows = np.eye(3)[truth] + 0.2 * rng.normal(size=(n + targets, 3))
    label = truth.copy()
    wrong = rng.random(n + targets) < flipped
    wrong[n:] = False
    label[wrong] = (label[wrong] + 1) % 3
    return rows, label, wrong[:n]


def test_flipped_labels_are_worth_least():
    rows, label, wrong = clouds()
    column, _ = values(rows, label, 60, k=10)
    assert column.values[:300][wrong].max() < np.quantile(column.values[:300][~wrong], 0.2)


def test_equal_records_are_worth_the_same_and_blocks_do_not_matter(monkeypatch):
    rows, label, _ = clouds()
    rows[1], label[1] = rows[0], label[0]
    want, _ = values(rows, label, 60)
    assert want.values[0] == want.values[1]
    monkeypatch.setattr(knn_shapley, "BLOCK_CELLS", 700)
    assert np.array_equal(values(rows, label, 60)[0].values, want.values, equal_nan=True)


def test_names_of_classes_do_not_matter():
    rows, label, _ = clouds()
    want, _ = values(rows, label, 60)
    other, _ = values(rows, np.array([8, 2, 5])[label], 60)
    assert np.array_equal(want.values, other.values, equal_nan=True)


def test_every_row_without_a_value_says_why():
    rows, label, _ = clouds(20, 5)
    given_labels = [None, *label[1:].tolist()]
    rows[1] = 0
    column, facts = values(rows, given_labels, 5)
    assert column.reasons.to_list()[:3] == ["no label", "no embedding", None]
    assert set(column.reasons.to_list()[20:]) == {"not a train record"}
    assert (facts["rows"], facts["targets"]) == (18, 5)


def test_what_cannot_be_is_refused():
    rows, label, _ = clouds(20, 5)
    with pytest.raises(ScoringError, match="--target"):
        values(rows, label, 0)
    with pytest.raises(ScoringError, match="one class"):
        values(rows, [0] * 25, 5)
    with pytest.raises(ScoringError, match="k=0"):
        KnnShapley(0)
    with pytest.raises(ScoringError, match=r"only `sluice score` computes"):
        from_recipe(["knn_shapley"])
