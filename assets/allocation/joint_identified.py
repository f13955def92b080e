"""Refuse runs that can't tell a parameter of a joint problem, and name the run that would."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assets.allocation.group_curves import LEAST_SIZES, CurveError
from assets.allocation.joint_fit import Model
from assets.allocation.joint_problem import JointGroup


def check_identified(
    models: Mapping[str, Model], groups: Mapping[str, JointGroup], labels: Mapping[str, list[str]]
) -> None:
    """Raise CurveError for the first parameter that no run tells.

    A curve needs four fresh sizes of one pool of its own group and a run of the pool of worth 1. Worth
    and decay may come from the same pool of another group, as they are shrunk to what groups share.
    """
    drawn, repeated = set(), set()
    for name, model in models.items():
        for q, label in enumerate(labels[name]):
            if (model.runs.samples[:, q] > 0).any():
                drawn.add(label)
            if not model.runs.once[:, q].all():
                repeated.add(label)
    for name, model in models.items():
        known, cells = labels[name], groups[name].cells
        if not model.runs.score.size:
            _fail(
                name,
                "p",
                f"no run; the group can't be allocated without a pilot: train pool {known[0]!r} fresh on "
                f"{LEAST_SIZES} sizes, each four times the last, and a quarter of its records 8 times, 3 "
                "seeds each, or state a, b and p, or take the group out",
            )
        _check_curve(name, model, known)
        for q in model.worths:
            if known[q] not in drawn:
                _fail(
                    name,
                    "worth",
                    "no run of any group draws from it; train on it alone, fresh, at a size at which "
                    "the reference pool was trained, or state worth",
                    known[q],
                )
        for q in model.decays:
            if known[q] not in repeated:
                size = f"{cells[q].U / 4:.0f} of its {cells[q].U:g} records"
                field = "r_star" if model.kind == "exp" else "tau"
                _fail(
                    name,
                    field,
                    f"no run of any group repeats it; train on {size} 8 times over (beside a fresh run "
                    f"of as many samples), or state {field}, max_passes 1 or repetition none",
                    known[q],
                )


def _check_curve(name: str, model: Model, known: list[str]) -> None:
    runs = model.runs
    fresh = runs.samples[runs.fresh]
    alone = (fresh > 0).sum(axis=1) == 1
    sizes = {
        label: np.unique(fresh[alone & (fresh[:, q] > 0), q]).tolist()
        for q, label in enumerate(known)
    }
    most = max(sizes, key=lambda label: len(sizes[label]))
    if len(sizes[most]) < LEAST_SIZES:
        has = ", ".join(f"{v:g}" for v in sizes[most]) or "none"
        _fail(
            name,
            "p",
            f"fresh runs have {len(sizes[most])} sizes of one pool ({has}), and a curve needs "
            f"{LEAST_SIZES}; train further sizes, each about four times the last, or state a, b and p",
            most,
        )
    fixed = [q for q in range(len(known)) if q not in model.worths and model.worth[q] > 0]
    if not any((runs.samples[:, q] > 0).any() for q in fixed):
        q = fixed[0]
        _fail(
            name,
            "b",
            "no run draws from it, and the worth of the others is told in its samples; train on it "
            "alone, fresh, or name another reference by stating its worth",
            known[q],
        )


def _fail(group: str, field: str, text: str, pool: str | None = None) -> None:
    where = f"group {group!r}" + ("" if pool is None else f", pool {pool!r}")
    msg = f"{where}, field {field}: {text}"
    raise CurveError(msg)
