"""Groups known by bags' shares only: recovered, calibrated, refused, never shown by row."""

from __future__ import annotations

import numpy as np
import pytest

from assets.allocation.errors import AllocationError
from assets.allocation.label_proportions import (
    AlikeBagsError,
    learn_memberships,
    performance_from_bags,
)

GROUPS = ["x", "y", "z"]


def bags(alpha=0.7, count=30, size=150, seed=0):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(3, alpha), count)
    group = np.concatenate([rng.choice(3, size, p=s) for s in shares])
    bag = np.repeat(np.arange(count), size)
    true = np.stack([np.bincount(group[bag == b], minlength=3) / size for b in range(count)])
    centre = np.array([[0.0, 0, 0, 0], [1.6, 0, 0.5, 0], [0, 1.4, -0.8, 0]])
    return centre[group] + rng.normal(size=(group.size, 4)), bag, true, group


def test_counts_and_means_are_recovered_and_memberships_calibrated():
    x, bag, shares, group = bags()
    found = learn_memberships(x, bag, shares, GROUPS)
    true = np.bincount(group, minlength=3)
    np.testing.assert_allclose(found.counts, true, rtol=0.02)
    assert (found.effective >= found.counts - 1e-9).all()
    assert found.calibration < 0.06
    loss = np.array([0.2, 0.5, 0.9])[group]
    np.testing.assert_allclose(found.mean(loss), [0.2, 0.5, 0.9], atol=0.04)
    # mutant: the mean weighted by memberships pulls overlapping groups together
    assert np.ptp(loss @ found._soft / found.counts) < 0.6 * 0.7
    soft = found._soft
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (soft[:, 1] >= low) & (soft[:, 1] < low + 0.2)
        assert (group[inside] == 1).mean() == pytest.approx(soft[inside, 1].mean(), abs=0.08)


def test_no_row_is_shown():
    x, bag, shares, _ = bags(count=12)
    found = learn_memberships(x, bag, shares, GROUPS)
    assert "_soft" not in repr(found)
    assert [n for n in dir(found) if not n.startswith("_")] == [
        "calibration",
        "counts",
        "effective",
        "groups",
        "mean",
        "spread",
    ]


def test_alike_bags_are_refused():
    x, bag, _, _ = bags()
    with pytest.raises(AlikeBagsError, match="too alike"):
        learn_memberships(x, bag, np.tile([0.5, 0.3, 0.2], (30, 1)), GROUPS)
    with pytest.raises(AlikeBagsError, match="2 bags can't tell 3 groups apart"):
        performance_from_bags(np.ones(2), np.ones(2), np.array([[1, 0, 0], [0, 1, 0.0]]), GROUPS)
    with pytest.raises(AllocationError, match="must sum to 1"):
        learn_memberships(x, bag, np.full((30, 3), 0.5), GROUPS)


def test_aggregate_results_give_group_performance_with_errors():
    _, bag, shares, group = bags(seed=3)
    rng = np.random.default_rng(1)
    right = rng.random(group.size) < np.array([0.9, 0.7, 0.4])[group]
    result = np.array([right[bag == b].mean() for b in range(30)])
    found, error = performance_from_bags(result, np.full(30, 150.0), shares, GROUPS)
    assert (np.abs(found - [0.9, 0.7, 0.4]) < 3.5 * error).all()
    assert (error < 0.05).all()
