"""Figure of the allocation: available, chosen and repeated by group, beside two simple rules."""

from __future__ import annotations

from collections.abc import Sequence
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
from assets.publication.card_format import compact, natural, shorten
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def by_group(allocation: pl.DataFrame) -> pl.DataFrame:
    """Sum an allocation over its pools and set it beside two rules that look at no curve.

    Parameters
    ----------
    allocation
        `group`, `available`, `samples`, `records`, `marginal_value`, a row a group and pool.

    Returns
    -------
    polars.DataFrame
        A row a group in natural order: `group`, `available`, `samples` (what is drawn, repeats
        included), `records` (the unique ones among them), `passes` (their ratio), `proportional`
        and `equal` (the same total by what is available, and in equal parts), `marginal_value` (of
        the pool where it is largest).
    """
    named = allocation.with_columns(pl.col("group").fill_null("(no group)"))
    summed = named.group_by("group", maintain_order=True).agg(
        pl.col("available", "samples", "records").sum(), pl.col("marginal_value").max()
    )
    order = sorted(summed["group"].to_list(), key=natural)
    total, held = int(summed["samples"].sum()), int(summed["available"].sum())
    summed = summed.with_columns(
        passes=pl.when(pl.col("records") > 0).then(pl.col("samples") / pl.col("records")),
        proportional=pl.col("available") * (total / held if held else 0.0),
        equal=pl.lit(total / max(1, summed.height)),
    )
    return (
        pl.DataFrame({"group": order}, schema={"group": pl.String})
        .join(summed, on="group", how="left", maintain_order="left")
        .select(
            "group",
            "available",
            "samples",
            "records",
            "passes",
            "proportional",
            "equal",
            "marginal_value",
        )
    )


#: How a simple rule is marked: marker, colour, size, shift in the row.
_GHOSTS = {
    "proportional": ("v", "contaminated", 6.0, -0.3),
    "equal": ("|", "ink", 15.0, 0.0),
    "equal_spend": ("x", "ink", 6.0, 0.3),
    "alpha_0.3": ("D", "contained", 5.0, 0.3),
}


def ghosts(allocation: pl.DataFrame, rules: pl.DataFrame | None) -> dict[str, dict[str, float]]:
    """Return by rule the samples of each group: the given ones, or else the two that need no prices."""
    if rules is None or rules.is_empty():
        groups = by_group(allocation)
        return {
            rule: dict(groups.select("group", rule).drop_nulls().iter_rows())
            for rule in ("proportional", "equal")
        }
    return {
        rule: dict(rules.filter(pl.col("rule") == rule).select("group", "samples").iter_rows())
        for rule in _GHOSTS
        if rule in set(rules["rule"])
    }


@drawn
def allocation_bars(
    allocation: pl.DataFrame, unit: str, rules: pl.DataFrame | None = None
) -> Figure:
    """Draw what is available and what was chosen by group.

    `rules` (`rule`, `group`, `samples`) are marks of what simple rules would choose within the same caps, floors and
    prices; without them the same total stands in proportion and in equal parts.

    The thick pale bar is what is available, the thin one what is drawn; the part of it that repeats
    records is hatched. A triangle marks the proportional rule, a bar the equal one. At most 60 groups
    are drawn, those with the most available. The scale is logarithmic where groups differ more than
    a hundredfold, since else the small ones would vanish; zero is then at the left edge.
    """
    groups = by_group(allocation)
    if groups.height > MOST_PANELS:
        largest = groups.sort("available", "group", descending=[True, False]).head(MOST_PANELS)
        groups = groups.filter(pl.col("group").is_in(largest["group"].to_list()))
    step = 34 if groups.height <= 16 else 22
    figure = canvas(step * max(1, groups.height) + 76)
    names = [shorten(name, 20) for name in groups["group"]]
    margin = room_for(names)
    axes = axes_at(figure, margin, 30, WIDTH - margin - 100, step * max(1, groups.height))
    values = [
        float(value)
        for name in ("available", "samples")
        for value in groups[name].drop_nulls()
        if value > 0
    ]
    marks = ghosts(allocation, rules)
    values += [value for by in marks.values() for value in by.values() if value > 0]
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    left = 0.0
    if high / low > 100:
        left = low / 2
        axes.set_xscale("log")
    axes.set_xlim(left, high * (1.25 if left else 1.06))
    colour = light("published")
    for place, row in enumerate(groups.iter_rows(named=True)):
        drawn_, unique = float(row["samples"] or 0), float(row["records"] or 0)
        fresh = min(unique, drawn_)
        axes.barh(
            place,
            float(row["available"] or 0) - left,
            0.74,
            left=left,
            color=light("ghost"),
            alpha=0.6,
        )
        axes.barh(place, max(0.0, fresh - left), 0.4, left=left, color=colour)
        if drawn_ > fresh:
            axes.barh(
                place,
                drawn_ - max(left, fresh),
                0.4,
                left=max(left, fresh),
                color=light("held_out"),
                hatch="////",
                edgecolor=light("page"),
                linewidth=0,
            )
        for rule, counts in marks.items():
            marker, token, points, shift = _GHOSTS[rule]
            at = max(counts.get(row["group"], 0.0), left)
            axes.plot([at], [place + shift], marker, color=light(token), ms=points, mew=1.7)
        axes.text(
            1.012,
            place,
            compact(drawn_) + (f" × {row['passes']:.2g}" if (row["passes"] or 0) > 1.005 else ""),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=10,
        )
    axes.set_yticks(range(groups.height), names)
    axes.tick_params(axis="y", labelcolor=light("ink"))
    axes.set_ylim(groups.height - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{unit}, logarithmic scale" if left else unit)
    numbers_on(axes, across=True, most=8)
    _legend(figure, margin, list(marks))
    return figure


def _legend(figure: Figure, left: float, rules: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(marker: str, colour: str, size: float, label: str) -> Line2D:
        return Line2D(
            [], [], linestyle="", marker=marker, color=colour, ms=size, mew=1.6, label=label
        )

    figure.legend(
        handles=[
            Patch(color=light("ghost"), alpha=0.6, label="available"),
            Patch(color=light("published"), label="chosen, first pass"),
            Patch(
                facecolor=light("held_out"),
                hatch="////",
                edgecolor=light("page"),
                linewidth=0,
                label="chosen, repeats",
            ),
            *(
                mark(
                    _GHOSTS[rule][0],
                    light(_GHOSTS[rule][1]),
                    6 + 6 * (rule == "equal"),
                    f"if {rule.replace('_', ' ')}",
                )
                for rule in rules
            ),
        ],
        loc="upper left",
        bbox_to_anchor=((left - 8) / WIDTH, 1.0),
        ncols=7,
        fontsize=10,
        borderpad=0.1,
        columnspacing=1.2,
        handletextpad=0.5,
    )
