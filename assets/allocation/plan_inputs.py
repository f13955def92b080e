"""Check the settings of a plan and put them into arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from assets.allocation.curves import Curves
from assets.allocation.errors import AllocationError
from assets.allocation.fill import Fill
from assets.allocation.group_curves import GroupCurves
from assets.allocation.levels import level_curves
from assets.allocation.problem import Objective
from assets.allocation.repetition import Cells
from assets.allocation.roots import Floats
from assets.allocation.stated import SUMS, Stated
from assets.allocation.tally import sum_by


class PlanError(AllocationError):
    """The plan's settings do not fit together; the message names the setting and the remedy."""


@dataclass(frozen=True)
class Inputs:
    """Settings in arrays; `group` is the group's position per cell, `has_curve` per group."""

    names: list[str]
    group: np.ndarray
    cells: Cells
    sizes: Floats
    floors: Floats
    weight: Floats
    curves: GroupCurves
    curve_at: np.ndarray
    has_curve: np.ndarray
    objective: Objective
    budget: float | None

    def sub_cells(self, known: np.ndarray) -> Cells:
        """Return the cells of groups `known` only, with groups counted anew."""
        local = np.full(len(self.names), -1)
        local[known] = np.arange(known.size)
        rows = np.flatnonzero(local[self.group] >= 0)
        c = self.cells
        return Cells(
            local[self.group[rows]],
            c.unique[rows],
            c.worth[rows],
            c.cost[rows],
            c.parameter[rows],
            c.max_passes[rows],
            c.kind,
        )

    def stated(self, known: np.ndarray, budget: float | None, floor_spend: Floats) -> Stated:
        """Return the problem of groups `known` with their best curves."""
        cells = self.sub_cells(known)
        names = [self.names[g] for g in known]
        curves = self.curves.central(self.curve_at[known])
        o = self.objective
        return Stated(
            names=names,
            weight=self.weight[known],
            curves=curves,
            level=self.level(curves, known, cells),
            cells=cells,
            fill=Fill(cells, known.size, budget),
            held=np.zeros(known.size),
            floor_spend=floor_spend[known],
            budget=budget,
            kind=o.kind,
            aversion=o.aversion or 0.0,
            target=-o.target if o.target is not None and o.level == "excess" else o.target,
        )

    def level(self, curves: Curves, known: np.ndarray, cells: Cells) -> Curves:
        """Return `curves` of groups `known` on the chosen level."""
        full = sum_by(cells.group, cells.worth_of(cells.unique * cells.max_passes), known.size)
        chance = self.curves.chance[self.curve_at[known]]
        names = [self.names[g] for g in known]
        return level_curves(curves, self.objective.level, chance, curves.value(full), names)

    def drawn(self, stated: Stated, known: np.ndarray) -> list[Stated]:
        """Return the same problem for every draw of the curves."""
        out = []
        for number in range(self.curves.draw_a.shape[0]):
            curves = self.curves.draw(number, self.curve_at[known])
            level = self.level(curves, known, stated.cells)
            out.append(replace(stated, curves=curves, level=level))
        return out


def read_inputs(
    table: pl.DataFrame,
    budget: float | None,
    objective: Mapping[str, Any],
    curves: GroupCurves | None,
    weights: Mapping[str, float] | str | None,
    costs: Mapping[str, float],
    floors: Mapping[str, float],
    worth: Mapping[int, float],
    repeat: tuple[str, float | Mapping[int, float], float],
) -> Inputs:
    """Return checked settings.

    Raises
    ------
    PlanError
        Naming the setting and the remedy.
    """
    try:
        o = Objective.model_validate(dict(objective))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        msg = f"setting objective, {path}: {first['msg'].lower()}"
        raise PlanError(msg) from None
    if curves is None:
        msg = "setting objective: it needs learning curves of the groups; run proxies or state none"
        raise PlanError(msg)
    if o.kind in ("max_min", "leximin", "min_cost") and o.level is None:
        msg = (
            f"setting objective.level: {o.kind} compares groups; "
            "name raw, excess, skill or attainable"
        )
        raise PlanError(msg)
    if o.kind == "isoelastic" and o.aversion is None:
        msg = "setting objective.aversion: isoelastic needs it (0 sum, 1 log, large near max-min)"
        raise PlanError(msg)
    names = table["group"].unique(maintain_order=True).to_list()
    _check_named("costs", costs, names)
    _check_named("floors", floors, names)
    for name, price in costs.items():
        if not price > 0:
            msg = f"setting costs: group {name!r} costs {price}; use a price above 0"
            raise PlanError(msg)
    position = {name: i for i, name in enumerate(names)}
    group = np.array([position[g] for g in table["group"].to_list()])
    pool = table["pool"].to_list()
    kind, decay, most = repeat
    rate = [float(decay[q]) if isinstance(decay, Mapping) else float(decay) for q in pool]
    available = table["available"].to_numpy().astype(float)
    price_of = np.array([float(costs.get(n, 1.0)) for n in names])
    cells = Cells(
        group,
        available,
        np.array([float(worth.get(q, 1.0)) for q in pool]),
        table["cost"].to_numpy() * price_of[group],
        np.array(rate),
        np.full(len(rate), 1.0 if kind == "none" else float(most)),
        kind,
    )
    sizes = sum_by(group, available, len(names))
    where = {name: i for i, name in enumerate(curves.groups)}
    curve_at = np.array([where.get(n, -1) for n in names])
    return Inputs(
        names=names,
        group=group,
        cells=cells,
        sizes=sizes,
        floors=np.ceil(np.array([float(floors.get(n, 0.0)) for n in names]) - 1e-9),
        weight=_weights(weights, names, sizes, o.kind),
        curves=curves,
        curve_at=curve_at,
        has_curve=np.array([i >= 0 and bool(curves.usable[i]) for i in curve_at]),
        objective=o,
        budget=budget,
    )


def _check_named(setting: str, given: Mapping[str, float], names: list[str]) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        msg = f"setting {setting}: no records of groups {unknown}; known groups are {names[:20]}"
        raise PlanError(msg)


def _weights(
    weights: Mapping[str, float] | str | None, names: list[str], sizes: Floats, kind: str
) -> Floats:
    if weights == "equal":
        return np.full(len(names), 1.0 / len(names))
    if weights == "proportional":
        return np.asarray(sizes / sizes.sum())
    if isinstance(weights, Mapping):
        missing = [n for n in names if n not in weights]
        if missing and kind in SUMS:
            msg = (
                f"setting weights: groups {missing[:10]} have none; "
                "give each one, or say equal or proportional"
            )
            raise PlanError(msg)
        return np.array([float(weights.get(n, 1.0)) for n in names])
    if kind in SUMS:
        msg = f"setting weights: {kind} needs them: numbers, equal, or proportional"
        raise PlanError(msg)
    return np.ones(len(names))
