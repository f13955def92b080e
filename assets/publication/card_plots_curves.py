"""Figure of training curves: a panel a pool or group with points, fitted law and band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.publication.card_figures import (
    MOST_PANELS,
    beside,
    heading,
    numbers_on,
    panels,
    reals,
    robust_limits,
    sample_axis,
    thinned,
)
from assets.publication.card_format import compact, natural, plural
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS, _GRID = 160, 48


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
    up: list[float | None] = [
        float(value)
        for frame, columns in ((points, ("metric_value",)), (bands, (predicted, "lo80", "hi80")))
        for column in columns
        for value in frame[column].drop_nulls()
    ]
    for axes, name in zip(grid, names, strict=True):
        sample_axis(axes, across, most=3 if many else 4)
        axes.set_ylim(*robust_limits(up, points["metric_value"].to_list()))
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
            beside(axes, chosen[name], 0.04, compact(chosen[name]), light("alert"))
        label = f"{by} {name}" if name[:1].isdecimal() else name
        heading(axes, label, "" if many or not drawn_points else plural(drawn_points, "point"))
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
