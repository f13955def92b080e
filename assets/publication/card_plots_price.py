"""Figure of the price of fairness: overall against worst group as the aversion to inequality rises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import WIDTH, axes_at, canvas, limits, numbers_on, reals
from assets.publication.card_format import shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Aversions that are named beside their point, where there is room.
NAMED = (0.0, 1.0, 2.0, 5.0, 20.0)
_MARKS = {"equal": "o", "equal_spend": "x", "proportional": "v", "alpha_0.3": "D"}


@drawn
def price_of_fairness(
    sweep: pl.DataFrame, points: pl.DataFrame, chosen: tuple[float, float] | None
) -> Figure:
    """Draw the front of overall against worst performance, simple rules, and the chosen plan.

    Parameters
    ----------
    sweep
        `aversion`, `overall`, `worst`, a row an aversion.
    points
        `rule`, `overall`, `worst`: what simple rules would give.
    chosen
        (overall, worst) of the plan, None where a group's performance is unknown.

    Notes
    -----
    Worst performance is across, overall is up, so that right and up is better and the front falls
    to the right. Names of aversions that would lie on each other are left out; the table has all.
    """
    figure = canvas(330)
    axes = axes_at(figure, 72, 38, WIDTH - 72 - 250, 240)
    across = [*sweep["worst"], *points["worst"], *([chosen[1]] if chosen else [])]
    up = [*sweep["overall"], *points["overall"], *([chosen[0]] if chosen else [])]
    axes.set_xlim(*limits(across, 0.08))
    axes.set_ylim(*limits(up, 0.14))
    axes.grid()
    ordered = sweep.sort("aversion")
    axes.plot(
        reals(ordered["worst"].to_list()),
        reals(ordered["overall"].to_list()),
        "o-",
        color=light("published"),
        markersize=4.5,
        linewidth=1.8,
        label="by aversion e",
    )
    _name(axes, ordered)
    for rule, overall, worst in points.sort("rule").iter_rows():
        axes.plot(
            [worst],
            [overall],
            _MARKS.get(rule, "P"),
            color=light("contaminated"),
            markersize=9,
            markeredgewidth=1.8,
            markerfacecolor="none",  # so that rules on one spot are all seen
            linestyle="",
            label=shorten(f"rule {rule}", 30),
        )
    if chosen is not None:
        axes.plot(
            [chosen[1]],
            [chosen[0]],
            "*",
            color=light("alert"),
            markersize=17,
            linestyle="",
            label="the plan",
            zorder=5,
        )
    numbers_on(axes, across=True, up=True, most=6)
    axes.set_xlabel("worst group (right is better)")
    axes.set_ylabel("overall (up is better)")
    figure.legend(
        loc="upper left",
        bbox_to_anchor=((WIDTH - 236) / WIDTH, (330 - 30) / 330),
        fontsize=10.5,
        labelspacing=0.8,
    )
    return figure


def _name(axes: Axes, sweep: pl.DataFrame) -> None:
    """Write the aversion beside its point, unless a name stands there already."""
    taken: list[tuple[float, float]] = []
    for row in sweep.filter(pl.col("aversion").is_in(NAMED)).iter_rows(named=True):
        x, y = axes.transData.transform((row["worst"], row["overall"]))
        if any(abs(x - a) < 46 and abs(y - b) < 16 for a, b in taken):
            continue
        taken.append((x, y))
        axes.annotate(
            f"e = {row['aversion']:g}",
            (row["worst"], row["overall"]),
            xytext=(5, 7),
            textcoords="offset points",
            fontsize=9.5,
            color=light("soft"),
        )
