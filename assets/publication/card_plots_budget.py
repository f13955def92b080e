"""Figures of the budget: training curves with their laws, and predicted metric against budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.publication.card_figures import (
    MOST_PANELS,
    WIDTH,
    axes_at,
    canvas,
    heading,
    limits,
    numbers_on,
    panels,
    reals,
    room_for,
    sample_axis,
    series,
    spread,
    thinned,
)
from assets.publication.card_format import compact, natural, plural, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS, _GRID, _PLANS = 160, 48, 8


@drawn
def curve_panels(
    points: pl.DataFrame,
    bands: pl.DataFrame,
    *,
    by: str,
    predicted: str,
    unit: str,
    chosen: Mapping[str, float] | None = None,
) -> Figure:
    """Draw one panel a pool or group: what was measured, the fitted law, and its 80 % band.

    Parameters
    ----------
    points
        `by`, `samples_seen`, `metric_value`, `se`.
    bands
        `by`, `samples`, `predicted`, `lo80`, `hi80` on a grid; may be empty.
    by, predicted
        Names of the column to split by, and of the law's value in `bands`.
    unit
        What is counted across.
    chosen
        Amount to mark by name, where one was chosen.

    Notes
    -----
    All panels share both scales. Up to twelve panels show the other laws in grey behind their own.
    At most 60 panels are drawn, in natural order, and 160 points in each.
    """
    chosen = chosen or {}
    observed = _split(points, by, "samples_seen")
    laws = _split(bands, by, "samples")
    names = sorted({*observed, *laws}, key=natural)[:MOST_PANELS]
    many = len(names) > 12
    figure, grid = panels(
        len(names),
        most_columns=6 if many else 4,
        panel_height=76 if many else 132,
        left=58,
        below=48,
    )
    across = [
        float(value)
        for frame, column in ((points, "samples_seen"), (bands, "samples"))
        for value in frame[column].drop_nulls()
    ]
    across += [value for name, value in chosen.items() if name in set(names)]
    up = [
        float(value)
        for frame, columns in ((points, ("metric_value",)), (bands, (predicted, "lo80", "hi80")))
        for column in columns
        for value in frame[column].drop_nulls()
    ]
    for axes, name in zip(grid, names, strict=True):
        sample_axis(axes, across, most=3 if many else 4)
        axes.set_ylim(*_robust(up, points["metric_value"]))
        numbers_on(axes, up=True, most=5)
        if not many:
            for other in names:
                if other != name and other in laws:
                    _line(axes, laws[other], predicted, light("line"), 1.1)
        if name in laws:
            _band(axes, laws[name], predicted)
        drawn_points = _points(axes, observed[name]) if name in observed else 0
        if name in chosen:
            axes.axvline(chosen[name], color=light("contaminated"), linewidth=1.4, linestyle="--")
            _beside(axes, chosen[name], 0.04, compact(chosen[name]), light("alert"))
        label = f"{by} {name}" if name[:1].isdecimal() else name
        heading(axes, label, "" if many else plural(drawn_points, "point"))
    height = float(figure.get_size_inches()[1]) * 72
    figure.text(
        0.5,
        6 / height,
        f"{unit} seen in training",
        ha="center",
        fontsize=10.5,
        color=light("soft"),
    )
    return figure


def _beside(axes: Axes, at: float, height: float, text: str, colour: str) -> None:
    """Write beside an upright line, on the side that has more room."""
    left = _left_half(axes, at)
    axes.annotate(
        text,
        (at, height),
        xycoords=axes.get_xaxis_transform(),
        xytext=(4 if left else -4, 0),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=9.5,
        color=colour,
    )


def _left_half(axes: Axes, value: float) -> bool:
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
    return value < (low + high) / 2


def _robust(up: list[float], measured: pl.Series) -> tuple[float, float]:
    """Return limits in which a band that explodes does not flatten what was measured."""
    low, high = limits([float(value) for value in measured.drop_nulls()], 0.35)
    outer = limits(up)
    return outer if measured.drop_nulls().is_empty() else (max(low, outer[0]), min(high, outer[1]))


def _split(frame: pl.DataFrame, by: str, order: str) -> dict[str, pl.DataFrame]:
    named = frame.with_columns(pl.col(by).cast(pl.String).fill_null("(none)"))
    return {
        str(key[0]): part.sort(order, nulls_last=True)
        for key, part in named.partition_by(by, as_dict=True, maintain_order=True).items()
    }


def _line(axes: Axes, law: pl.DataFrame, predicted: str, colour: str, width: float) -> None:
    part = law[thinned(law.height, _GRID)]
    axes.plot(
        reals(part["samples"].to_list()),
        reals(part[predicted].to_list()),
        color=colour,
        linewidth=width,
    )


def _band(axes: Axes, law: pl.DataFrame, predicted: str) -> None:
    part = law[thinned(law.height, _GRID)]
    samples, low, high = (reals(part[name].to_list()) for name in ("samples", "lo80", "hi80"))
    axes.fill_between(samples, low, high, color=light("held_out"), alpha=0.38, linewidth=0)
    _line(axes, law, predicted, light("published"), 2.0)


def _points(axes: Axes, part: pl.DataFrame) -> int:
    shown = part[thinned(part.height, _POINTS)]
    samples, values = reals(shown["samples_seen"].to_list()), reals(shown["metric_value"].to_list())
    errors = reals(shown["se"].to_list())
    known = np.isfinite(errors) & np.isfinite(values)
    # one line with gaps is a tenth of the bytes of one line a point
    gaps = np.full(int(known.sum()), np.nan)
    axes.plot(
        np.column_stack([samples[known], samples[known], gaps]).ravel(),
        np.column_stack([(values - errors)[known], (values + errors)[known], gaps]).ravel(),
        color=light("soft"),
        linewidth=1,
    )
    axes.plot(
        samples,
        values,
        "o",
        markerfacecolor=light("page"),
        markeredgecolor=light("ink"),
        markeredgewidth=1.1,
        markersize=4.5,
    )
    return part.height


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

    The best plan at each budget is the heavy line with its 80 % band; the chosen one is a star.
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
    switches = [float(value) for value in switch_points["samples"].drop_nulls()]
    sample_axis(axes, [*budgets, *switches], most=7)
    if len(set(budgets)) > 1:  # so that the names stand where the lines end
        axes.set_xlim(right=max([*budgets, *switches]))
    axes.set_ylim(*limits([float(value) for value in plans["predicted"].drop_nulls()], 0.14))
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
        _beside(axes, at, 0.02 + 0.05 * (place % 3), text, light("soft"))
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
