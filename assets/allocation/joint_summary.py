"""The fields that both forms of a joint answer share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from assets.allocation.joint_problem import JointProblem
from assets.allocation.roots import Floats

Answer = dict[str, Any]


def finite(value: float) -> float | None:
    """Return the value, or None where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None


def summary(read: JointProblem, value: float, performance: Floats) -> Answer:
    """Return objective, worst, mean and performance."""
    weight = np.array([g.weight for g in read.groups])
    shown = (
        -value
        if read.objective.level == "excess" and read.objective.kind in ("max_min", "leximin")
        else value
    )
    return {
        "objective": finite(shown),
        "worst": finite(float(performance.min())),
        "mean": finite(float((weight * performance).sum() / weight.sum()))
        if weight.sum() > 0
        else None,
        "performance": [finite(v) for v in performance.tolist()],
    }
