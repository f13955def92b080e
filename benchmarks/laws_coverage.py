"""Coverage of the intervals and rightness of the plans over simulated studies.

A study draws curves from the released parameters of Goyal et al. (CVPR 2024) with normal noise, fits
them, and is asked for pools alone (at 20 to 100 passes where the curves stop at ten), for nested
mixtures, and for plans. Counted is how often the printed interval holds what one further run would
measure, how often it holds the truth, and how often the nested plan is the true best.

    python benchmarks/laws_coverage.py --studies 300
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.filtering import utility
from assets.filtering.analyse import study
from assets.filtering.candidates import list_candidates
from assets.filtering.predict import Setting, caps_of, predict_grid, quality_order

SIZE, FLOOR, ANCHOR = 12.8e6, 0.1, 4e6
POOLS = ("a", "b", "c", "d")
B = np.array([-0.16, -0.125, -0.10, -0.085])
TAU = np.array([74 / 11, 94 / 11, 58 / 11, 25 / 11])
NOISE = (0.0015, 0.003, 0.006)
ASKED = (256e6, 640e6, 1280e6)
#: budgets away from the true switch points (82M and 992M), and the true number of pools
RIGHT = {32e6: 1, 50e6: 1, 160e6: 2, 256e6: 2, 640e6: 2, 2560e6: 3}
DESIGNS = {
    "one_size": ((1.0,), (2, 4, 6, 8, 10)),
    "three_sizes": ((1.0, 0.25, 1 / 16), (0.5, 1, 2, 4, 8)),
}


def truth(samples: float, members: tuple[int, ...], part: float = 1.0) -> float:
    """Return the true error of an equal mixture of pools, or of a random part of one pool.

    The half-life of a part shrinks with its size: with kappa = 1 and a constant half-life, cutting a
    pool in two and mixing the halves would change what it is worth.
    """
    at = list(members)
    value = utility.mixture_error(
        samples,
        np.full(len(at), 1.0 / len(at)),
        np.full(len(at), SIZE * part),
        b=B[at],
        tau=TAU[at] * part,
        floor=FLOOR,
        anchor=ANCHOR,
        kappa=1.0,
    )
    return float(value)


def simulated(design: str, noise: float, seed: int) -> pl.DataFrame:
    """Return one study's curves."""
    generator = np.random.default_rng([seed, int(noise * 1e5)])
    shares, passes = DESIGNS[design]
    rows = [
        (
            name,
            SIZE * share,
            SIZE * share * count,
            truth(SIZE * share * count, (i,), share) + noise * generator.standard_normal(),
            f"{name}-{share}-{count}",
        )
        for i, name in enumerate(POOLS)
        for share in shares
        for count in passes
    ]
    names = ["pool", "pool_unique", "samples_seen", "metric_value", "run_id"]
    return pl.DataFrame(rows, schema=names, orient="row")


def one_study(design: str, noise: float, law: str, seed: int) -> dict[str, Any]:
    """Return hits of the 80 and 90 % intervals and of the decisions."""
    fitted = study(simulated(design, noise, seed), law=law, seed=seed)  # type: ignore[arg-type]
    singles = [((i,), n) for i in range(4) for n in ASKED]
    nested = [(tuple(range(k)), n) for k in (2, 3, 4) for n in ASKED]
    points = pl.DataFrame(
        [("+".join(POOLS[i] for i in members), n) for members, n in singles + nested],
        schema=["pools", "samples_seen"],
        orient="row",
    )
    answer = fitted.answer(predict=points)["predictions"]
    generator = np.random.default_rng([seed, 99])
    hits = []
    for (members, n), row in zip(singles + nested, answer, strict=True):
        true = truth(n, members)
        run = true + noise * generator.standard_normal()
        hits.append(
            (
                row["lo80"] <= run <= row["hi80"],
                row["lo90"] <= run <= row["hi90"],
                row["lo80"] <= true <= row["hi80"],
                row["predicted"] - true,
            )
        )
    ensemble = fitted.ensemble
    setting = Setting(nested_only=True)
    plans = list_candidates(
        ensemble.available, quality_order(ensemble), caps_of(ensemble, setting), nested_only=True
    )
    budgets = np.array(list(RIGHT))
    chosen = np.argmin(predict_grid(ensemble, plans, budgets, setting), axis=1)
    order = [POOLS.index(ensemble.curves.pools[i]) for i in quality_order(ensemble)]
    right, regret = [], []
    for budget, pick in zip(budgets, chosen, strict=True):
        best = min(truth(float(budget), tuple(range(k))) for k in (1, 2, 3, 4))
        members = tuple(sorted(order[: int(pick) + 1]))
        right.append(members == tuple(range(RIGHT[float(budget)])))
        regret.append(truth(float(budget), members) - best)
    return {"hits": hits, "right": right, "regret": regret, "singles": len(singles)}


def summarise(studies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return shares over all studies."""
    hits = np.array([s["hits"] for s in studies], dtype=float)
    count = studies[0]["singles"]
    right = np.array([s["right"] for s in studies])
    out: dict[str, Any] = {"studies": len(studies)}
    for name, part in (("pools", hits[:, :count]), ("mixtures", hits[:, count:])):
        out[name] = {
            "run_in_80": round(float(part[..., 0].mean()), 4),
            "run_in_90": round(float(part[..., 1].mean()), 4),
            "truth_in_80": round(float(part[..., 2].mean()), 4),
            "bias": round(float(part[..., 3].mean()), 5),
            "mean_absolute_error": round(float(np.abs(part[..., 3]).mean()), 5),
        }
    out["right_plan"] = {
        f"{b / 1e6:g}M": round(float(x), 3) for b, x in zip(RIGHT, right.mean(0), strict=True)
    }
    out["right_plan_overall"] = round(float(right.mean()), 4)
    out["largest_mean_regret"] = float(np.mean([s["regret"] for s in studies], axis=0).max())
    return out


def main() -> None:
    """Simulate, print and keep the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--laws", nargs="*", default=["utility", "average"])
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for design in arguments.designs:
        for law in arguments.laws:
            for noise in NOISE:
                start = time.process_time()
                found = summarise(
                    [one_study(design, noise, law, seed) for seed in range(arguments.studies)]
                )
                found["cpu_seconds"] = round(time.process_time() - start, 1)
                results[f"{design}, {law}, noise {noise}"] = found
                print(design, law, noise, json.dumps(found), flush=True)
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "laws_coverage.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
