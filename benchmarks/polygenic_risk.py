"""A light replica of the polygenic-risk setting of the equitable-sampling study: five claims asserted.

Two populations drift from one (Balding-Nichols, F_ST 0.15), without linkage; 1,000 of 20,000 sites
are causal, chosen where minor-allele frequencies differ most one way (`top_diff`) or the other
(`bottom_diff`). Liability has heritability 0.5; the top 5 % of each group are cases. Each group's score
uses its own chi-square selected log odds ratios; probabilities are Platt-scaled to 5 % prevalence, and
performance is mean realised utility: 100 a treated case, -5 a treated person, so treating nobody or
everybody is worth 0 and a perfect score 4.75. The published figures are not known to us and no match
with them is claimed. Some 3 minutes on one core.

    python benchmarks/polygenic_risk.py [SEEDS]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.allocation.answer import allocate

SITES, CAUSAL, PEOPLE, FST = 20_000, 1_000, 100_000, 0.15
SIZES = (50, 200, 400, 800, 1500, 2500)  # cases; as many controls
BENEFIT, COST, PREVALENCE = 100.0, 5.0, 0.05
GROUPS = ("CEU", "YRI")


def frequencies(rng):
    ancestral = rng.uniform(0.05, 0.95, SITES)
    scale = (1 - FST) / FST
    return {g: rng.beta(ancestral * scale, (1 - ancestral) * scale) for g in GROUPS}


def minor(p):
    return np.minimum(p, 1 - p)


def genotypes(rng, p, people):
    """Return alternative-allele counts, int8, shape (people, sites), in Hardy-Weinberg proportions."""
    out = np.empty((people, p.size), np.int8)
    threshold = p.astype(np.float32)
    for at in range(0, people, 2000):
        block = slice(at, min(at + 2000, people))
        shape = (block.stop - block.start, p.size)
        out[block] = (rng.random(shape, np.float32) < threshold).astype(np.int8)
        out[block] += rng.random(shape, np.float32) < threshold
    return out


def causal_liability(rng, frequency, which, effects):
    """Return liability of PEOPLE per group from the causal sites alone (z-scored over all)."""
    genes = {g: genotypes(rng, frequency[g][which], PEOPLE) for g in GROUPS}
    score = {g: genes[g].astype(np.float32) @ effects.astype(np.float32) for g in GROUPS}
    both = np.concatenate(list(score.values()))
    spread = {g: float(score[g].var() / both.var()) for g in GROUPS}
    value = {
        g: np.sqrt(0.5) * (score[g] - both.mean()) / both.std()
        + np.sqrt(0.5) * rng.standard_normal(PEOPLE)
        for g in GROUPS
    }
    return genes, value, spread


def log_odds(cases, controls):
    """Return per-site log odds ratio and allelic chi-square from alternative-allele counts."""
    n, m = 2 * len(cases), 2 * len(controls)
    a = cases.sum(axis=0, dtype=np.int64).astype(float)
    b = controls.sum(axis=0, dtype=np.int64).astype(float)
    weight = np.log((a + 0.5) * (m - b + 0.5) / ((n - a + 0.5) * (b + 0.5)))
    pooled = (a + b) / (n + m)
    variance = np.maximum(pooled * (1 - pooled) * (1 / n + 1 / m), 1e-12)
    return weight, (a / n - b / m) ** 2 / variance, np.minimum(pooled, 1 - pooled)


def platt(score, case):
    """Return (slope, intercept) of a logistic fit with prevalence restored by weights."""
    weight = np.where(case, 1.0, (1 - PREVALENCE) / PREVALENCE)
    scale = score.std() or 1.0
    x = np.stack([score / scale, np.ones(score.size)], axis=1)
    beta = np.array([0.0, np.log(PREVALENCE / (1 - PREVALENCE))])
    for _ in range(30):
        prob = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        hessian = (x * (weight * prob * (1 - prob))[:, None]).T @ x + 1e-9 * np.eye(2)
        beta = beta + np.linalg.solve(hessian, x.T @ (weight * (case - prob)))
    return beta[0] / scale, beta[1]


def curve_of(rng, frequency, which, genes, liability):
    """Return mean utility per training size of one group's own score."""
    case = liability > np.quantile(liability, 1 - PREVALENCE)
    cases, others = np.flatnonzero(case), np.flatnonzero(~case)
    half = len(cases) // 2
    train_cases, test_cases = cases[:half], cases[half:]
    train_controls, test_controls = others[:half], others[half : half + 19 * (len(cases) - half)]
    rest = np.setdiff1d(np.arange(SITES), which)
    tested = np.concatenate([test_cases, test_controls])
    most = max(SIZES)
    null_cases = genotypes(rng, frequency[rest], most)
    null_controls = genotypes(rng, frequency[rest], most)
    utility = []
    for n in SIZES:
        at, off = genes[train_cases[:n]], genes[train_controls[:n]]
        weight, chi, maf = log_odds(at, off)
        null_weight, null_chi, null_maf = log_odds(null_cases[:n], null_controls[:n])
        keep = (chi > 6.635) & (maf >= 0.01)  # p < 0.01
        null_keep = (null_chi > 6.635) & (null_maf >= 0.01)
        w, v = np.where(keep, weight, 0.0), np.where(null_keep, null_weight, 0.0)
        train = np.concatenate([at @ w + null_cases[:n] @ v, off @ w + null_controls[:n] @ v])
        slope, intercept = platt(train, np.arange(2 * n) < n)
        # sites that cause nothing are drawn anew for the test: their score is noise of known law
        noise = np.sqrt((2 * frequency[rest] * (1 - frequency[rest])) @ v**2)
        score = (
            genes[tested] @ w + 2 * frequency[rest] @ v + noise * rng.standard_normal(tested.size)
        )
        treated = 1 / (1 + np.exp(-np.clip(slope * score + intercept, -30, 30))) > COST / BENEFIT
        is_case = np.arange(tested.size) < test_cases.size
        utility.append(float((treated * (BENEFIT * is_case - COST)).mean()))
    return utility


def simulate(seed):
    rng = np.random.default_rng(seed)
    frequency = frequencies(rng)
    gap = minor(frequency["CEU"]) - minor(frequency["YRI"])
    order = np.argsort(gap)
    out = {}
    for name, which in (("top_diff", order[-CAUSAL:]), ("bottom_diff", order[:CAUSAL])):
        effects = rng.normal(0, np.sqrt(0.5 / CAUSAL), CAUSAL)
        genes, liability, spread = causal_liability(rng, frequency, which, effects)
        for g in GROUPS:
            curve = curve_of(rng, frequency[g], which, genes[g], liability[g])
            out[name, g] = {"variance": spread[g], "utility": curve}
    return out


def optimum(curves, kind):
    """Divide 3,000 cases between the groups over the concave hull of the measured curves."""
    groups = []
    for g, utility in curves.items():
        n, f = hull(np.array(SIZES[2:], float), np.array(utility[2:]))
        table = {"form": "tabulated", "n": n.tolist(), "value": f.tolist()}
        groups.append(
            {
                "name": g,
                "weight": 0.5,
                "cost": 1,
                "available": SIZES[-1],
                "floor": SIZES[2],
                "curve": table,
            }
        )
    objective = {"kind": kind} | ({"level": "raw"} if kind == "max_min" else {})
    return allocate({"budget": 3_000, "objective": objective, "groups": groups})


def hull(n, f):
    keep = [0]
    for i in range(1, n.size):
        while len(keep) > 1 and (f[keep[-1]] - f[keep[-2]]) * (n[i] - n[keep[-2]]) <= (
            f[i] - f[keep[-2]]
        ) * (n[keep[-1]] - n[keep[-2]]):
            keep.pop()
        keep.append(i)
    top = int(np.argmax(f[keep])) + 1
    return n[keep][:top], f[keep][:top]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    started = time.process_time()
    runs = [simulate(seed) for seed in range(seeds)]
    mean = {k: np.mean([r[k]["utility"] for r in runs], axis=0) for k in runs[0]}
    print("mean utility by cases     " + " ".join(f"{n:>7}" for n in SIZES) + "  var(G)")
    for (which, g), utility in mean.items():
        spread = np.mean([r[which, g]["variance"] for r in runs])
        print(
            f"{which:12} {g}          " + " ".join(f"{v:7.3f}" for v in utility) + f"  {spread:.3f}"
        )
    # (iv) in the mean of the four curves: a convex foot below some 400 cases, concave above
    slopes = np.diff(np.mean(list(mean.values()), axis=0)) / np.diff(SIZES)
    assert slopes[1] < slopes[2], slopes
    assert slopes[2] > slopes[3] > slopes[4], slopes
    better = {"top_diff": "CEU", "bottom_diff": "YRI"}
    plans = {}
    for which, rich in better.items():
        poor = next(g for g in GROUPS if g != rich)
        # (i) the gap's sign flips with the choice of causal sites, (v) so equal n is not equal utility
        assert mean[which, rich][-1] > mean[which, poor][-1] + 0.2, which
        for g in GROUPS:
            u = mean[which, g]
            assert (u > -0.15).all(), (which, g)  # (ii) bounds
            assert (u <= 4.75).all(), (which, g)
            assert (np.diff(u) > 0).all(), (which, g, u)  # (iii) increasing
        both = {g: mean[which, g] for g in GROUPS}
        for kind in ("weighted_sum", "max_min"):
            answer = optimum(both, kind)
            plans[which, kind] = {e["group"]: e["samples"] for e in answer["allocation"]}
            print(f"{which:12} {kind:13} {plans[which, kind]} objective {answer['objective']:.3f}")
        # (vi) the sum gives more to the better-off group, max-min the opposite
        assert plans[which, "weighted_sum"][rich] > plans[which, "weighted_sum"][poor]
        assert plans[which, "max_min"][poor] > plans[which, "max_min"][rich]
    seconds = time.process_time() - started
    results = {
        "utility": {f"{w} {g}": u.tolist() for (w, g), u in mean.items()},
        "plans": {f"{w} {k}": p for (w, k), p in plans.items()},
        "cpu_seconds": seconds,
    }
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "polygenic_risk.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"the claims hold; {seconds:.0f} CPU seconds, {seeds} seeds")


if __name__ == "__main__":
    main()
