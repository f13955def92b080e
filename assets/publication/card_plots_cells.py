"""Figure of intersections: a value by two attributes, with cells of too few people hatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import WIDTH, axes_at, canvas, room_for
from assets.publication.card_format import compact, natural, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS, MOST_COLUMNS = 40, 14


@drawn
def intersections(cells: pl.DataFrame, down: str, across: str, value: str) -> Figure:
    """Draw a value by two attributes as shades with their numbers.

    Parameters
    ----------
    cells
        `down`, `across`, `value` and `suppressed`; a cell that is suppressed is hatched and carries no number, one
        that no row falls into is left blank. At most 40 rows and 14 columns are drawn.
    down, across, value
        Names of the two attributes and of what is measured.
    """
    rows = sorted(cells["down"].unique().to_list(), key=natural)[:MOST_ROWS]
    columns = sorted(cells["across"].unique().to_list(), key=natural)[:MOST_COLUMNS]
    step = 30
    figure = canvas(step * max(1, len(rows)) + 84)
    names = [shorten(name, 24) for name in rows]
    margin = room_for(names, 190) + 16
    width = min(WIDTH - margin - 24.0, 104.0 * max(1, len(columns)))
    axes = axes_at(figure, margin, 46, width, step * max(1, len(rows)))
    known = [v for v in cells["value"] if v is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    for cell in cells.iter_rows(named=True):
        if cell["down"] not in rows or cell["across"] not in columns:
            continue
        place = (columns.index(cell["across"]), rows.index(cell["down"]))
        if cell["suppressed"]:
            _box(axes, place, light("panel"), 1.0, "////")
        elif cell["value"] is not None:
            strength = 0.12 + 0.5 * ((cell["value"] - low) / (high - low) if high > low else 0.5)
            _box(axes, place, light("published"), strength, None)
            axes.text(*place, _short(cell["value"]), ha="center", va="center", fontsize=10)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(
        range(len(columns)), [shorten(n, max(6, int(width / len(columns) / 6.8))) for n in columns]
    )
    axes.set_yticks(range(len(rows)), names)
    axes.xaxis.tick_top()
    axes.tick_params(labelcolor=light("ink"), length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel(shorten(down, 24))
    height = float(figure.get_size_inches()[1]) * 72
    figure.text(
        margin / WIDTH,
        1 - 14 / height,
        f"{shorten(across, 40)} across",
        fontsize=10.5,
        color=light("soft"),
        va="center",
    )
    _legend(figure, margin, value, height)
    return figure


def _short(value: float) -> str:
    return (
        compact(value)
        if abs(value) >= 1000 or float(value).is_integer()
        else f"{value:.3g}".replace("-", "−")
    )


def _box(axes: Axes, place: tuple[int, int], colour: str, alpha: float, hatch: str | None) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (place[0] - 0.48, place[1] - 0.46),
            0.96,
            0.92,
            facecolor=colour,
            alpha=alpha,
            hatch=hatch,
            edgecolor=light("filtered") if hatch else "none",
            linewidth=0,
        )
    )


def _legend(figure: Figure, left: float, value: str, height: float) -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(
                facecolor=light("published"),
                alpha=0.4,
                label=f"{shorten(value, 40)}: stronger is more",
            ),
            Patch(
                facecolor=light("panel"),
                hatch="////",
                edgecolor=light("filtered"),
                linewidth=0,
                label="suppressed",
            ),
        ],
        loc="lower left",
        bbox_to_anchor=((left - 8) / WIDTH, 4 / height),
        ncols=2,
        fontsize=10,
        borderpad=0.1,
    )
