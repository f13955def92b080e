"""Rules that follow what training measures, replayed from a log of losses into what `schedules.phases` gives.

DoReMi, online data mixing and worst-group sampling give the probabilities of the next stretch of
training; Group DRO and error-bound scaling give loss weights. A trainer that keeps the state itself calls the
steps in `schedules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats
from assets.allocation.schedules import (
    doremi_step,
    error_bound_scaling,
    group_dro_step,
    odm_step,
    worst_group,
)

RULES = {"doremi": 1.0, "odm": None, "worst_group": None, "group_dro": 0.1, "error_bound": 1.0}
_KNOWN = "doremi[=eta], odm, worst_group, group_dro[=eta], error_bound[=gamma]"


@dataclass(frozen=True)
class Followed:
    """`phases` as of `schedules.phases` (empty for loss weights), `loss_weights` per group (or None)."""

    phases: list[dict[str, Any]]
    loss_weights: dict[str, float] | None


def follows_losses(rule: str) -> bool:
    """Say whether the rule needs losses."""
    return rule.partition("=")[0] in RULES


def follow(rule: str, log: pl.DataFrame, groups: Sequence[str]) -> Followed:
    """Replay a rule over a log of losses.

    Parameters
    ----------
    rule
        `doremi[=eta]`, `odm`, `worst_group`, `group_dro[=eta]` or `error_bound[=gamma]`.
    log
        One row a step and group: `step`, `group`, `loss`; for doremi also `reference` (the reference
        model's loss), for worst_group optionally `half_width` (of the loss's interval). A group
        without a row at a step was not in that batch. For odm one group a step.
    groups
        All groups, in the order of the answer.

    Returns
    -------
    Followed
        DoReMi: the mean of its weights over all steps. ODM: the probabilities after the last step.
        Worst group: all of the next draws from the worst (by each group's last loss). Group DRO: its
        weights times the number of groups (mean 1). Error bound: by each group's last loss.

    Raises
    ------
    AllocationError
        The rule is not known, or the log can't be read; with column, step and group.
    """
    name, number = _rule(rule)
    steps = _steps(log, groups, needs_reference=name == "doremi")
    count = len(groups)
    even = np.full(count, 1.0 / count)
    if name == "doremi":
        weights, total = even, np.zeros(count)
        for loss, reference, _ in steps:
            known = np.isfinite(loss)  # a group that was not in the batch keeps its weight
            weights = doremi_step(
                weights, np.where(known, loss, 0.0), np.where(known, reference, 0.0), eta=number
            )
            total = total + weights
        return _sampled(groups, total / len(steps))
    if name == "odm":
        reward, weights = np.zeros(count), even
        for number_of, (loss, _, _) in enumerate(steps, start=1):
            at = np.flatnonzero(np.isfinite(loss))
            if at.size != 1:
                msg = f"losses: odm trains on one group a step, step {number_of} of the log has {at.size}"
                raise AllocationError(msg)
            g = int(at[0])
            reward, weights = odm_step(reward, g, float(loss[g]), weights, number_of)
        return _sampled(groups, weights)
    if name == "group_dro":
        weights = even
        for loss, _, _ in steps:
            weights = group_dro_step(weights, loss, eta=number)
        return _weighted(groups, weights * count)
    last, half = _last(steps)
    if name == "error_bound":
        return _weighted(groups, error_bound_scaling(last, gamma=number))
    worst = worst_group(-last, half if np.isfinite(half).any() else None)
    return _sampled(groups, np.eye(count)[worst])


def _rule(rule: str) -> tuple[str, float]:
    name, given, value = rule.partition("=")
    if name not in RULES or (given and RULES[name] is None):
        msg = f"schedule {rule!r} is not known; use {_KNOWN}"
        raise AllocationError(msg)
    try:
        number = float(value) if given else float(RULES[name] or 0.0)
    except ValueError:
        number = -1.0
    if not np.isfinite(number) or (given and number <= 0):
        msg = f"schedule {rule!r}: a number above 0 is needed"
        raise AllocationError(msg)
    return name, number


def _steps(
    log: pl.DataFrame, groups: Sequence[str], *, needs_reference: bool
) -> list[tuple[Floats, Floats, Floats]]:
    """Return (loss, reference, half width) per step, shape (G,) each; NaN where the log has none."""
    wanted = ["step", "group", "loss", *(["reference"] if needs_reference else [])]
    for column in wanted:
        if column not in log.columns:
            msg = f"losses, column {column}: missing; the table has {log.columns}"
            raise AllocationError(msg)
    for column in ("step", "loss", "reference", "half_width"):
        if column in log.columns and not log[column].dtype.is_numeric():
            msg = f"losses, column {column}: holds {log[column].dtype}, not numbers"
            raise AllocationError(msg)
    place = {name: g for g, name in enumerate(groups)}
    out: dict[float, tuple[Floats, Floats, Floats]] = {}
    optional = [c for c in ("reference", "half_width") if c in log.columns]
    rows = log.select("step", pl.col("group").cast(pl.String), "loss", *optional).sort(
        "step", "group"
    )
    for row in rows.iter_rows(named=True):
        group, loss = row["group"], row["loss"]
        if group not in place:
            msg = f"losses, step {row['step']}: group {group!r} is not in the plan, which has {list(groups)[:20]}"
            raise AllocationError(msg)
        if loss is None or not np.isfinite(loss) or loss < 0:
            msg = f"losses, step {row['step']}, group {group!r}: loss {loss} is no number of 0 or more"
            raise AllocationError(msg)
        blank = (
            np.full(len(groups), np.nan),
            np.full(len(groups), np.nan),
            np.full(len(groups), np.nan),
        )
        at = out.setdefault(row["step"], blank)
        if np.isfinite(at[0][place[group]]):
            msg = f"losses, step {row['step']}: group {group!r} stands twice; keep one"
            raise AllocationError(msg)
        at[0][place[group]] = loss
        for k, column in ((1, "reference"), (2, "half_width")):
            value = row.get(column)
            at[k][place[group]] = np.nan if value is None else value
        if needs_reference and not np.isfinite(at[1][place[group]]):
            msg = f"losses, step {row['step']}, group {group!r}: no reference loss"
            raise AllocationError(msg)
    if not out:
        msg = "losses: the table has no row"
        raise AllocationError(msg)
    return [out[step] for step in sorted(out)]


def _last(steps: Sequence[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats]:
    """Return each group's last loss and half width; NaN where it has none."""
    loss, half = (np.full(steps[0][0].size, np.nan) for _ in range(2))
    for found, _, width in steps:
        here = np.isfinite(found)
        loss, half = np.where(here, found, loss), np.where(here, width, half)
    return loss, half


def _sampled(groups: Sequence[str], probabilities: Floats) -> Followed:
    named = dict(zip(groups, probabilities.tolist(), strict=True))
    return Followed([{"start": 0.0, "probabilities": named}], None)


def _weighted(groups: Sequence[str], weights: Floats) -> Followed:
    return Followed([], dict(zip(groups, weights.tolist(), strict=True)))
