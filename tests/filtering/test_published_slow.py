"""Replications on data that are not part of the repository, and simulations that take minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.filtering import data_constrained, utility
from assets.filtering.average import average
from assets.filtering.curves import read_curves
from assets.filtering.parametric import fit_parametric, huber
from tests.filtering.released import SIZE, UTILITY, curves

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "scaling"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="scaling data are not here")


@needs_data
def test_datablations_goodness_of_fit():
    runs = pl.read_csv(SHARED / "datablations_182_runs.csv")
    p = data_constrained.DataConstrainedParameters(
        np.exp(6.255414),
        np.exp(7.3049974),
        np.exp(0.6254804),
        0.3526596,
        0.3526596,
        15.387756,
        5.309743,
    )
    columns = (runs[c].to_numpy() for c in ("params", "tokens", "unique_tokens"))
    predicted = data_constrained.loss(*columns, p)
    y = runs["val_loss"].to_numpy()
    r2 = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
    assert r2 == pytest.approx(0.7722046084968408, abs=1e-6)
    assert huber(np.log(predicted) - np.log(y)).sum() == pytest.approx(0.015825935, abs=2e-8)


@pytest.mark.slow
@needs_data
def test_chinchilla_replication():
    runs = pl.read_csv(SHARED / "chinchilla_fig4_extracted.csv").sort("loss").head(240)
    found = fit_parametric(*(runs[c].to_numpy() for c in ("params", "tokens", "loss")))
    assert found.objective == pytest.approx(0.00101827402, rel=1e-4)
    assert found.floor == pytest.approx(1.81722, rel=2e-3)
    assert found.alpha == pytest.approx(0.34731, rel=5e-3)
    assert found.beta == pytest.approx(0.36717, rel=5e-3)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sd", [0.0015, 0.003, 0.006])
def test_eighty_percent_intervals_cover(sd):
    n, sizes, hits = np.array([256e6, 640e6, 1280e6]), np.full((3, 5), SIZE), []
    for study in range(100):
        ensemble = average(read_curves(curves(sd=sd, seed=study)), law="utility", seed=study)
        for pool, name in enumerate(ensemble.curves.pools):
            at = ("top10", "top20", "top30", "top40", "random").index(name)
            weights = np.zeros((3, 5))
            weights[:, pool] = 1.0
            low, high = np.quantile(ensemble.sample(n, weights, sizes), [0.1, 0.9], axis=0)
            truth = utility.error(
                n, SIZE, b=UTILITY["b"][at], tau=UTILITY["tau"][at], floor=0.1, anchor=4e6
            )
            hits.append((low <= truth) & (truth <= high))
    assert 0.75 <= np.mean(hits) <= 0.9
