"""Synthetic minority samples: a labelled pool of lower worth."""

from __future__ import annotations

import numpy as np
import pytest

from assets.allocation.answer import allocate
from assets.allocation.errors import AllocationError
from assets.allocation.synthetic import SyntheticPool, smote


def test_a_synthetic_pool_is_named_and_worth_less_than_records():
    made = SyntheticPool("x", np.zeros((30, 4)), np.zeros(30))
    for worth in (0.0, 1.0, 1.5):
        with pytest.raises(AllocationError, match="pool synthetic"):
            made.stated(worth=worth, cost=1)
    pools = [
        {"name": "records", "worth": 1, "cost": 1, "available": 50},
        made.stated(worth=0.3, cost=1),
    ]
    curve = {"form": "power", "a": 0.9, "b": 1, "p": 0.5}
    problem = {
        "budget": 70,
        "objective": {"kind": "weighted_sum"},
        "groups": [{"name": "x", "weight": 1, "curve": curve, "pools": pools}],
    }
    drawn = allocate(problem)["allocation"][0]["pools"]
    assert [p["name"] for p in drawn] == ["records", "synthetic"]
    assert [p["samples"] for p in drawn] == pytest.approx([50, 20])


def test_smote_interpolates_within_a_label():
    pytest.importorskip("imblearn")
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.uniform(0, 1, (20, 3)), rng.uniform(5, 6, (10, 3))])
    labels = np.repeat([0, 1], [20, 10])
    made = smote("x", vectors, labels, count=15)
    assert len(made.vectors) == 15
    assert np.bincount(made.labels).tolist() == [10, 5]
    assert (made.vectors[made.labels == 0] <= 1).all()
    assert (made.vectors[made.labels == 1] >= 5).all()
    with pytest.raises(AllocationError, match="label 1 has 3 records"):
        smote("x", vectors[:23], labels[:23], count=5)
