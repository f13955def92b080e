"""A simulated study of proxy runs for joint problems: planted parameters and the design that tells them."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl

from tests.oracles.allocation_solver import phi

TRUTH = {
    "A": {"curve": (0.95, 2.0, 0.5), "worth": 0.5, "decay": (4.0, 2.0), "U": (64_000, 20_000)},
    "B": {"curve": (0.90, 1.5, 0.35), "worth": 0.6, "decay": (5.0, 3.0), "U": (16_000, 20_000)},
    "C": {"curve": (0.92, 3.0, 0.4), "worth": 0.4, "decay": (3.0, 2.5), "U": (8_000, 9_000)},
}
POOLS = ("clean", "plain")


def design(first, second, whole=True):
    """Return (pool, unique, passes) of each run: nine runs, or four sizes and a repeated run."""
    out = [[(0, first / 4**k, 1)] for k in (3, 2, 1, 0)] + [[(0, first / 4, 8)]]
    if whole:
        out += [[(1, second, 1)], [(1, second / 4, 8)], [(1, second / 16, 1)]]
        out += [[(0, second / 4, 1), (1, second / 4, 1)]]
    return out


def runs(truth=TRUTH, kind="step", noise=0.0, seeds=3, seed=0, whole=None, noisy=None):
    """Return the table of runs; `whole` names groups with all nine runs, `noisy` gives some another noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, group in truth.items():
        a, b, p = group["curve"]
        worth = (1.0, group["worth"])
        spread = (noisy or {}).get(name, noise)
        for number, parts in enumerate(design(*group["U"], whole is None or name in whole)):
            effective = sum(
                worth[q] * unique * float(phi(kind, passes, group["decay"][q]))
                for q, unique, passes in parts
            )
            for s in range(seeds):
                score = a - b * effective**-p + (spread * rng.normal() if spread else 0.0)
                rows += [
                    {
                        "group": name,
                        "pool": POOLS[q],
                        "samples_seen": unique * passes,
                        "unique": unique,
                        "metric_value": score,
                        "direction": "higher",
                        "seed": s,
                        "run_id": f"{name}-{number}-{s}",
                    }
                    for q, unique, passes in parts
                ]
    return pl.DataFrame(rows)


def problem(truth=TRUTH, kind="step", budget=20_000, share=0.1, **change):
    """Return the problem of these groups with everything that runs tell left out."""
    return {
        "repetition": kind,
        "budget": budget,
        "objective": {"kind": "weighted_sum"},
        "draws": {"count": 40},
        "groups": [
            {
                "name": name,
                "weight": 1.0,
                "cells": [
                    {"name": pool, "U": u * share}
                    for pool, u in zip(POOLS, group["U"], strict=True)
                ],
            }
            for name, group in truth.items()
        ],
    } | change


def stated(truth=TRUTH, kind="step", **change):
    """Return the same problem with the planted parameters stated."""
    out = copy.deepcopy(problem(truth, kind, **change))
    del out["draws"]
    for group in out["groups"]:
        of = truth[group["name"]]
        group |= dict(zip("abp", of["curve"], strict=True))
        for cell, worth, decay in zip(group["cells"], (1.0, of["worth"]), of["decay"], strict=True):
            cell |= {"worth": worth, "r_star" if kind == "exp" else "tau": decay}
    return out


def value(answer, group, parameter, pool=None, field="value"):
    """Return a fitted parameter of an answer or of a table of parameters."""
    table = answer["parameters"] if isinstance(answer, dict) else answer
    return next(
        row[field]
        for row in table
        if (row["group"], row["pool"], row["parameter"]) == (group, pool, parameter)
    )
