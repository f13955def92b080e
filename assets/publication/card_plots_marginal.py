"""Figure of where to collect next: what one more unit of budget would add in each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import (
    MOST_PANELS,
    WIDTH,
    axes_at,
    canvas,
    numbers_on,
    room_for,
)
from assets.publication.card_format import natural, number, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPPED = "available"


def ranked(values: pl.DataFrame) -> pl.DataFrame:
    """Return groups by falling marginal value, ties by name: the order in which to collect."""
    known = values.filter(pl.col("marginal_value").is_not_null())
    rows = sorted(
        known.iter_rows(named=True), key=lambda row: (-row["marginal_value"], natural(row["group"]))
    )
    return pl.DataFrame(rows, schema=known.schema)


@drawn
def where_to_collect(values: pl.DataFrame) -> Figure:
    """Draw the marginal value per cost of every group, largest first; groups at their cap are hatched.

    Parameters
    ----------
    values
        `group`, `marginal_value` (gain of one more unit of budget), `bound` (``"available"`` where all
        of a group is taken). At most 60 groups are drawn.
    """
    rows = ranked(values).head(MOST_PANELS)
    step = 26 if rows.height <= 24 else 20
    figure = canvas(step * max(1, rows.height) + 74)
    names = [shorten(name, 24) for name in rows["group"]]
    margin = room_for(names, 190)
    axes = axes_at(figure, margin, 28, WIDTH - margin - 90, step * max(1, rows.height))
    positive = [value for value in rows["marginal_value"] if value > 0]
    low, high = (min(positive), max(positive)) if positive else (0.5, 1.0)
    left = 0.0
    if high / low > 100:
        left = low / 2
        axes.set_xscale("log")
    axes.set_xlim(left, high * (1.6 if left else 1.06))
    for place, row in enumerate(rows.iter_rows(named=True)):
        capped = row["bound"] == CAPPED
        axes.barh(
            place,
            max(0.0, row["marginal_value"] - left),
            0.62,
            left=left,
            color=light("duplicate" if capped else "published"),
            hatch="////" if capped else None,
            edgecolor=light("page") if capped else None,
            linewidth=0,
        )
        axes.text(
            1.01,
            place,
            number(row["marginal_value"]),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=10,
        )
    axes.set_yticks(range(rows.height), names)
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_ylim(rows.height - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("gain of one more unit of budget" + (", logarithmic scale" if left else ""))
    numbers_on(axes, across=True, most=6)
    _legend(figure, margin)
    return figure


def _legend(figure: Figure, left: float) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(color=light("published"), label="there is more to take"),
            Patch(
                facecolor=light("duplicate"),
                hatch="////",
                edgecolor=light("page"),
                linewidth=0,
                label="all is taken: only collecting helps",
            ),
        ],
        loc="upper left",
        bbox_to_anchor=((left - 8) / WIDTH, 1.0),
        ncols=2,
        fontsize=10,
        borderpad=0.1,
        columnspacing=1.6,
    )
