"""Figure of a change: each group's metric under two or more arms, with 95 % intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import (
    MOST_PANELS,
    WIDTH,
    axes_at,
    canvas,
    limits,
    numbers_on,
    room_for,
    series,
)
from assets.publication.card_format import natural, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: More arms than these can't be told apart in one row.
MOST_ARMS = 6


@drawn
def before_and_after(change: pl.DataFrame, metric: str) -> Figure:
    """Draw a row a group and in it a dot an arm, the first arm in grey, each with its interval.

    Parameters
    ----------
    change
        `group`, `arm`, `value`, `lo95`, `hi95`; arms in the order of their first rows. At most 6 arms and
        60 groups are drawn.
    metric
        What is measured.
    """
    arms = change["arm"].unique(maintain_order=True).to_list()[:MOST_ARMS]
    groups = sorted(change["group"].unique().to_list(), key=natural)[:MOST_PANELS]
    step = 20 + 8 * len(arms)
    columns = min(3, len(arms))
    above = 16 + 19 * math.ceil(len(arms) / columns)
    figure = canvas(step * max(1, len(groups)) + above + 46)
    names = [shorten(name, 24) for name in groups]
    margin = room_for(names, 190)
    axes = axes_at(figure, margin, above, WIDTH - margin - 24, step * max(1, len(groups)))
    shown = change.filter(pl.col("arm").is_in(arms))
    axes.set_xlim(*limits([*shown["value"], *shown["lo95"], *shown["hi95"]]))
    axes.grid(axis="x")
    place_of = {group: place for place, group in enumerate(groups)}
    for number, arm in enumerate(arms):
        part = shown.filter((pl.col("arm") == arm) & pl.col("group").is_in(groups)).drop_nulls(
            "value"
        )
        colour, marker, _ = series(number - 1) if number else (light("filtered"), "o", "-")
        shift = (number - (len(arms) - 1) / 2) * (0.66 / max(1, len(arms) - 1))
        at = [place_of[group] + shift for group in part["group"]]
        middle = part["value"].to_list()
        low = [
            value - (lo if lo is not None else value)
            for value, lo in zip(middle, part["lo95"], strict=True)
        ]
        high = [
            (hi if hi is not None else value) - value
            for value, hi in zip(middle, part["hi95"], strict=True)
        ]
        axes.errorbar(
            middle,
            at,
            xerr=[low, high],
            fmt=marker,
            color=colour,
            markersize=6.5,
            capsize=2.5,
            elinewidth=1.4,
            label=f" {shorten(arm, 36)}",  # a legend leaves out names that begin with _
        )
    for place in range(1, len(groups)):
        axes.axhline(place - 0.5, color=light("line"), linewidth=0.8)
    axes.set_yticks(range(len(groups)), names)
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    numbers_on(axes, across=True, most=8)
    axes.set_xlabel(shorten(metric, 60))
    figure.legend(
        loc="upper left",
        bbox_to_anchor=((margin - 8) / WIDTH, 1.0),
        ncols=columns,
        fontsize=10,
        borderpad=0.1,
        columnspacing=1.6,
    )
    return figure
