from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError
from assets.scoring.redundancy import RedundancyScorer, fit_cells, semantic_redundancy


def oracle(vectors, rank):
    """All pairs, one record at a time, in whole numbers: (largest cosine, earliest neighbour)."""
    grid = to_grid(vectors).astype(np.int64)
    values, neighbour = np.full(len(grid), np.nan), np.full(len(grid), -1)
    for i in range(len(grid)):
        if not grid[i].any():
            continue
        best, at = -1.0, -1
        for j in sorted(range(len(grid)), key=lambda j: rank[j]):
            if rank[j] >= rank[i]:
                break
            cosine = int(grid[i] @ grid[j]) / UNIT
            if grid[j].any() and (at < 0 or cosine > best):
                best, at = cosine, j
        values[i], neighbour[i] = best, at
    return values, neighbour


def any_neighbour(vectors, rank):
    """A wrong redundancy: the nearest of all others, so that of two twins both are redundant."""
    grid = to_grid(vectors).astype(float)
    cosine = grid @ grid.T / UNIT
    np.fill_diagonal(cosine, -1)
    return cosine.max(axis=1)


def sample(n, d=16, seed=0, copies=0.3):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    for i in range(1, n):
        if rng.random() < copies:
            rows[i] = rows[rng.integers(i)] + rng.choice([0.0, 0.05]) * rng.normal(size=d)
    return rows, rng.permutation(n), [f"{i:032x}" for i in range(n)]


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(0, 1000))
def test_one_cell_equals_all_pairs(n, seed):
    rows, rank, ids = sample(n, seed=seed)
    rows[0] = 0
    if n > 3:
        rows[3] = np.nan
    found = semantic_redundancy(
        rows, rank, ids, fit_cells(np.eye(16), list("abcdefghijklmnop"), cells=1)
    )
    values, neighbour = oracle(rows, rank)
    assert np.array_equal(found.values, values, equal_nan=True)
    assert np.array_equal(found.neighbour, neighbour)
    assert found.recall == 1.0


def test_all_cells_probed_equal_all_pairs_across_tiles():
    rows, rank, ids = sample(6000, d=24, seed=1)
    one = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=1))
    many = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=7), probes=7)
    assert np.array_equal(one.values, many.values)
    assert np.array_equal(one.neighbour, many.neighbour)


def test_recall_is_what_it_says():
    rows, rank, ids = sample(8000, d=32, seed=2)
    exact = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=1))
    found = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids), probes=4, check=2000)
    true = (found.values == exact.values).mean()
    assert found.checked == 2000
    assert abs(found.recall - true) < 4 * np.sqrt(true * (1 - true) / 2000) + 1e-9
    near = exact.values >= 0.8
    assert (found.values == exact.values)[near].mean() > 0.995
    assert found.recall_near > 0.99
    assert (found.values <= exact.values).all()
    assert found.pairs < 8000 * 8000 / 4


def test_exactly_one_of_a_group_of_copies_survives():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 32)).astype(np.float32)
    rows = np.concatenate([base, base[:50], base[:50]])
    rank, ids = rng.permutation(300), [str(i) for i in range(300)]
    found = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=1)).values
    group = np.concatenate([np.arange(200), np.arange(50), np.arange(50)])
    kept = found <= 0.95
    assert np.bincount(group[kept]).tolist() == [1] * 200
    first = np.array([rank[group == g].min() for g in range(200)])
    assert sorted(rank[kept]) == sorted(first)
    wrong = any_neighbour(rows, rank) <= 0.95
    assert np.bincount(group[wrong], minlength=200).min() == 0


def test_thresholds_sweep_monotonically_and_cover():
    rows, rank, ids = sample(800, seed=4)
    found = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=1))
    kept = [set(np.flatnonzero(found.values <= t)) for t in (0.5, 0.8, 0.95, 1.1)]
    assert all(a <= b for a, b in pairwise(kept))
    assert len(kept[-1]) == 800
    dropped = np.flatnonzero(found.values > 0.8)
    assert (rank[found.neighbour[dropped]] < rank[dropped]).all()


def test_order_of_rows_does_not_matter_to_cells_and_values():
    rows, rank, ids = sample(6000, d=24, seed=5)
    context = ScoreContext(seed=1)
    scorer = RedundancyScorer(cells=20, probes=2)
    column, about = scorer.score_all(ScoreBatch(ids=ids, embedding=rows), rank, context)
    order = np.random.default_rng(0).permutation(6000)
    again, _ = scorer.score_all(
        ScoreBatch(ids=[ids[i] for i in order], embedding=rows[order]), rank[order], context
    )
    assert np.array_equal(again.values, column.values[order])
    assert about["cells"] == 20
    assert about["probes"] == 2


def test_later_records_do_not_change_earlier_ones_under_one_calibration():
    rows, rank, ids = sample(3000, seed=6)
    model = fit_cells(rows[:2000], ids[:2000], cells=12)
    rank = np.arange(3000)
    before = semantic_redundancy(rows[:2000], rank[:2000], ids[:2000], model, probes=3)
    after = semantic_redundancy(rows, rank, ids, model, probes=3)
    assert np.array_equal(after.values[:2000], before.values)


def test_memory_maps_are_read(tmp_path):
    rows, rank, ids = sample(500)
    np.save(tmp_path / "v.npy", rows.astype(np.float16))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    model = fit_cells(mapped, ids, cells=1)
    want = semantic_redundancy(rows.astype(np.float16), rank, ids, model).values
    assert np.array_equal(semantic_redundancy(mapped, rank, ids, model).values, want)


def test_what_cannot_be_is_refused():
    rows, rank, ids = sample(5)
    model = fit_cells(rows, ids, cells=1)
    with pytest.raises(ScoringError, match="ranks repeat"):
        semantic_redundancy(rows, np.zeros(5, dtype=int), ids, model)
    with pytest.raises(ScoringError, match="0 probes"):
        semantic_redundancy(rows, rank, ids, model, probes=0)
    with pytest.raises(ScoringError, match="cells is -1"):
        fit_cells(rows, ids, cells=-1)
    column, about = RedundancyScorer().score_all(ScoreBatch(ids=ids), rank, ScoreContext())
    assert np.isnan(column.values).all()
    assert column.reason_counts() == {"no embedding": 5}
    assert about["cells"] == 0
