"""Figures of quality: a histogram a scorer, and the range of quality in each pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
)
from assets.publication.card_format import compact, count
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawn
def score_histograms(scores: Mapping[str, pl.DataFrame]) -> Figure:
    """Draw one histogram a scorer.

    Each panel has its own scale across, since scorers share no unit, and rows a bin relative to its
    fullest bin. At most 60 scorers are drawn.
    """
    names = sorted(scores)[:MOST_PANELS]
    figure, grid = panels(len(names), panel_height=84, left=14, below=26, between=48)
    for axes, name in zip(grid, names, strict=True):
        frame = scores[name]
        low, high = reals(frame["low"].to_list()), reals(frame["high"].to_list())
        rows = reals(frame["rows"].fill_null(0).to_list())
        fullest = max(rows, default=0.0) or 1.0
        axes.bar(
            low,
            rows / fullest,
            width=high - low,
            align="edge",
            color=light("published"),
            edgecolor=light("page"),
            linewidth=0.4,
        )
        heading(axes, name, f"{compact(float(rows.sum()))} rows")
        axes.set_xlim(*limits([*low, *high], 0.02))
        axes.set_ylim(0, 1.08)
        axes.set_yticks([])
        axes.tick_params(labelbottom=True, pad=1, labelsize=9)
        axes.spines["left"].set_visible(False)
        numbers_on(axes, across=True, most=4)
    return figure


@drawn
def pool_quality(quality_by_pool: pl.DataFrame) -> Figure:
    """Draw the range of quality in each pool, its median marked, with the rows it holds.

    Parameters
    ----------
    quality_by_pool
        `pool`, `low`, `median`, `high`, `rows`; pool 0 is the best and is on top.
    """
    frame = quality_by_pool.sort("pool", nulls_last=True)
    step = 28
    figure = canvas(step * max(1, frame.height) + 50)
    axes = axes_at(figure, 90, 8, WIDTH - 220, step * max(1, frame.height))
    places = list(range(frame.height))
    low, middle, high = (reals(frame[name].to_list()) for name in ("low", "median", "high"))
    axes.hlines(places, low, high, color=light("ghost"), linewidth=9)
    axes.plot(middle, places, "|", color=light("published"), markersize=17, markeredgewidth=4)
    names = ["none" if pool is None else f"pool {pool}" for pool in frame["pool"]]
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", labelcolor=light("ink"))
    for place, rows in zip(places, frame["rows"], strict=True):
        axes.text(
            1.015,
            place,
            f"{count(rows)} rows",
            va="center",
            fontsize=10,
            color=light("soft"),
            transform=axes.get_yaxis_transform(),
        )
    axes.set_xlim(*limits([*low, *middle, *high], 0.03))
    axes.set_ylim(frame.height - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    numbers_on(axes, across=True, most=8)
    axes.set_xlabel("combined quality (higher is better)")
    return figure
