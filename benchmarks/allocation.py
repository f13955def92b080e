"""Speed of the exact allocation: the claims of docs/methods/equitable_allocation.md, asserted.

Seconds are those of the processor (all threads), least of the repeats, so that other work on the machine
counts little.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.allocation.curves import Curves
from assets.allocation.fill import Fill
from assets.allocation.repetition import Cells
from assets.allocation.stated import Stated


def stated(
    groups: int,
    *,
    pools: int = 1,
    kind: str = "weighted_sum",
    aversion: float = 0.0,
    repetition="none",
):
    rng = np.random.default_rng(0)
    level = Curves.power(
        rng.uniform(0.7, 0.99, groups), rng.uniform(0.5, 3, groups), rng.uniform(0.15, 0.6, groups)
    )
    size = groups * pools
    cells = Cells(
        np.repeat(np.arange(groups), pools),
        rng.uniform(1e3, 1e6, size),
        rng.uniform(0.3, 1, size),
        rng.uniform(0.5, 5, size),
        np.full(size, 3.0),
        np.full(size, 4.0 if repetition != "none" else 1.0),
        repetition,
    )
    budget = 0.2 * float((cells.unique * cells.cost).sum())
    return Stated(
        names=range(groups),
        weight=rng.uniform(0.1, 2, groups),
        curves=level,
        level=level,
        cells=cells,
        fill=Fill(cells, groups, budget),
        held=np.zeros(groups),
        floor_spend=np.zeros(groups),
        budget=budget,
        kind=kind,
        aversion=aversion,
    )


def timed(make, repeat: int = 3):
    times, out = [], None
    for _ in range(repeat):
        start = time.process_time()
        out = make()
        times.append(time.process_time() - start)
    return min(times), out


def against_general_solver(groups: int = 300):
    """Seconds and residual of SLSQP with exact gradients on scaled variables, and of ours."""
    from scipy.optimize import minimize

    s = stated(groups)
    cells, level, budget = s.cells, s.level, s.budget
    scale = budget / cells.cost / groups

    def fun(y):
        e = np.maximum(y, 1e-12) * scale * cells.worth
        f = level.a - level.b * e**-level.p
        return -float((s.weight * f).sum()), -(
            s.weight * level.b * level.p * e ** (-level.p - 1) * scale * cells.worth
        )

    start = time.process_time()
    out = minimize(
        fun,
        np.minimum(np.ones(groups), cells.unique / scale),
        jac=True,
        method="SLSQP",
        bounds=[(1e-6, u) for u in cells.unique / scale],
        constraints=[
            {
                "type": "ineq",
                "fun": lambda y: 1 - y.mean(),
                "jac": lambda y: np.full(groups, -1 / groups),
            }
        ],
        options={"maxiter": 2000, "ftol": 1e-15},
    )
    general = time.process_time() - start
    y = out.x
    price = -fun(y)[1] / (scale * cells.cost)
    inner = (y > 1e-5) & (y < cells.unique / scale * (1 - 1e-6))
    residual = float(np.max(np.abs(price[inner] / np.median(price[inner]) - 1)))
    ours, division = timed(lambda: stated(groups).divide())
    return general, residual, ours, division.residual


def main() -> None:
    results = {}
    for groups in (1_000, 1_000_000):
        seconds, division = timed(lambda g=groups: stated(g).divide(), 3 if groups < 10_000 else 1)
        results[f"weighted_sum_{groups}"] = {"seconds": seconds, "kkt_residual": division.residual}
        seconds, division = timed(
            lambda g=groups: stated(g, kind="max_min").divide(), 3 if groups < 10_000 else 1
        )
        results[f"max_min_{groups}"] = {"seconds": seconds, "residual": division.residual}
    seconds, division = timed(lambda: stated(1_000, kind="isoelastic", aversion=1.0).divide())
    results["isoelastic_1000"] = {"seconds": seconds, "kkt_residual": division.residual}
    seconds, division = timed(lambda: stated(1_000, pools=4, repetition="step").divide())
    results["weighted_sum_1000_groups_4_pools_step"] = {
        "seconds": seconds,
        "kkt_residual": division.residual,
    }

    base = stated(100)
    rng = np.random.default_rng(1)

    def draws():
        for _ in range(200):
            b = base.level.b * rng.lognormal(0, 0.1, 100)
            replace(base, level=replace(base.level, b=b)).divide()

    results["200_draws_100_groups"] = {"seconds": timed(draws, 1)[0]}
    general, residual, ours, mine = against_general_solver()
    results["against_slsqp_300_groups"] = {
        "slsqp_seconds": general,
        "slsqp_residual": residual,
        "seconds": ours,
        "kkt_residual": mine,
        "times_faster": general / ours,
    }
    assert results["weighted_sum_1000"]["seconds"] < 0.05
    assert results["weighted_sum_1000000"]["seconds"] < 10
    assert results["200_draws_100_groups"]["seconds"] < 2
    assert general / ours >= 100, general / ours
    assert mine < residual
    text = json.dumps(results, indent=2)
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "allocation.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
