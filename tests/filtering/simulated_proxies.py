"""A simulated trainer: runs measure a known law plus noise that is keyed by the run, in no time."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from assets.filtering.analyse import study
from assets.filtering.laws import Parameters, mixture_error
from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.design import design
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
from assets.filtering.proxies.spec import Maker
from assets.filtering.ranking import rank_plans

PER_POOL, SD = 480, 0.015
WHOLE = 4000.0
SETTINGS = ProxySettings(bytes_per_record=8, evaluation_records=16)
LIMITS = ProxyLimits(seconds=1e9, largest=240)
LAW = Parameters(
    law="utility",
    form="paper",
    kappa=0.0,
    pools=("0", "1", "2"),
    floor=np.array([0.15]),
    log_anchor=np.log([8.0]),
    b=np.array([[-0.26, -0.245, -0.20]]),
    tau=np.array([[4.0, 5.0, 6.0]]),
    log_height=np.zeros((1, 3)),
    reference_unique=np.full(3, WHOLE),
)


def records(pools=3):
    count = pools * PER_POOL + 32
    ids = np.array([f"{i:032x}" for i in range(count)])
    pool = np.arange(count) % pools
    held = np.arange(count) >= pools * PER_POOL
    return ProxyData(ids, ids, pa.array(["text"] * count), None, None, None, pool, held)


def true_error(pools, samples, weights, unique):
    w, u = np.zeros((1, 3)), np.ones((1, 3))
    w[0, list(pools)], u[0, list(pools)] = weights, unique
    return float(mixture_error(LAW, np.array([float(samples)]), w, u)[0, 0])


def train(specs, *, study_seed=0, calls=None):
    """Return rows of runs; ``calls`` collects the run_ids that were trained."""
    rows = []
    for spec in specs:
        unique = len(spec.content_ids)
        shares = np.array(spec.shares)
        value = true_error(spec.pools, spec.samples, shares, shares * unique)
        key = [int(spec.run_id[:12], 16), study_seed]
        value += SD * np.random.Generator(np.random.PCG64(key)).standard_normal()
        if calls is not None:
            calls.append(spec.run_id)
        rows.append(
            {
                "kind": spec.kind,
                "pool": "+".join(str(p) for p in spec.pools),
                "weights": "+".join(f"{s:g}" for s in spec.shares) if len(shares) > 1 else None,
                "pool_unique": unique,
                "samples_seen": spec.samples,
                "metric_value": value,
                "seed": spec.seed,
                "run_id": spec.run_id,
                "purpose": spec.purpose,
            }
        )
    return rows


def fit(rows):
    frame = pl.DataFrame(rows, infer_schema_length=None)
    sizes = dict.fromkeys(LAW.pools, WHOLE)
    return study(frame, law="utility", kappa=0.0, bootstraps=100, pool_sizes=sizes)


def start(seed=0):
    maker = Maker(records(), SETTINGS)
    specs = design(maker.data, limits=LIMITS, settings=SETTINGS, seed=0)
    return maker, specs, train(specs, study_seed=seed)


def true_regret(fitted, budgets, max_passes=4.0):
    """Return how much worse the chosen plans are than the best, by the true law, summed over budgets."""
    from dataclasses import replace

    total = 0.0
    setting = replace(fitted.setting, max_passes=max_passes)
    for budget in budgets:
        found = rank_plans(fitted.ensemble, budget, setting)
        plans = found.few
        errors = mixture_error(
            LAW,
            plans.spend(budget),
            plans.weights,
            np.broadcast_to(np.full(3, WHOLE), plans.members.shape),
        )[0]
        total += float(errors[found.chosen] - errors.min())
    return total
