"""Independent answers for allocation problems: general solvers on scaled cells, and brute force.

Nothing here uses the project's solver: worth functions, curves and welfare are written out again.
"""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np


def phi(kind: str, r: float, parameter: float) -> float:
    """Worth of r passes by adding pass after pass."""
    if r <= 1 or kind == "none":
        return min(r, 1.0) if kind == "none" else r
    if kind == "exp":
        return 1 + parameter * (1 - math.exp(-(r - 1) / parameter))
    delta = 0.5 ** (1 / parameter)
    total, done = 1.0, 1.0
    while done < r:
        part = min(1.0, r - done)
        if kind == "step":
            total += part * delta**done
        else:
            total *= ((done + part) / done) ** (delta**done)
        done += 1
    return total


def performance(curve: dict, n: float) -> float:
    if curve.get("form") == "hyperbola":
        return curve["a"] * n / (n + curve["k"])
    if curve.get("form") == "tabulated":
        return float(np.interp(n, curve["n"], curve["value"]))
    if n + curve.get("offset", 0.0) <= 0:
        return -math.inf
    return curve["a"] - curve["b"] * (n + curve.get("offset", 0.0)) ** -curve["p"]


def welfare(values, weights, aversion: float) -> float:
    total = 0.0
    for f, w in zip(values, weights, strict=True):
        if aversion == 0:
            total += w * f
        elif f <= 0:
            return -math.inf
        else:
            total += w * (math.log(f) if aversion == 1 else f ** (1 - aversion) / (1 - aversion))
    return total


def solve_cells(groups, budget: float, objective: str, aversion: float = 0.0, starts: int = 3):
    """Maximise over samples of every cell by SLSQP on shares of the budget.

    `groups`: dicts with weight, curve, held, floor, cells [(U, worth, cost, kind, parameter, cap)].
    Returns the best objective found (max-min through a level variable).
    """
    from scipy.optimize import minimize as scipy_minimize

    def minimize(*args, **kwargs):
        with warnings.catch_warnings():  # a start at which the welfare is -inf has no slope
            warnings.simplefilter("ignore", RuntimeWarning)
            return scipy_minimize(*args, **kwargs)

    cells = [(g, c) for g, group in enumerate(groups) for c in group["cells"]]
    cost = np.array([c[2] for _, c in cells])
    scale = budget / cost / len(cells)
    cap = np.array([c[0] * c[5] for _, c in cells])

    def values(y):
        x = np.minimum(np.maximum(y, 0) * scale, cap)
        effective = [group.get("held", 0.0) for group in groups]
        for (g, c), v in zip(cells, x, strict=True):
            if c[0] > 0:
                effective[g] += c[1] * c[0] * phi(c[3], v / c[0], c[4])
        return [performance(group["curve"], e) for group, e in zip(groups, effective, strict=True)]

    weights = [group.get("weight", 1.0) for group in groups]
    bounds = [(0.0, c / s) for c, s in zip(cap, scale, strict=True)]
    limits = [
        {"type": "ineq", "fun": lambda y: 1.0 - (y[: len(cells)] * scale * cost).sum() / budget}
    ]
    for g, group in enumerate(groups):
        if group.get("floor"):
            rows = [i for i, (h, _) in enumerate(cells) if h == g]
            limits.append(
                {
                    "type": "ineq",
                    "fun": lambda y, rows=rows, f=group["floor"]: (
                        (y[rows] * scale[rows]).sum() / f - 1
                    ),
                }
            )
    best = -math.inf
    rng = np.random.default_rng(0)
    for start in range(starts):
        y0 = np.ones(len(cells)) if start == 0 else rng.dirichlet(np.ones(len(cells))) * len(cells)
        y0 = np.minimum(y0, [b[1] for b in bounds]) * 0.999
        if objective == "sum":
            fun = lambda y: -welfare(values(y), weights, aversion)  # noqa: E731
            out = minimize(
                fun,
                y0,
                bounds=bounds,
                constraints=limits,
                method="SLSQP",
                options={"maxiter": 500, "ftol": 1e-14},
            )
            y, value = out.x, -out.fun
        else:
            z0 = np.append(y0, min(values(y0)))
            more = [{"type": "ineq", "fun": lambda z: np.array(values(z[:-1])) - z[-1]}]
            out = minimize(
                lambda z: -z[-1],
                z0,
                bounds=[*bounds, (None, None)],
                constraints=limits + more,
                method="SLSQP",
                options={"maxiter": 500, "ftol": 1e-14},
            )
            y = out.x[:-1]
            value = min(values(y))
        if (y * scale * cost).sum() <= budget * (1 + 1e-9) and np.isfinite(value):
            best = max(best, value)
    return best


def brute_force(groups, budget: int, objective: str, aversion: float = 0.0) -> float:
    """Best objective over all whole samples of all cells (unit or whole costs); exponential."""
    cells = [(g, c) for g, group in enumerate(groups) for c in group["cells"]]
    weights = [group.get("weight", 1.0) for group in groups]
    best = -math.inf
    ranges = [range(int(min(budget / c[2], c[0] * c[5])) + 1) for _, c in cells]
    for x in itertools.product(*ranges):
        if sum(v * c[2] for v, (_, c) in zip(x, cells, strict=True)) > budget + 1e-9:
            continue
        effective = [group.get("held", 0.0) for group in groups]
        count = [0] * len(groups)
        for (g, c), v in zip(cells, x, strict=True):
            effective[g] += c[1] * c[0] * phi(c[3], v / c[0], c[4])
            count[g] += v
        if any(n < group.get("floor", 0) for n, group in zip(count, groups, strict=True)):
            continue
        f = [performance(group["curve"], e) for group, e in zip(groups, effective, strict=True)]
        best = max(best, welfare(f, weights, aversion) if objective == "sum" else min(f))
    return best


def mixture_stepwise(a, height, n0, pools, x, steps: int = 200_000) -> float:
    """Integrate d ln y / d ln n = -sum w_i beta_i delta_i^floor(w_i n/U_i) at fixed w."""
    n = sum(x)
    w = [v / n for v in x]
    grid = np.exp(np.linspace(math.log(n0), math.log(n), steps + 1))
    middle = np.sqrt(grid[:-1] * grid[1:])
    rate = np.zeros(steps)
    for w_i, (unique, beta, tau) in zip(w, pools, strict=True):
        rate += w_i * beta * (0.5 ** (1 / tau)) ** np.floor(w_i * middle / unique)
    return a - height * math.exp(-float((rate * np.diff(np.log(grid))).sum()))
