"""Coverage of the intervals and rightness of the plans over simulated studies.

A study draws curves from the released parameters of Goyal et al. (CVPR 2024) with normal noise, fits
them, and is asked for pools alone (at 20 to 100 passes where the curves stop at ten), for nested
mixtures, and for plans over all subsets of four pools at twelve budgets. Counted is how often the
printed interval holds what one further run would measure, how often it holds the truth, how often
the plan listed first is at least as good as the true best subset, and what the plans cost against what
they say they may cost.

Three designs: ``one_size`` as published (one pool size, 2 to 10 passes); ``several_sizes`` (the pool,
a quarter and a sixteenth of it, half a pass to 8); ``with_mixture``, the same with two runs on an equal
mixture of two pools. Study s of a design draws from the seed (s, design, noise); the laws are fitted with
seed s.

**Off the crossovers**: the true errors of the best plan and of the next differ by more than 1.96 x
sqrt(2) = 2.77 residual standard deviations, so that one run of each would tell them apart at 95 %.
Nearer, two plans cannot be told apart by trying both.

``bound`` says how often the best plan could be found by an estimator that reaches the Cramer-Rao bound and
knows the law's form and the mixture rule, without priors (``without_priors``) and with the fit's
(``with_priors``).

    python benchmarks/laws_coverage.py --studies 300 --keep build/laws_coverage.jsonl

Finished studies are appended to ``--keep`` and not run again while the code of the laws stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.filtering import utility
from assets.filtering.analyse import study
from assets.filtering.curves import read_curves
from assets.filtering.laws import mixture_error
from assets.filtering.problem import state_problem
from assets.filtering.ranking import rank_plans
from benchmarks.machine import machine

ROOT = Path(__file__).resolve().parents[1]
SIZE, FLOOR, ANCHOR = 12.8e6, 0.1, 4e6
POOLS = ("a", "b", "c", "d")
B = np.array([-0.16, -0.125, -0.10, -0.085])
TAU = np.array([74 / 11, 94 / 11, 58 / 11, 25 / 11])
NOISE = (0.0015, 0.003, 0.006)
ASKED = (256e6, 640e6, 1280e6)
BUDGETS = tuple(n * 1e6 for n in (32, 50, 70, 100, 160, 256, 400, 640, 900, 1280, 1800, 2560))
SUBSETS = tuple(m for k in range(1, 5) for m in combinations(range(4), k))
OFF = 1.96 * 2**0.5
DESIGNS = ("one_size", "several_sizes", "with_mixture")
LAWS = ("utility", "average")
SINGLES = [((i,), n) for i in range(4) for n in ASKED]
NESTED = [(tuple(range(k)), n) for k in (2, 3, 4) for n in ASKED]


def truth(
    samples: float,
    members: tuple[int, ...],
    part: float = 1.0,
    shares: np.ndarray | None = None,
) -> float:
    """Return the true error of a mixture of pools (equal unless said), or of a random part of one pool.

    The half-life of a part shrinks with its size: with kappa = 1 and a constant half-life, cutting a
    pool in two and mixing the halves would change what it is worth.
    """
    at = list(members)
    value = utility.mixture_error(
        samples,
        np.full(len(at), 1.0 / len(at)) if shares is None else shares,
        np.full(len(at), SIZE * part),
        b=B[at],
        tau=TAU[at] * part,
        floor=FLOOR,
        anchor=ANCHOR,
        kappa=1.0,
    )
    return float(value)


def true_best(budget: float) -> tuple[tuple[int, ...], float]:
    """Return the best of all subsets at a budget, and by how much it leads."""
    errors = np.array([truth(budget, members) for members in SUBSETS])
    order = np.argsort(errors)
    return SUBSETS[int(order[0])], float(errors[order[1]] - errors[order[0]])


def simulated(design: str, noise: float, seed: int) -> pl.DataFrame:
    """Return one study's curves; without noise for ``noise`` 0."""
    generator = np.random.default_rng([seed, DESIGNS.index(design), round(noise * 1e5)])
    one = design == "one_size"
    shares, passes = ((1.0,), (2, 4, 6, 8, 10)) if one else ((1.0, 0.25, 1 / 16), (0.5, 1, 2, 4, 8))
    cells = [((i,), share, count) for i in range(4) for share in shares for count in passes]
    if design == "with_mixture":
        cells += [((0, 1), 1.0, count) for count in (1, 4)]
    rows = []
    for members, share, count in cells:
        unique = SIZE * share * len(members)
        value = truth(unique * count, members, share) + noise * generator.standard_normal()
        name = "+".join(POOLS[i] for i in members)
        rows.append((name, unique, unique * count, value, f"{name}-{share}-{count}"))
    names = ["pool", "pool_unique", "samples_seen", "metric_value", "run_id"]
    return pl.DataFrame(rows, schema=names, orient="row")


def one_study(job: tuple[str, str, float, int]) -> dict[str, Any]:
    """Return hits of the 80 and 90 % intervals, and what the plans are and cost."""
    design, law, noise, seed = job
    start = time.process_time()
    fitted = study(simulated(design, noise, seed), law=law, seed=seed)  # type: ignore[arg-type]
    points = pl.DataFrame(
        [("+".join(POOLS[i] for i in members), n) for members, n in SINGLES + NESTED],
        schema=["pools", "samples_seen"],
        orient="row",
    )
    generator = np.random.default_rng([seed, 99, round(noise * 1e5)])
    hits = []
    for (members, n), row in zip(SINGLES + NESTED, fitted.predict(points), strict=True):
        true = truth(n, members)
        run = true + noise * generator.standard_normal()
        inside80, inside90 = (
            row["lo80"] <= run <= row["hi80"],
            row["lo90"] <= run <= row["hi90"],
        )
        hits.append(
            (inside80, inside90, row["lo80"] <= true <= row["hi80"], row["predicted"] - true)
        )
    plans = []
    order = [POOLS.index(name) for name in fitted.curves.pools]
    for budget in BUDGETS:
        found = rank_plans(fitted.ensemble, budget, fitted.setting)
        best, _ = true_best(budget)
        cost = []
        for at in (found.chosen, int(np.argmin(found.values))):
            drawn = np.flatnonzero(found.few.weights[at])
            members = tuple(order[i] for i in drawn)
            true = truth(budget, members, shares=found.few.weights[at, drawn])
            # with a trained mixture shares other than by size are ranked too, and can be better
            cost.append((true <= truth(budget, best) + 1e-12, true - truth(budget, best)))
        at = found.chosen
        plans.append((*cost[0], *cost[1], float(found.p_best[at]), float(found.regret[at])))
    return {
        "job": list(job),
        "hits": [[float(x) for x in row] for row in hits],
        "plans": [[float(x) for x in row] for row in plans],
        "cpu_seconds": time.process_time() - start,
    }


def share(successes: np.ndarray) -> list[float]:
    """Return a share and its 95 % interval by Wilson's formula, from one value a study."""
    n, p, z = len(successes), float(successes.mean()), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return [round(p, 4), round(middle - half, 4), round(middle + half, 4)]


def mean(values: np.ndarray) -> list[float]:
    """Return the mean over studies and its 95 % interval, a study's own mean being one observation."""
    by_study = values.reshape(len(values), -1).mean(axis=1)
    half = 1.96 * float(by_study.std(ddof=1)) / len(by_study) ** 0.5
    middle = float(by_study.mean())
    return [round(middle, 5), round(middle - half, 5), round(middle + half, 5)]


def summarise(studies: list[dict[str, Any]], noise: float) -> dict[str, Any]:
    """Return coverage, the chance of the best plan off and at the crossovers, and regret."""
    hits = np.array([s["hits"] for s in studies])
    plans = np.array([s["plans"] for s in studies])
    out: dict[str, Any] = {"studies": len(studies)}
    count = len(SINGLES)
    for name, part in (("pools", hits[:, :count]), ("mixtures", hits[:, count:])):
        out[name] = {
            "run_in_80": mean(part[..., 0]),
            "run_in_90": mean(part[..., 1]),
            "truth_in_80": mean(part[..., 2]),
            "bias": mean(part[..., 3])[0],
            "mean_absolute_error": mean(np.abs(part[..., 3]))[0],
        }
    gaps = np.array([true_best(budget)[1] / noise for budget in BUDGETS])
    off = gaps > OFF
    for name, rows in (("off_crossovers", off), ("at_crossovers", ~off)):
        if not rows.any():
            continue
        part = plans[:, rows]
        out[name] = {
            "budgets": [f"{b / 1e6:g}M" for b, chosen in zip(BUDGETS, rows, strict=True) if chosen],
            "best_plan_found": mean(part[..., 0]),
            "lowest_prediction_is_best": mean(part[..., 2]),
            "said_p_best": mean(part[..., 4])[0],
            "regret": mean(part[..., 1]),
            "expected_regret": mean(part[..., 5]),
        }
    out["by_budget"] = {
        f"{b / 1e6:g}M": {
            "gap_in_residuals": round(float(gaps[i]), 2),
            "found": share(plans[:, i, 0]),
        }
        for i, b in enumerate(BUDGETS)
    }
    out["cpu_seconds"] = round(sum(s["cpu_seconds"] for s in studies), 1)
    return out


def bound(design: str, noise: float, *, priors: bool, draws: int = 20_000) -> dict[str, Any]:
    """Return how often the best plan is found by an estimator at the Cramer-Rao bound."""
    curves = read_curves(simulated(design, 0.0, 0))
    problem = state_problem(curves, "utility", size_kappa=1.0)
    theta = problem.prior_mean.copy()
    theta[0], theta[1] = FLOOR, np.log(ANCHOR)
    theta[problem.columns("beta")], theta[problem.columns("tau")] = np.log(-B), np.log(TAU)
    jacobian = problem.values(theta[None, :])[1][0]
    fisher = jacobian.T @ jacobian / noise**2
    if priors:
        fisher = fisher + np.diag(1.0 / problem.prior_sd**2)
    covariance = np.linalg.inv(fisher)
    weights = np.array([[(i in m) / len(m) for i in range(4)] for m in SUBSETS])
    sizes = np.full((len(SUBSETS), 4), SIZE)

    def errors(points: np.ndarray, budget: float) -> np.ndarray:
        stated = problem.parameters(points, kappa=1.0)
        return mixture_error(stated, np.full(len(SUBSETS), budget), weights, sizes)

    step = 1e-5 * np.eye(len(theta))
    generator = np.random.default_rng(0)
    found, off = {}, []
    for budget in BUDGETS:
        slope = (errors(theta + step, budget) - errors(theta - step, budget)).T / 2e-5
        at = errors(theta[None, :], budget)[0]
        spread = slope @ covariance @ slope.T
        picks = generator.multivariate_normal(at, spread, draws, method="svd").argmin(axis=1)
        chance = float((picks == int(np.argmin(at))).mean())
        found[f"{budget / 1e6:g}M"] = round(chance, 4)
        if true_best(budget)[1] / noise > OFF:
            off.append(chance)
    return {"off_crossovers": round(float(np.mean(off)), 4) if off else None, "by_budget": found}


def code_hash() -> str:
    """Return a digest of what the studies compute with."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted((ROOT / "assets" / "filtering").glob("*.py")):
        if path.name not in {"definitions.py", "tables.py"} and not path.name.startswith("prox"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(
    jobs: list[tuple[str, str, float, int]], keep: Path, workers: int
) -> Iterable[dict[str, Any]]:
    """Yield every job's study, those kept from before first; new ones are kept as they come."""
    code, wanted = code_hash(), set(jobs)
    keep.parent.mkdir(parents=True, exist_ok=True)
    for line in keep.read_text().splitlines() if keep.exists() else ():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a run that was stopped
        if found.get("code") == code and tuple(found["job"]) in wanted:
            wanted.discard(tuple(found["job"]))
            yield found
    left = [job for job in jobs if job in wanted]
    with (
        keep.open("a") as file,
        ProcessPoolExecutor(workers, initializer=threadpool_limits, initargs=(1,)) as pool,
    ):
        for found in pool.map(one_study, left, chunksize=4):
            file.write(json.dumps({"code": code, **found}) + "\n")
            file.flush()
            yield found


def main() -> None:
    """Simulate, print and keep the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--designs", nargs="*", default=list(DESIGNS), choices=DESIGNS)
    parser.add_argument("--laws", nargs="*", default=list(LAWS), choices=LAWS)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "laws_coverage.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/laws_coverage.json")
    given = parser.parse_args()
    start = time.perf_counter()
    cells = [(d, law, noise) for law in given.laws for d in given.designs for noise in NOISE]
    jobs = [(*cell, seed) for cell in cells for seed in range(given.studies)]
    by_cell: dict[tuple[Any, ...], list[dict[str, Any]]] = {cell: [] for cell in cells}
    results: dict[str, Any] = {"machine": machine("numpy"), "off_crossovers_from": round(OFF, 3)}
    for found in run(jobs, given.keep, given.workers):
        cell = tuple(found["job"][:3])
        by_cell[cell].append(found)
        if len(by_cell[cell]) == given.studies:
            told = summarise(by_cell[cell], cell[2])
            results[", ".join(map(str, cell))] = told
            print(*cell, json.dumps(told), flush=True)
    results["bound"] = {
        f"{design}, {noise}": {
            "without_priors": bound(design, noise, priors=False),
            "with_priors": bound(design, noise, priors=True),
        }
        for design in given.designs
        if design != "with_mixture"
        for noise in NOISE
    }
    print(json.dumps(results["bound"]))
    results["wall_seconds_of_this_run"] = round(time.perf_counter() - start, 1)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
