"""Six pictures of a division: curves, bars, price of fairness, where to collect, change, cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assets.allocation.curves import Curves
from assets.allocation.group_curves import GroupCurves
from assets.allocation.problem import records_of

MOST_GROUPS = 40
_BLUE, _ORANGE, _GREY, _INK = "#2a5c8a", "#c4622d", "#c9ced3", "#30363c"


def _axes(height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _height(count: int) -> float:
    return 1.4 + 0.32 * min(count, MOST_GROUPS)


def learning_curves(
    problem: Mapping[str, Any], answer: Mapping[str, Any], fitted: GroupCurves | None = None
) -> Figure:
    """Draw each group's curve, its 80 % band where it was fitted, and the chosen size."""
    figure, axes = _axes(4.2, "Learning curves and the chosen sizes")
    groups = problem["groups"][:12]
    curves = Curves.from_specs([g["curve"] for g in groups])
    top = max(float(g.get("held") or 0.0) + records_of(g) for g in groups)
    n = np.geomspace(max(top * 1e-4, 1.0), top, 160)
    for i, (group, entry) in enumerate(zip(groups, answer["allocation"], strict=False)):
        one = curves.take(np.full(n.size, i))
        colour = f"C{i % 10}"
        axes.plot(n, one.value(n), color=colour, lw=1.5, label=str(group["name"]))
        if fitted is not None and group["name"] in fitted.groups:
            g = fitted.groups.index(group["name"])
            drawn = (
                fitted.draw_a[:, g, None]
                - fitted.draw_b[:, g, None] * n ** -fitted.draw_p[:, g, None]
            )
            low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
            axes.fill_between(n, low, high, color=colour, alpha=0.18, lw=0)
        held = float(group.get("held") or 0.0)
        if entry["performance"] is not None:
            axes.plot(held + entry["samples"], entry["performance"], "o", color=colour, ms=6)
    axes.set_xscale("log")
    low = [e["performance"] for e in answer["allocation"] if e["performance"] is not None]
    if low:
        axes.set_ylim(bottom=min(0.0, *low) if min(low) < 0 else max(0.0, min(low) - 0.3))
    axes.set_xlabel("samples held and new")
    axes.set_ylabel("performance")
    axes.legend(fontsize=8, frameon=False, ncols=2)
    return figure


def allocation_bars(
    problem: Mapping[str, Any], answer: Mapping[str, Any], ghosts: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw what is available, drawn once and repeated, with simple rules as marks."""
    entries = answer["allocation"][:MOST_GROUPS]
    figure, axes = _axes(_height(len(entries)), "Available, chosen and repeated samples")
    place = np.arange(len(entries))
    available = [records_of(g) for g in problem["groups"]][: len(entries)]
    records = np.array([e["records"] for e in entries], float)
    repeats = np.array([e["samples"] for e in entries], float) - records
    axes.barh(place, available, 0.78, color=_GREY, label="available")
    axes.barh(place, records, 0.4, color=_BLUE, label="chosen")
    axes.barh(
        place, repeats, 0.4, left=records, color=_BLUE, alpha=0.4, hatch="//", label="repeated"
    )
    for marker, (name, counts) in zip("^|xd", ghosts.items(), strict=False):
        axes.plot(counts[: len(entries)], place, marker, color=_ORANGE, ls="", label=name)
    drawn = np.concatenate([available, records + repeats])
    positive = drawn[drawn > 0]
    if positive.size and positive.max() > 200 * positive.min():
        axes.set_xscale("symlog", linthresh=max(float(positive.min()), 1.0))
    axes.set_yticks(place, [str(e["group"]) for e in entries])
    axes.invert_yaxis()
    axes.set_xlabel("samples")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def price_of_fairness(sweep: pl.DataFrame, chosen: tuple[float, float] | None) -> Figure:
    """Draw overall against worst performance over the aversion, and the chosen plan."""
    figure, axes = _axes(3.8, "Overall and worst group as aversion rises")
    axes.plot(sweep["worst"], sweep["overall"], "o-", color=_BLUE, ms=4)
    for row in sweep.filter(pl.col("aversion").is_in([0.0, 1.0, 5.0, 20.0])).to_dicts():
        spot = (row["worst"], row["overall"])
        axes.annotate(
            f"e = {row['aversion']:g}", spot, fontsize=8, xytext=(4, 4), textcoords="offset points"
        )
    if chosen is not None:
        axes.plot(*chosen, "D", color=_ORANGE, ms=8, label="the stated plan")
        axes.legend(fontsize=8, frameon=False)
    axes.set_xlabel("worst group")
    axes.set_ylabel("weighted mean")
    return figure


def where_to_collect(answer: Mapping[str, Any]) -> Figure:
    """Draw the marginal value of one more unit of budget per group, capped groups hatched."""
    entries = [e for e in answer["allocation"] if e["marginal_value"] is not None][:MOST_GROUPS]
    entries = sorted(entries, key=lambda e: -e["marginal_value"])
    figure, axes = _axes(
        _height(len(entries)), "Worth of one more unit of budget: where to collect next"
    )
    place = np.arange(len(entries))
    for at, entry in zip(place, entries, strict=True):
        capped = entry["bound"] == "available"
        axes.barh(
            at,
            entry["marginal_value"],
            0.6,
            color=_ORANGE if capped else _BLUE,
            hatch="//" if capped else None,
        )
    axes.set_yticks(
        place,
        [str(e["group"]) + (" (all taken)" if e["bound"] == "available" else "") for e in entries],
    )
    values = [e["marginal_value"] for e in entries if e["marginal_value"] > 0]
    if values and max(values) > 200 * min(values):
        axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("gain per unit of budget")
    return figure


def before_and_after(change: pl.DataFrame) -> Figure:
    """Draw each group's metric before and after with 95 % intervals (see `fairness.Change`)."""
    figure, axes = _axes(_height(change.height), "Before and after, 95 % intervals")
    place = np.arange(change.height)
    for name, colour, shift in (("before", _GREY, -0.14), ("after", _BLUE, 0.14)):
        middle = change[name].to_numpy()
        half = change[f"{name}_hi95"].to_numpy() - middle
        axes.errorbar(
            middle, place + shift, xerr=half, fmt="o", color=colour, label=name, capsize=3
        )
    axes.set_yticks(place, change["group"].to_list())
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False)
    return figure


def intersections(cells: pl.DataFrame, rows: str, columns: str, value: str = "value") -> Figure:
    """Draw a value by two attributes; suppressed cells (`fairness.suppress_small`) are hatched."""
    across = sorted(cells[columns].cast(pl.String).unique().to_list())
    down = sorted(cells[rows].cast(pl.String).unique().to_list())
    table = np.full((len(down), len(across)), np.nan)
    for cell in cells.to_dicts():
        if cell[value] is not None:
            table[down.index(str(cell[rows])), across.index(str(cell[columns]))] = cell[value]
    figure, axes = _axes(1.6 + 0.5 * len(down), f"{value} by {rows} and {columns}")
    image = axes.imshow(table, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes, shrink=0.8)
    for i, j in np.argwhere(np.isnan(table)):
        axes.add_patch(_hatched(j, i))
    shown = table[~np.isnan(table)]
    bright = shown.min() + 0.6 * np.ptp(shown) if shown.size else 0.0
    for i, j in np.argwhere(~np.isnan(table)):
        ink = "black" if table[i, j] > bright else "white"
        axes.text(j, i, f"{table[i, j]:.3g}", ha="center", va="center", fontsize=8, color=ink)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    return figure


def _hatched(x: float, y: float) -> Any:  # noqa: ANN401 - matplotlib has no types here
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="///", edgecolor=_GREY)
