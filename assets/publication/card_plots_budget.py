"""Figure of the budget: predicted metric of every candidate plan, and the best by budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import (
    WIDTH,
    axes_at,
    beside,
    canvas,
    numbers_on,
    reals,
    robust_limits,
    room_for,
    sample_axis,
    series,
    spread,
)
from assets.publication.card_format import compact, natural, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLANS = 8


def frontier(plans: pl.DataFrame) -> pl.DataFrame:
    """Return the best candidate at each budget: least regret, then most probably the best.

    Regret and probability know the metric's direction, so that no guess at it is made here.
    """
    return (
        plans.filter(pl.col("budget").is_not_null())
        .sort(
            ["budget", "regret", "p_best", "pools"],
            descending=[False, False, True, False],
            nulls_last=True,
        )
        .unique("budget", keep="first", maintain_order=True)
    )


@drawn
def plan_frontier(plans: pl.DataFrame, switch_points: pl.DataFrame, unit: str) -> Figure:
    """Draw the predicted metric of each candidate plan against the budget.

    The plan of least regret at each budget is the heavy line with its 80 % band; the chosen one is a star.
    Candidates that are best somewhere or chosen, then those with the least regret, are named, eight
    in all; the others are grey. Where the best plan changes there is a dotted line.
    """
    best = frontier(plans)
    chosen = plans.filter(pl.col("chosen").fill_null(value=False))
    least = (
        plans.group_by("pools").agg(pl.col("regret").min()).sort("regret", "pools", nulls_last=True)
    )
    wanted = [*best["pools"], *chosen["pools"], *least["pools"]]
    named = sorted(
        [str(name) for name in dict.fromkeys(wanted) if name is not None][:_PLANS], key=natural
    )
    figure = canvas(360)
    axes = axes_at(figure, 62, 30, WIDTH - 62 - room_for([*named, "0+1+2+3+4"], 210) - 30, 280)
    budgets = [float(value) for value in plans["budget"].drop_nulls()]
    # those far outside would squeeze the plans into a corner; the page's table has them all
    switches = [
        float(value)
        for value in switch_points["samples"].drop_nulls()
        if min(budgets, default=0) / 3 <= value <= max(budgets, default=0)
    ]
    sample_axis(axes, [*budgets, *switches], most=7)
    if len(set(budgets)) > 1:  # so that the names stand where the lines end
        axes.set_xlim(right=max(budgets))
    bounds = [*plans["predicted"], *best["lo80"], *best["hi80"]]
    axes.set_ylim(*robust_limits(bounds, plans["predicted"].to_list(), 0.7))
    axes.grid()
    others = plans.filter(~pl.col("pools").is_in(named))
    for part in list(others.partition_by("pools", maintain_order=True))[:60]:
        _by_budget(axes, part.sort("budget"), light("line"), "-", "", 1.0)
    ends: list[tuple[float, str, str]] = []
    for place, name in enumerate(named):
        part = plans.filter(pl.col("pools") == name).sort("budget", nulls_last=True)
        colour, marker, dash = series(place)
        _by_budget(axes, part, colour, dash, marker, 1.5)
        if part.height:
            ends.append((float(part["predicted"].fill_null(math.nan)[-1]), name, colour))
    axes.fill_between(
        reals(best["budget"].to_list()),
        reals(best["lo80"].to_list()),
        reals(best["hi80"].to_list()),
        color=light("ghost"),
        alpha=0.35,
        linewidth=0,
    )
    _by_budget(axes, best, light("ink"), "-", "", 2.6)
    for budget, value in chosen.select("budget", "predicted").drop_nulls().iter_rows():
        axes.axvline(budget, color=light("alert"), linewidth=1.2)
        axes.plot([budget], [value], "*", color=light("alert"), markersize=15, zorder=5)
        axes.text(
            budget,
            1.02,
            f"chosen: {compact(budget)}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            color=light("alert"),
        )
    for place, at in enumerate(switches):
        axes.axvline(at, color=light("soft"), linewidth=1, linestyle=":")
        text = f"best plan changes at {compact(at)}"
        beside(axes, at, 0.02 + 0.05 * (place % 3), text, light("soft"))
    _end_labels(axes, ends)
    numbers_on(axes, up=True, most=6)
    axes.set_xlabel(f"budget ({unit})")
    axes.set_ylabel("predicted metric")
    return figure


def _by_budget(
    axes: Axes, part: pl.DataFrame, colour: str, dash: str, marker: str, width: float
) -> None:
    axes.plot(
        reals(part["budget"].to_list()),
        reals(part["predicted"].to_list()),
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=4,
        linewidth=width,
    )


def _end_labels(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Name the lines at their right ends, moved apart where they would overlap."""
    known = [end for end in ends if math.isfinite(end[0])]
    low, high = axes.get_ylim()
    places = spread([end[0] for end in known], (high - low) * 15 / 280, low, high)
    for (value, name, colour), place in zip(known, places, strict=True):
        ends_at = [(min(max(value, low), high) - low) / (high - low), (place - low) / (high - low)]
        axes.plot(
            [1.006, 1.028],
            ends_at,
            color=colour,
            linewidth=1.4,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1.034,
            ends_at[1],
            shorten(name, 28),
            transform=axes.transAxes,
            va="center",
            fontsize=10.5,
        )
