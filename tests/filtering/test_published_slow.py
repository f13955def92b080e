"""Replications on data that are not part of the repository, and simulations that take minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.filtering import data_constrained
from assets.filtering.analyse import study
from assets.filtering.average import average
from assets.filtering.curves import read_curves
from assets.filtering.parametric import fit_parametric, huber
from assets.filtering.plan import make_plan
from assets.filtering.predict import Setting
from tests.filtering.released import POOLS, SIZE, curves, error

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


def predicted_runs(sd, seed, law):
    """Return for each pool and budget whether the printed interval holds what a further run measures."""
    samples = (256e6, 640e6, 1280e6)
    points = pl.DataFrame(
        [(pool, n) for pool in POOLS for n in samples],
        schema=["pool", "samples_seen"],
        orient="row",
    )
    rows = study(curves(sd=sd, seed=seed), law=law, seed=seed).answer(predict=points)["predictions"]
    noise = sd * np.random.default_rng([seed, 7]).standard_normal(len(rows))
    truth = [error("utility", n, at) for at in range(len(POOLS)) for n in samples]
    return [
        row["lo80"] <= value <= row["hi80"]
        for row, value in zip(rows, np.array(truth, float) + noise, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sd", [0.0015, 0.003, 0.006])
def test_eighty_percent_intervals_cover(sd):
    hits = [predicted_runs(sd, seed, "utility") for seed in range(60)]
    assert 0.75 <= np.mean(hits) <= 0.9


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_best_plan_is_found_off_the_crossovers():
    # the published switches are at 82 and 992 million samples
    right = {32e6: 1, 160e6: 2, 256e6: 2, 640e6: 2, 2560e6: 3}
    sizes = {"sizes": (SIZE, SIZE / 4, SIZE / 16), "epochs": (0.5, 1, 2, 4, 8)}
    hits = []
    for seed in range(60):
        table = curves(pools=range(4), sd=0.003, seed=seed, **sizes)
        ensemble = average(read_curves(table), law="utility", bootstraps=10, seed=seed)
        for budget, count in right.items():
            plan = make_plan(ensemble, budget, Setting(nested_only=True))["plans"][0]
            hits.append(plan["pools"] == sorted(POOLS[:count]))
    assert np.mean(hits) >= 0.95
