"""Canvases measured in pixels, and the few marks that all figures of the card share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assets.publication.card_format import compact, shorten
from assets.publication.card_palette import SERIES, light

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 984
Floats = NDArray[np.float64]
#: Panels beyond these would make a page that nobody reads and no browser likes.
MOST_PANELS = 60


def canvas(height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure of so many pixels, bound to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in pixels from the upper left corner."""
    across, down = (float(side) * 72 for side in figure.get_size_inches())
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def panels(
    amount: int,
    *,
    most_columns: int = 4,
    panel_height: float = 140,
    left: float = 52,
    below: float = 46,
    between: float = 24,
) -> tuple[Figure, list[Axes]]:
    """Make a grid of small panels, each with room for a heading, on one figure.

    Only the outer panels carry tick labels; give all of them the same limits.
    """
    columns = max(1, min(most_columns, amount))
    if columns > 1:  # no row that is nearly empty
        columns = math.ceil(amount / math.ceil(amount / columns))
    rows = math.ceil(amount / columns)
    gap_across, above = 18.0, 24.0
    width = min(420.0, (WIDTH - left - 16 - gap_across * (columns - 1)) / columns)
    figure = canvas(above + rows * (panel_height + between) - between + below)
    axes = []
    for place in range(amount):
        row, column = divmod(place, columns)
        one = axes_at(
            figure,
            left + column * (width + gap_across),
            above + row * (panel_height + between),
            width,
            panel_height,
        )
        outer = place + columns >= amount
        one.tick_params(labelleft=column == 0, labelbottom=outer, bottom=outer)
        one.grid(axis="y")
        axes.append(one)
    return figure, axes


def heading(axes: Axes, text: object, note: str = "") -> None:
    """Write a panel's name above it, at the left, and a note at the right."""
    width = axes.get_window_extent().width
    room = max(6, int((width - 6.2 * len(note)) / 6.6))
    axes.text(0, 1.035, shorten(text, room), transform=axes.transAxes, weight="bold", fontsize=11)
    if note:
        axes.text(
            1, 1.035, note, transform=axes.transAxes, ha="right", fontsize=9.5, color=light("soft")
        )


def numbers_on(axes: Axes, *, across: bool = False, up: bool = False, most: int = 5) -> None:
    """Label ticks as 1.5k and 2M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for wanted, axis, scale in (
        (across, axes.xaxis, axes.get_xscale()),
        (up, axes.yaxis, axes.get_yscale()),
    ):
        if wanted:
            if scale == "linear":
                axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: compact(float(value))))


def sample_axis(axes: Axes, values: Sequence[float], *, most: int = 4) -> None:
    """Scale the horizontal axis for amounts of training data: logarithmic over a wide range."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    positive = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (min(positive), max(positive)) if positive else (1.0, 10.0)
    if high / low >= 8:
        axes.set_xscale("log")
        axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** 0.06)
        narrow = high / low < 30 * most
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,), numticks=most + 2)
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(float(value))))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.06 * (high - low) or 0.1 * high
        axes.set_xlim(max(0.0, low - room), high + room)
        numbers_on(axes, across=True, most=most)


def limits(values: Sequence[float | None], margin: float = 0.06) -> tuple[float, float]:
    """Return limits that hold all finite values with a margin."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = margin * (high - low) or 0.05 * abs(high) or 0.5
    return low - room, high + room


def room_for(names: Sequence[str], most: float = 150) -> float:
    """Return the width in pixels that the longest of some labels needs."""
    return min(most, 20 + 6.8 * max((len(name) for name in names), default=0))


def reals(values: Sequence[float | None]) -> Floats:
    """Return values as an array with NaN for null."""
    return np.array([math.nan if value is None else float(value) for value in values])


def thinned(amount: int, most: int) -> list[int]:
    """Return evenly spread places, the first and the last among them."""
    if amount <= most:
        return list(range(amount))
    return sorted({round(place) for place in np.linspace(0, amount - 1, most)})


def series(place: int) -> tuple[str, str, str]:
    """Return colour, marker and dash of the n-th of things that have no meaning of their own."""
    markers, dashes = "os^Dvp", ("-", "--", "-.", ":")
    return (
        light(SERIES[place % len(SERIES)]),
        markers[place % len(markers)],
        dashes[(place // len(SERIES)) % len(dashes)],
    )


def spread(heights: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Move labels apart until neighbours are `least` from each other, keeping their order.

    What does not fit between `low` and `high` is pushed out below rather than overlapped.
    """
    order = sorted(range(len(heights)), key=lambda place: (heights[place], place))
    placed = [0.0] * len(heights)
    last = -math.inf
    for place in order:
        last = max(heights[place], last + least, low)
        placed[place] = last
    ceiling = math.inf if not order else max(high, low + least * (len(order) - 1))
    for place in reversed(order):
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - least
    return placed


def beside(axes: Axes, at: float, height: float, text: str, colour: str) -> None:
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


def robust_limits(
    outer: Sequence[float | None], measured: Sequence[float | None], room: float = 0.35
) -> tuple[float, float]:
    """Return limits in which a band that explodes does not flatten what was measured."""
    known = [value for value in measured if value is not None and math.isfinite(value)]
    whole = limits(outer)
    if not known:
        return whole
    low, high = limits(known, room)
    return max(low, whole[0]), min(high, whole[1])
