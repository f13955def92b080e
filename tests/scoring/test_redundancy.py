from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScorerState, ScoringError
from assets.scoring.redundancy import (
    SEEK,
    Known,
    RedundancyScorer,
    fit_cells,
    semantic_redundancy,
)


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


@settings(max_examples=40)
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
    many = semantic_redundancy(rows, rank, ids, fit_cells(rows, ids, cells=7), probes=7, reach=1.0)
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


def changed(rows, ids, *, gone, new, seed):
    """Return a later lake: some records are gone, some are new; with the earlier position of each, or -1."""
    rng = np.random.default_rng(seed)
    stay = np.sort(rng.permutation(len(rows))[gone:])
    fresh = rng.normal(size=(new, rows.shape[1])).astype(np.float32)
    fresh[::2] = rows[rng.integers(len(rows), size=len(fresh[::2]))] + 0.01
    order = rng.permutation(len(stay) + new)
    before = np.concatenate([stay, np.full(new, -1)])[order]
    later = np.concatenate([rows[stay], fresh])[order]
    names = [*np.array(ids)[stay], *(f"{i + 10**6:032x}" for i in range(new))]
    return later, [names[i] for i in order], before


@settings(max_examples=25)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 1000), st.sampled_from([1, 6]))
def test_a_search_that_knows_the_last_one_equals_a_whole_one(gone, new, seed, cells):
    rows, _, ids = sample(60, seed=seed)
    rows[5] = 0
    model = fit_cells(rows, ids, cells=cells)
    rank = {name: place for place, name in enumerate(np.random.default_rng(seed).permutation(ids))}
    first = semantic_redundancy(rows, np.array([2 * rank[n] for n in ids]), ids, model, probes=2)
    later, names, before = changed(rows, ids, gone=gone, new=new, seed=seed)
    places = np.array([2 * rank[n] if n in rank else 2 * (hash64_of(n) % 60) + 1 for n in names])
    places = np.argsort(np.argsort(places, kind="stable"), kind="stable")
    known = known_neighbours_of(first.neighbour, before)
    whole = semantic_redundancy(later, places, names, model, probes=2)
    quick = semantic_redundancy(later, places, names, model, known, probes=2)
    assert np.array_equal(quick.values, whole.values, equal_nan=True)
    assert np.array_equal(quick.neighbour, whole.neighbour)
    assert quick.pairs <= whole.pairs


def hash64_of(name):
    return int(name, 16) * 2654435761


def known_neighbours_of(neighbour, before):
    """The oracle's own bookkeeping: where each record's earlier neighbour is now."""
    now = {old: at for at, old in enumerate(before) if old >= 0}
    nearest = np.full(len(before), SEEK)
    for at, old in enumerate(before):
        if old >= 0:
            nearest[at] = -1 if neighbour[old] < 0 else now.get(neighbour[old], SEEK)
    return Known(nearest, before < 0)


def test_what_is_new_costs_in_proportion():
    rows, _, ids = sample(3000, seed=8)
    model = fit_cells(rows, ids, cells=1)
    rank = np.arange(3000)
    first = semantic_redundancy(rows[:2990], rank[:2990], ids[:2990], model)
    before = np.concatenate([np.arange(2990), np.full(10, -1)])
    known = known_neighbours_of(first.neighbour, before)
    found = semantic_redundancy(rows, rank, ids, model, known)
    assert found.pairs <= 2 * 10 * 3000
    assert np.array_equal(found.values, semantic_redundancy(rows, rank, ids, model).values)


def test_a_new_record_that_is_said_to_be_known_is_refused():
    rows, rank, ids = sample(5)
    model = fit_cells(rows, ids, cells=1)
    wrong = Known(np.full(5, -1), np.array([True, False, False, False, False]))
    with pytest.raises(ScoringError, match="fresh record"):
        semantic_redundancy(rows, rank, ids, model, wrong)


def test_cells_are_read_back_from_the_calibration():
    rows, rank, ids = sample(300, seed=9)
    scorer = RedundancyScorer(cells=5, probes=1)
    batch = ScoreBatch(ids=ids, embedding=rows)
    cells = scorer.fit(batch, ScoreContext())
    again = scorer.from_state(ScorerState.from_bytes(scorer.to_state(cells).to_bytes()))
    want, got = (scorer.search(batch, rank, ScoreContext(), m).values for m in (cells, again))
    assert np.array_equal(want, got)
    with pytest.raises(ScoringError, match="no record with an embedding"):
        scorer.fit(ScoreBatch(ids=ids), ScoreContext())
