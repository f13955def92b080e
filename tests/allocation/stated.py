"""Problems that several tests state, and the check of an answer against them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.allocation_solver import performance, phi

SUM = {"kind": "weighted_sum"}
MAX_MIN = {"kind": "max_min", "level": "raw"}


def three(budget: float = 50_000, **objective):
    """The setting of the adaptive-sampling study: three power curves, unequal costs and weights."""
    rows = [
        ("A", 0.6, 1, 0.95, 2, 0.5),
        ("B", 0.3, 2, 0.90, 1.5, 0.25),
        ("C", 0.1, 5, 0.92, 3, 0.35),
    ]
    return {
        "budget": budget,
        "objective": objective,
        "groups": [
            {
                "name": n,
                "weight": w,
                "cost": c,
                "available": 1e9,
                "curve": {"form": "power", "a": a, "b": b, "p": p},
            }
            for n, w, c, a, b, p in rows
        ],
    }


def as_cells(problem):
    """The same problem for the independent solver."""
    out = []
    for g in problem["groups"]:
        repeat = g.get("repeats") or {}
        tail = ("exp", repeat.get("r_star", 1.0), repeat.get("max_passes", 1.0))
        pools = g.get("pools") or [{"available": g["available"], "worth": 1.0, "cost": g["cost"]}]
        out.append(
            {
                "weight": g.get("weight", 1.0),
                "curve": g["curve"],
                "held": g.get("held", 0.0),
                "floor": g.get("floor", 0.0),
                "cells": [(p["available"], p["worth"], p["cost"], *tail) for p in pools],
            }
        )
    return out


def samples(answer):
    return np.array([entry["samples"] for entry in answer["allocation"]])


def check_feasible(problem, answer, tolerance=1e-9):
    spend = 0.0
    for group, entry in zip(problem["groups"], answer["allocation"], strict=True):
        most = (group.get("repeats") or {}).get("max_passes", 1.0)
        pools = group.get("pools") or [{"cost": group["cost"], "available": group["available"]}]
        drawn = [p["samples"] for p in entry.get("pools", [])] or [entry["samples"]]
        rate = (group.get("repeats") or {}).get("r_star", 1.0)
        effective = group.get("held", 0.0) + sum(
            p.get("worth", 1.0) * p["available"] * phi("exp", x / p["available"], rate)
            for p, x in zip(pools, drawn, strict=True)
        )
        if entry["performance"] is not None:
            again = performance(group["curve"], effective)
            assert entry["performance"] == pytest.approx(again, rel=1e-8, abs=1e-10)
        for pool, x in zip(pools, drawn, strict=True):
            assert -1e-12 <= x <= pool["available"] * most * (1 + tolerance)
            spend += x * pool["cost"]
        assert entry["records"] <= sum(p["available"] for p in pools) * (1 + tolerance)
        assert entry["samples"] >= group.get("floor", 0.0) * (1 - tolerance)
    assert spend == pytest.approx(answer["spend"], rel=1e-9, abs=1e-9)
    if problem.get("budget") is not None:
        assert spend <= problem["budget"] * (1 + tolerance) + 1e-9


def two_by_two(kind="weighted_sum"):
    """The simplest joint problem in which staging loses."""

    def group(name, clean):
        return {
            "name": name,
            "weight": 0.5,
            "a": 0.95,
            "b": 2.0,
            "p": 0.5,
            "cells": [
                {"U": clean, "worth": 1.0, "tau": 0.9},
                {"U": 1000, "worth": 0.5, "tau": 0.9},
            ],
        }

    return {
        "formulation": "effective",
        "repetition": "step",
        "budget": 1000,
        "objective": {"kind": kind},
        "groups": [group("A", 1000), group("B", 60)],
    }
