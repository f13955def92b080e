"""Figure of a containment graph that is too large for names: one small panel a group of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.containment.components import connected
from assets.publication.card_figures import WIDTH, axes_at, canvas
from assets.publication.card_format import compact, shorten_path
from assets.publication.card_graph import GraphLayout, layout
from assets.publication.card_palette import light
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
MOST_DOTS = 80
_COLUMNS = 3
_HEIGHT = 128.0
_FOOT = 28.0


@drawn
def component_panels(edges: pl.DataFrame, retired: frozenset[str] = frozenset()) -> Figure:
    """Draw the largest groups of tables that hold each other in whole, and count the rest.

    Parameters
    ----------
    edges
        `child`, `parent`, `containment`, `exact`, `child_rows`, `parent_rows`.
    retired
        Tables that could be retired; their dots are rings.

    Notes
    -----
    A group is a weakly connected component of the whole and proven edges. A panel is named for its
    table with the most rows.
    """
    whole = edges.filter((pl.col("containment") >= 1) & pl.col("exact"))
    rows = {
        **dict(edges.select("child", "child_rows").iter_rows()),
        **dict(edges.select("parent", "parent_rows").iter_rows()),
    }
    names = sorted({*whole["child"], *whole["parent"]})
    links = [(child, (parent,)) for child, parent in whole.select("child", "parent").iter_rows()]
    groups = sorted(connected(names, links), key=lambda group: (-len(group), group))
    shown = groups[:MOST_PANELS]
    lines = -(-len(shown) // _COLUMNS)
    figure = canvas(lines * _HEIGHT + _FOOT)
    width = WIDTH / _COLUMNS
    for place, group in enumerate(shown):
        row, column = divmod(place, _COLUMNS)
        axes = axes_at(figure, column * width, row * _HEIGHT, width, _HEIGHT)
        own = whole.filter(pl.col("child").is_in(group))
        _panel(axes, width, group, layout(own, MOST_DOTS), rows, retired)
    foot = axes_at(figure, 0, lines * _HEIGHT, WIDTH, _FOOT)
    foot.axis("off")
    partly = {*edges["child"], *edges["parent"]} - {*names}
    foot.text(0.005, 0.4, _rest(groups[MOST_PANELS:], len(partly)), fontsize=10.5)
    return figure


def _rest(groups: list[list[str]], partly: int) -> str:
    told = []
    if groups:
        tables = sum(map(len, groups))
        told.append(f"not drawn: {len(groups):,} smaller groups of {tables:,} tables")
    if partly:
        told.append(
            f"{partly:,} tables that share rows but neither hold another nor are held whole"
        )
    return "; ".join(told)


def _panel(
    axes: Axes,
    width: float,
    group: list[str],
    placed: GraphLayout,
    rows: dict[str, int | None],
    retired: frozenset[str],
) -> None:
    axes.set_xlim(0, width)
    axes.set_ylim(_HEIGHT, 0)
    axes.axis("off")
    largest = max(group, key=lambda name: (rows.get(name) or 0, name))
    gone = sum(name in retired for name in group)
    note = f"{len(group):,} tables, up to {compact(rows.get(largest) or 0)} rows"
    if gone:
        note += f"; {gone:,} could go"
    if placed.left_out:
        note += f"; {placed.left_out:,} not drawn"
    axes.text(8, 18, shorten_path(largest, int((width - 20) / 6.6)), fontsize=11)
    axes.text(8, 33, note, fontsize=9.5, color=light("soft"))
    top, height, room = 42.0, _HEIGHT - 56, width - 40
    at: dict[int, tuple[float, float]] = {}
    for level, layer in enumerate(placed.layers):
        across = 16 + room * (level + 0.5) / len(placed.layers)
        for place, node in enumerate(layer):
            at[node] = (across, top + height * (place + 0.5) / len(layer))
    for child, parent, _, _ in placed.edges:
        axes.plot(
            *zip(at[child], at[parent], strict=True), color=light("ghost"), linewidth=1, zorder=1
        )
    for node, tables in enumerate(placed.nodes):
        ringed = all(name in retired for name in tables)
        axes.scatter(
            *at[node],
            s=22 if len(tables) == 1 else 60,
            facecolor=light("panel") if ringed else light("soft"),
            edgecolor=light("duplicate") if ringed else light("soft"),
            linewidth=1.4,
            zorder=2,
        )
