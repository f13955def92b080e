"""The cells in which a neighbour is sought: by the definition, one record at a time, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.unit_vectors import SCALE, to_grid
from assets.scoring import redundancy_cells
from assets.scoring.protocol import ScoringError
from assets.scoring.redundancy import fit_cells, semantic_redundancy
from assets.scoring.redundancy_cells import certain_from, place, tasks


def sphere(n, d, seed):
    """Return rows in all directions, so that some neighbour lies just across each border."""
    rows = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return rows, [f"{i:032x}" for i in range(n)]


def oracle(grid, centroids, probes, reach):
    """Choose cells by the distance to each border, one record and one cell at a time."""
    whole, found, capped = centroids.astype(np.int64), [], []
    for row in grid.astype(np.int64):
        products = [int(row @ c) for c in whole]
        own = products.index(max(products))
        within = []
        for cell, product in enumerate(products):
            apart = np.linalg.norm((whole[own] - whole[cell]).astype(float))
            if np.float32(products[own] - product) <= np.float32(reach * SCALE * apart):
                within.append(cell)
        within.sort(key=lambda c: (-products[c], c))
        capped.append(len(within) > probes)
        found.append((within[:probes] + [-1] * probes)[:probes])
    return np.array(found), np.array(capped)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 9), st.floats(0.01, 1.0), st.integers(0, 99))
def test_cells_within_reach_are_chosen_nearest_first(n, probes, reach, seed):
    rows, ids = sphere(40, 6, seed)
    rows[3] = rows[5]
    model = fit_cells(rows, ids, cells=9)
    grid = to_grid(rows[:n])
    probes = min(probes, len(model.centroids))
    cells, capped = oracle(grid, model.centroids, probes, reach)
    placed = place(grid, model, probes, reach, "cpu")
    assert np.array_equal(placed.cells, cells)
    assert np.array_equal(placed.capped, capped)


def test_tasks_hold_each_pair_once():
    rows, ids = sphere(300, 5, 1)
    model = fit_cells(rows, ids, cells=8)
    placed = place(to_grid(rows), model, 3, 0.4, "cpu")
    rng = np.random.default_rng(0)
    seek, fresh = rng.random(300) < 0.5, rng.random(300) < 0.3
    seek |= fresh
    count = np.zeros((300, 300), dtype=int)
    for task in tasks(placed, 8, seek, fresh):
        assert (np.diff(task.queries) > 0).all()
        assert (np.diff(task.members) > 0).all()
        count[np.ix_(task.queries, task.members)] += 1
    sought = (placed.cells[:, None, :] == placed.cells[None, :, :1]).any(axis=2)
    want = sought & (seek[:, None] | fresh[None, :])
    assert np.array_equal(count, want.astype(int))


def missed(found, exact, threshold):
    near = exact.values >= threshold
    assert near.sum() > 100
    return int((found.values != exact.values)[near].sum())


@pytest.mark.parametrize("d", [3, 8])
def test_no_neighbour_is_missed_from_the_cosine_that_is_promised(d, monkeypatch):
    rows, ids = sphere(4000, d, 2)
    rank = np.random.default_rng(3).permutation(4000)
    exact = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=1))
    model = fit_cells(rows, ids, cells=25)
    reach = 0.2 if d == 3 else 0.5
    found = semantic_redundancy(rows, rank, ids, model, probes=25, reach=reach)
    assert found.certain_from == pytest.approx(np.sqrt(1 - reach**2), abs=2e-3)
    assert missed(found, exact, found.certain_from) == 0
    assert found.capped == 0
    assert 1 < found.cells_sought < 20
    limits = redundancy_cells._limits
    # wrong: half the distance; the distance as if all centroids were one apart
    wrong = (lambda c, r: limits(c, r / 2), lambda c, r: np.full((len(c), len(c)), r * 4e6, "f4"))
    for mutant in wrong:
        monkeypatch.setattr(redundancy_cells, "_limits", mutant)
        short = semantic_redundancy(rows, rank, ids, model, probes=25, reach=reach)
        assert missed(short, exact, found.certain_from) > 0
        monkeypatch.undo()


def test_records_with_too_many_cells_within_reach_are_counted():
    rows, ids = sphere(2000, 8, 4)
    model = fit_cells(rows, ids, cells=20)
    rank = np.arange(2000)
    few = semantic_redundancy(rows, rank, ids, model, probes=2, reach=0.5)
    placed = place(to_grid(rows), model, 20, 0.5, "cpu")
    assert few.capped == pytest.approx(((placed.cells >= 0).sum(axis=1) > 2).mean())
    assert few.cells_sought <= 2
    assert certain_from(1.0) < certain_from(0.5) < certain_from(0.1) <= 1


def test_a_reach_that_is_none_is_refused():
    rows, ids = sphere(5, 4, 0)
    model = fit_cells(rows, ids, cells=1)
    for reach in (0.0, 1.5):
        with pytest.raises(ScoringError, match=f"reach {reach}"):
            semantic_redundancy(rows, np.arange(5), ids, model, reach=reach)
