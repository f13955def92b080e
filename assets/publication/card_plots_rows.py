"""Figures of what became of rows: fates as one bar, fates by group, survival through the stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import (
    MOST_PANELS,
    WIDTH,
    axes_at,
    canvas,
    heading,
    numbers_on,
    panels,
    room_for,
    sample_axis,
)
from assets.publication.card_format import compact, count, natural, share, shorten
from assets.publication.card_palette import HATCHES, fate_order, fate_token, light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Steps of `survival` in the order that rows pass them.
STEPS = ("read", "unique", "kept", "offered", "planned", "published")


def fate_rows(fates: pl.DataFrame) -> list[tuple[str, int]]:
    """Return (fate, rows) in the order of the bars; every fate that occurs is in it."""
    summed: dict[str, int] = {}
    for fate, rows in fates.select("fate", "rows").iter_rows():
        name = "unknown" if fate is None else str(fate)
        summed[name] = summed.get(name, 0) + int(rows or 0)
    return sorted(summed.items(), key=lambda pair: fate_order(pair[0]))


def group_rows(survival: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return rows by group and step; groups in natural order, steps in the order of the flow."""
    steps = {str(step) for step in survival["step"]}
    order = [step for step in STEPS if step in steps] + sorted(steps - set(STEPS))
    groups: dict[str, dict[str, int]] = {}
    for group, step, rows in survival.select("group", "step", "rows").iter_rows():
        name = "(no group)" if group is None else str(group)
        held = groups.setdefault(name, dict.fromkeys(order, 0))
        held[str(step)] += int(rows or 0)
    return {name: groups[name] for name in sorted(groups, key=natural)}


@drawn
def fates_bar(fates: pl.DataFrame) -> Figure:
    """Draw all rows as one bar, split by fate; wide segments are labelled in place.

    Parameters
    ----------
    fates
        At least `fate` and `rows`.
    """
    figure = canvas(86)
    axes = axes_at(figure, 0, 40, WIDTH, 40)
    pairs = fate_rows(fates)
    total = sum(rows for _, rows in pairs) or 1
    left = 0.0
    for fate, rows in pairs:
        _segment(axes, 0, left, rows / total, fate, height=1.0)
        name, part = shorten(fate.replace("_", " "), 24), share(rows, total)
        if rows / total * WIDTH > 6.1 * max(len(name), len(part)) + 4:
            at = left + 1 / WIDTH
            axes.text(at, 0.62, part, fontsize=10.5, color=light("soft"))
            axes.text(at, 1.02, name, fontsize=10.5)
        left += rows / total
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.5, 0.5)
    axes.axis("off")
    return figure


def _segment(
    axes: Axes, place: float, left: float, width: float, fate: str, *, height: float
) -> None:
    """Draw one part of a stacked bar, parted from the next by the colour of the page."""
    axes.barh(
        place,
        width,
        height=height,
        left=left,
        color=light(fate_token(fate)),
        hatch=HATCHES.get(fate),
        edgecolor=light("page"),
        linewidth=0.8,
    )


@drawn
def fates_by_group_bars(fates_by_group: pl.DataFrame) -> Figure:
    """Draw one bar a group, all of the same length, split by fate as shares of the group.

    At most 60 groups are drawn, those with the most rows.
    """
    groups: dict[str, dict[str, int]] = {}
    for group, fate, rows in fates_by_group.select("group", "fate", "rows").iter_rows():
        name = "(no group)" if group is None else str(group)
        held = groups.setdefault(name, {})
        held[str(fate)] = held.get(str(fate), 0) + int(rows or 0)
    ranked = sorted(groups, key=lambda name: (-sum(groups[name].values()), natural(name)))
    ranked = sorted(ranked[:MOST_PANELS], key=natural)
    fates = sorted({fate for held in groups.values() for fate in held}, key=fate_order)
    step = 24 if len(ranked) <= 16 else 17
    legend_rows = -(-len(fates) // 5)
    figure = canvas(step * max(1, len(ranked)) + 24 + 20 * legend_rows + 8)
    left = room_for([shorten(name, 20) for name in ranked])
    axes = axes_at(
        figure, left, 10 + 20 * legend_rows, WIDTH - left - 90, step * max(1, len(ranked))
    )
    for place, name in enumerate(ranked):
        total = sum(groups[name].values()) or 1
        at = 0.0
        for fate in fates:
            rows = groups[name].get(fate, 0)
            if rows:
                _segment(axes, place, at, rows / total, fate, height=0.74)
            at += rows / total
        axes.text(1.01, place, count(total), va="center", fontsize=10, color=light("soft"))
    axes.set_yticks(range(len(ranked)), [shorten(name, 20) for name in ranked])
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlim(0, 1)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.spines[["left", "bottom"]].set_visible(False)
    _legend(figure, fates, left)
    return figure


def _legend(figure: Figure, fates: list[str], left: float) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=light(fate_token(fate)),
            hatch=HATCHES.get(fate),
            edgecolor=light("page"),
            linewidth=0.5,
            label=shorten(fate, 22),
        )
        for fate in fates
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=((left - 8) / WIDTH, 1.0),
            ncols=min(5, len(handles)),
            fontsize=10,
            borderpad=0.1,
            handlelength=1.6,
            handleheight=1.0,
            columnspacing=1.4,
        )


@drawn
def survival_panels(survival: pl.DataFrame) -> Figure:
    """Draw one panel a group: rows left after each step as a share of the rows read.

    At most 60 groups are drawn, those with the most rows at the first step.
    """
    groups = group_rows(survival)
    ranked = sorted(groups, key=lambda name: (-max(groups[name].values()), natural(name)))
    shown = sorted(ranked[:MOST_PANELS], key=natural)
    many = len(shown) > 12
    figure, grid = panels(
        len(shown),
        most_columns=6 if many else 4,
        panel_height=62 if many else 100,
        below=66,
    )
    for axes, name in zip(grid, shown, strict=True):
        steps = list(groups[name])
        rows = list(groups[name].values())
        first = rows[0] or 1
        shares = [value / first for value in rows]
        colours = [light("published" if step == "published" else "ghost") for step in steps]
        axes.bar(range(len(steps)), shares, width=0.72, color=colours)
        axes.text(
            len(steps) - 1,
            shares[-1] + 0.03,
            share(rows[-1], first),
            ha="center",
            fontsize=9.5,
        )
        heading(axes, name, compact(rows[0]))
        axes.set_xticks(range(len(steps)), steps, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_ylim(0, max(1.28, max(shares) * 1.2))
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.spines["left"].set_visible(False)
    return figure


@drawn
def cluster_sizes(clusters: pl.DataFrame) -> Figure:
    """Draw how many clusters of twins there are of each size, one panel a kind."""
    kinds = sorted({str(kind) for kind in clusters["kind"]})
    figure, grid = panels(len(kinds), most_columns=2, panel_height=150, left=60, below=50)
    most = max([int(value or 0) for value in clusters["clusters"]], default=1)
    largest = max([int(value or 0) for value in clusters["size"]], default=2)
    for axes, kind in zip(grid, kinds, strict=True):
        summed: dict[int, int] = {}
        for size_, amount in (
            clusters.filter(pl.col("kind").cast(pl.String).fill_null("None") == kind)
            .select("size", "clusters")
            .iter_rows()
        ):
            summed[int(size_ or 0)] = summed.get(int(size_ or 0), 0) + int(amount or 0)
        sizes = sorted(summed)
        axes.vlines(sizes, 0.5, [summed[one] for one in sizes], color=light("ghost"), linewidth=2)
        axes.plot(sizes, [summed[one] for one in sizes], "o", color=light("duplicate"), ms=6)
        heading(axes, kind, f"{compact(sum(summed.values()))} clusters")
        sample_axis(axes, [2.0, float(largest), *(float(one) for one in sizes)], most=7)
        axes.set_yscale("log")
        axes.set_ylim(0.5, max(10.0, most * 2.0))
        numbers_on(axes, up=True)
        axes.set_xlabel("rows in the cluster")
    if grid:
        grid[0].set_ylabel("clusters")
    return figure
