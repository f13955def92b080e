"""Random allocation problems."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st


def _round(low: float, high: float, digits: int = 3):
    return st.floats(low, high, allow_nan=False).map(lambda v: round(v, digits))


@st.composite
def curve(draw):
    form = draw(st.sampled_from(["power", "offset", "hyperbola", "tabulated"]))
    if form == "hyperbola":
        return {"form": form, "a": draw(_round(0.3, 0.99)), "k": draw(_round(5, 500))}
    if form == "tabulated":
        steps = draw(st.lists(st.integers(10, 300), min_size=2, max_size=5))
        slopes = sorted((draw(_round(0.0001, 0.003, 5)) for _ in steps), reverse=True)
        rises = [0.05, *(s * x for s, x in zip(slopes, steps, strict=True))]
        scale = max(1.0, sum(rises) / 0.95)
        n = [0, *itertools.accumulate(steps)]
        return {"form": form, "n": n, "value": [v / scale for v in itertools.accumulate(rises)]}
    power = {
        "form": form,
        "a": draw(_round(0.6, 0.99)),
        "b": draw(_round(0.3, 3.0)),
        "p": draw(_round(0.1, 1.0)),
    }
    return power | ({"offset": draw(_round(1, 200))} if form == "offset" else {})


@st.composite
def groups(draw, low: int = 1, high: int = 4, *, pools: bool = True, repeats: bool = True):
    out = []
    for i in range(draw(st.integers(low, high))):
        group = {
            "name": f"g{i}",
            "weight": draw(_round(0.1, 3.0)),
            "cost": draw(_round(0.5, 5.0)),
            "available": draw(st.integers(5, 2000)),
            "curve": draw(curve()),
        }
        if draw(st.booleans()):
            group["held"] = draw(_round(1, 50))
        if repeats and draw(st.booleans()):
            group["repeats"] = {
                "r_star": draw(_round(0.5, 15)),
                "max_passes": draw(st.integers(1, 4)),
            }
        if pools and draw(st.integers(0, 2)) == 0:
            group["pools"] = [
                {
                    "name": f"p{k}",
                    "worth": draw(_round(0.1, 1.0)),
                    "cost": draw(_round(0.5, 5.0)),
                    "available": draw(st.integers(5, 500)),
                }
                for k in range(draw(st.integers(1, 3)))
            ]
            group["available"] = sum(p["available"] for p in group["pools"])
        out.append(group)
    return out


@st.composite
def joint_problem(draw, *, kinds=("weighted_sum", "isoelastic", "max_min", "leximin")):
    kind = draw(st.sampled_from(kinds))
    repetition = draw(st.sampled_from(["step", "exp", "power"]))
    pools = draw(st.integers(1, 3))
    rows = []
    for i in range(draw(st.integers(1, 3))):
        cells = []
        for _ in range(pools):
            cell = {
                "U": draw(st.integers(20, 2000)),
                "worth": draw(_round(0.1, 1.0)),
                "cost": draw(_round(0.5, 3.0)),
            }
            cell["r_star" if repetition == "exp" else "tau"] = draw(_round(0.5, 6.0))
            if draw(st.booleans()):
                cell["max_passes"] = draw(st.integers(1, 4))
            cells.append(cell)
        rows.append(
            {
                "name": f"g{i}",
                "weight": draw(_round(0.1, 1.0)),
                "a": draw(_round(0.8, 0.99)),
                "b": draw(_round(0.3, 1.0)),
                "p": draw(_round(0.2, 0.8)),
                "held": draw(_round(2, 60)),
                "cells": cells,
            }
        )
    objective = {"kind": kind}
    if kind == "isoelastic":
        objective["aversion"] = draw(st.sampled_from([0.5, 1.0, 2.0]))
    return {
        "formulation": "effective",
        "repetition": repetition,
        "budget": draw(_round(50, 3000)),
        "objective": objective,
        "groups": rows,
    }
