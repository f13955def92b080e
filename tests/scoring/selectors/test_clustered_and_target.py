"""Quality with diversity, clusters, SemDeDup and round robin, each against a slow exact answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from assets.kernels.unit_vectors import SCALE, to_grid
from assets.scoring.selectors import clustered, round_robin
from assets.scoring.selectors.budget import Budget, select
from assets.scoring.selectors.clustered import KMeansQuality, SemDeDup
from assets.scoring.selectors.protocol import Candidates, SelectionError, tie_order
from assets.scoring.selectors.quality_diversity import QualityDiversity
from assets.scoring.selectors.registry import create
from assets.scoring.selectors.round_robin import RoundRobin


def ids_of(n):
    return pl.Series("id", [f"x#{i}" for i in range(n)])


def given_of(n, seed, dim=5, targets=4):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    for i in range(1, n):
        if rng.random() < 0.2:
            rows[i] = rows[rng.integers(i)]
    return Candidates(
        ids_of(n),
        value=np.round(rng.normal(size=n), 1),
        embedding=rows,
        target=rng.normal(size=(targets, dim)).astype(np.float32),
    )


def unit(rows):
    return to_grid(rows).astype(float) / SCALE


def chosen(selector, given, most, seed=0):
    found = select(given, selector, Budget(most), seed=seed)
    return found.rows.tolist(), found.gains


@settings(max_examples=25)
@examples(st.integers(2, 20), st.floats(0, 1), st.integers(0, 300))
def test_quality_diversity_is_greedy_on_its_objective(n, alpha, seed):
    given = given_of(n, seed)
    u = unit(given.embedding)
    similarity = (1 + u @ u.T) / 2
    quality = (rankdata(given.value) - 0.5) / n
    found, gains = chosen(QualityDiversity(alpha=alpha), given, n)
    covered = np.zeros(n)
    for step, at in enumerate(found):
        each = (1 - alpha) * np.maximum(similarity - covered, 0).sum(axis=1) + alpha * quality
        left = [i for i in range(n) if i not in found[:step]]
        assert each[at] >= max(each[left]) - 1e-9
        if alpha < 1:
            assert gains[step] == pytest.approx(each[at], abs=1e-9)
        covered = np.maximum(covered, similarity[at])


def test_quality_diversity_at_its_ends():
    given = given_of(40, 1)
    fl = chosen(create("facility_location"), given, 12)[0]
    objective = np.maximum.reduce(unit(given.embedding)[fl] @ unit(given.embedding).T).sum()
    ours = chosen(QualityDiversity(alpha=0), given, 12)[0]
    assert np.maximum.reduce(
        unit(given.embedding)[ours] @ unit(given.embedding).T
    ).sum() == pytest.approx(objective, rel=1e-3)
    best = chosen(QualityDiversity(alpha=1), given, 12)[0]
    assert sorted(given.value[best]) == sorted(np.sort(given.value)[-12:])
    worst = chosen(QualityDiversity(alpha=1, direction="low"), given, 12)[0]
    assert sorted(given.value[worst]) == sorted(np.sort(given.value)[:12])


def test_every_beginning_of_kmeans_quality_is_in_proportion():
    rng = np.random.default_rng(0)
    sizes = [60, 30, 10]
    centres = np.eye(6)[:3]
    rows = np.concatenate(
        [c + 0.01 * rng.normal(size=(s, 6)) for c, s in zip(centres, sizes, strict=True)]
    )
    cluster = np.repeat([0, 1, 2], sizes)
    given = Candidates(ids_of(100), value=rng.normal(size=100), embedding=rows.astype(np.float32))
    found, _ = chosen(KMeansQuality(k=3), given, 100)
    for most in (10, 20, 50, 90):
        counts = Counter(cluster[found[:most]].tolist())
        for c, size in enumerate(sizes):
            assert abs(counts[c] - most * size / 100) <= 1


def test_kmeans_quality_with_one_cluster_draws_by_weight():
    weights = np.array([0.6, 0.3, 0.1])
    first = Counter()
    for seed in range(3_000):
        given = Candidates(
            ids_of(3), value=np.log(weights), embedding=np.eye(3, dtype=np.float32) + 1
        )
        first[chosen(KMeansQuality(k=1), given, 1, seed)[0][0]] += 1
    shares = np.array([first[i] for i in range(3)]) / 3_000
    # four standard deviations of a binomial share
    assert (np.abs(shares - weights) < 4 * np.sqrt(weights * (1 - weights) / 3_000)).all()


def chain(n=12, degrees=5.0):
    angle = np.deg2rad(degrees) * np.arange(n)
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def test_a_chain_collapses_in_the_paper_and_not_in_greedy():
    # 12 points 5 degrees apart and a threshold of 6 degrees: any earlier record, or any kept one
    given = Candidates(ids_of(12), embedding=chain())
    threshold = float(np.cos(np.deg2rad(6)))
    rows, gains = chosen(SemDeDup(k=1), given, 12)
    assert sum(1 - gain <= threshold for gain in gains) <= 2
    kept, gains = chosen(SemDeDup(k=1, mode="greedy", threshold=threshold), given, 12)
    survivors = [r for r, gain in zip(kept, gains, strict=True) if 1 - gain <= threshold]
    assert len(survivors) == 6
    assert kept[:6] == survivors
    assert set(rows) == set(kept)


@settings(max_examples=25)
@examples(st.integers(2, 40), st.integers(1, 4), st.integers(0, 300))
def test_what_greedy_keeps_covers_and_is_apart(n, k, seed):
    given = given_of(n, seed, dim=3)
    selector = SemDeDup(k=k, mode="greedy", threshold=0.8)
    found, gains = chosen(selector, given, n)
    cells, _ = clustered._cells(given, k, 0)
    u = unit(given.embedding)
    kept = [r for r, gain in zip(found, gains, strict=True) if 1 - gain <= 0.8]
    for i, a in enumerate(kept):
        assert all(u[a] @ u[b] <= 0.8 for b in kept[:i] if cells[a] == cells[b])
    for r in set(found) - set(kept):
        assert any(u[r] @ u[b] > 0.8 for b in kept if cells[r] == cells[b])


@settings(max_examples=25)
@examples(st.integers(2, 40), st.sampled_from(["hard", "easy"]), st.integers(0, 300))
def test_redundancy_is_the_largest_cosine_to_an_earlier_record(n, keep, seed):
    given = given_of(n, seed, dim=3)
    found, gains = chosen(SemDeDup(k=2, keep=keep), given, n)
    cells, distance = clustered._cells(given, 2, 0)
    u = unit(given.embedding)
    order = tie_order(given.ids, 0, "semdedup ties").tolist()
    order.sort(key=lambda r: -distance[r] if keep == "hard" else distance[r])
    for r, gain in zip(found, gains, strict=True):
        earlier = [u[r] @ u[b] for b in order[: order.index(r)] if cells[b] == cells[r]]
        assert 1 - gain == pytest.approx(max(earlier, default=-1.0), abs=1e-9)
    assert (np.diff(gains) <= 1e-12).all()


def test_blocks_do_not_matter(monkeypatch):
    given = given_of(60, 2)
    want = chosen(SemDeDup(k=2), given, 60)
    monkeypatch.setattr(clustered, "BLOCK_ROWS", 7)
    got = chosen(SemDeDup(k=2), given, 60)
    assert want[0] == got[0]
    assert np.array_equal(want[1], got[1])


def slow_round_robin(given, most, seed):
    """Turns by plain sorting of everything."""
    order = tie_order(given.ids, seed, "round robin ties").tolist()
    u = unit(given.embedding)
    queries = np.unique(unit(given.target), axis=0)
    lists = [sorted(order, key=lambda r, q=q: (-(u[r] @ q), order.index(r))) for q in queries]
    turns = sorted(
        range(len(queries)),
        key=lambda i: (-(u[lists[i][0]] @ queries[i]), order.index(lists[i][0])),
    )
    taken: list[int] = []
    while len(taken) < most:
        for i in turns:
            taken.append(next(r for r in lists[i] if r not in taken))
            if len(taken) == most:
                break
    return taken


@settings(max_examples=30)
@examples(st.integers(1, 30), st.integers(1, 6), st.integers(0, 300))
def test_round_robin_is_turns_over_sorted_lists(n, targets, seed):
    given = given_of(n, seed, targets=targets)
    most = max(1, n * 2 // 3)
    assert chosen(RoundRobin(), given, most, seed)[0] == slow_round_robin(given, most, seed)


def test_queues_that_run_dry_are_refilled(monkeypatch):
    monkeypatch.setattr(round_robin, "FIRST_QUEUE", 0)
    given = given_of(50, 4, targets=3)
    same = Candidates(given.ids, embedding=given.embedding, target=given.target)
    assert chosen(RoundRobin(), same, 50)[0] == slow_round_robin(same, 50, 0)


def test_a_crowded_corner_does_not_take_everything():
    rng = np.random.default_rng(0)
    crowd = np.array([1.0, 0, 0]) + 0.01 * rng.normal(size=(80, 3))
    corner = np.array([0, 1.0, 0]) + 0.2 * rng.normal(size=(20, 3))
    rows = np.vstack([crowd, corner]).astype(np.float32)
    target = np.array([[1.0, 0, 0], [0, 1.0, 0]], dtype=np.float32)
    given = Candidates(ids_of(100), embedding=rows, target=target)
    found, _ = chosen(RoundRobin(), given, 20)
    assert sum(r >= 80 for r in found) == 10
    nearest = np.argsort(-(unit(rows) @ unit(target).T).max(axis=1))[:20]
    assert sum(r >= 80 for r in nearest) < 5  # a threshold on the score alone


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: QualityDiversity(alpha=1.5), "alpha is 1.5"),
        (lambda: QualityDiversity(direction="up"), "direction"),
        (lambda: KMeansQuality(k=-1), "k is -1"),
        (lambda: KMeansQuality(temperature=0), "temperature"),
        (lambda: SemDeDup(mode="fast"), "paper or greedy"),
        (lambda: SemDeDup(threshold=2), "threshold is 2"),
    ],
)
def test_bad_settings_are_refused(make, match):
    with pytest.raises(SelectionError, match=match):
        make()


def test_a_target_without_vectors_is_refused():
    given = Candidates(ids_of(3), embedding=np.eye(3, dtype=np.float32))
    with pytest.raises(SelectionError, match="--target FILE"):
        chosen(RoundRobin(), given, 2)
