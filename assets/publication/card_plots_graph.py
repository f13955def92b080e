"""Figure of the containment graph: held tables at the left, those that hold them at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication.card_figures import WIDTH, axes_at, canvas
from assets.publication.card_format import compact, shorten, shorten_path
from assets.publication.card_graph import layout
from assets.publication.card_palette import light
from assets.publication.card_plots_components import component_panels
from assets.publication.card_svg import drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@drawn
def containment_graph(edges: pl.DataFrame, retired: frozenset[str] = frozenset()) -> Figure:
    """Draw which tables are held by which others.

    Parameters
    ----------
    edges
        `child`, `parent`, `containment`, `exact`, `child_rows`, `parent_rows`.
    retired
        Tables that the retention plan could retire; their frames are dashed and say "retire".

    Notes
    -----
    Copies are one node. Whole and proven edges are solid; others are dashed and carry their
    containment, and only the largest is drawn, for tables that nothing holds in whole. Beyond 40 nodes or five layers
    names have no room: then it is `component_panels`.
    """
    placed = layout(edges)
    if not placed.legible:
        return component_panels(edges, retired)
    rows: dict[str, int] = {}
    for child, parent, held, holding in edges.select(
        "child", "parent", "child_rows", "parent_rows"
    ).iter_rows():
        for name, amount in ((child, held), (parent, holding)):
            if name is not None and amount is not None:
                rows[name] = int(amount)
    columns = max(1, len(placed.layers))
    tallest = max((len(layer) for layer in placed.layers), default=1)
    step, box = 50.0, 36.0
    figure = canvas(step * tallest + 12)
    axes = axes_at(figure, 0, 0, WIDTH, step * tallest + 12)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(step * tallest + 12, 0)
    axes.axis("off")
    width = min(380.0, (WIDTH - 8 - min(130.0, 360.0 / columns) * (columns - 1)) / columns)
    gap = min(260.0, (WIDTH - 8 - width * columns) / max(1, columns - 1))
    centre: dict[int, tuple[float, float]] = {}
    for level, layer in enumerate(placed.layers):
        for place, node in enumerate(layer):
            top = 6 + step * tallest * (place + 0.5) / len(layer)
            centre[node] = (4 + level * (width + gap) + width / 2, top)
    for child, parent, contained, exact in placed.edges:
        _edge(axes, centre[child], centre[parent], width, contained, exact=exact)
    for node, tables in enumerate(placed.nodes):
        _node(axes, centre[node], width, box, tables, rows, retired)
    return figure


def _edge(
    axes: Axes,
    child: tuple[float, float],
    parent: tuple[float, float],
    width: float,
    contained: float,
    *,
    exact: bool,
) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    whole = exact and contained >= 1
    forward = parent[0] > child[0]
    side = width / 2 if forward else -width / 2
    start = (child[0] + side, child[1])
    end = (parent[0] - side, parent[1])
    if parent[0] == child[0]:  # partial edges may tie within a column
        start, end = (child[0] + width / 2, child[1]), (parent[0] + width / 2, parent[1])
        middle = start[0] + 40
    else:
        middle = (start[0] + end[0]) / 2
    curve = Path(
        [start, (middle, start[1]), (middle, end[1]), end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    axes.add_patch(
        FancyArrowPatch(
            path=curve,
            arrowstyle="-|>",
            mutation_scale=9,
            color=light("soft"),
            linewidth=1.3,
            linestyle="-" if whole else (0, (4, 3)),
            fill=True,
        )
    )
    if not whole:
        label = f"{100 * contained:.3g} %" if contained < 1 else "not proven"
        axes.text(
            middle,
            (start[1] + end[1]) / 2 - 3,
            label,
            ha="center",
            va="bottom",
            fontsize=9.5,
            color=light("soft"),
        )


def _node(
    axes: Axes,
    at: tuple[float, float],
    width: float,
    height: float,
    tables: tuple[str, ...],
    rows: dict[str, int],
    retired: frozenset[str],
) -> None:
    from matplotlib.patches import FancyBboxPatch

    gone = [name for name in tables if name in retired]
    axes.add_patch(
        FancyBboxPatch(
            (at[0] - width / 2 + 3, at[1] - height / 2 + 3),
            width - 6,
            height - 6,
            boxstyle="round,pad=3,rounding_size=5",
            facecolor=light("panel"),
            edgecolor=light("duplicate") if gone else light("ghost"),
            linewidth=1.4 if gone else 1.1,
            linestyle=(0, (4, 2)) if gone else "-",
        )
    )
    more = f" + {len(tables) - 1}" if len(tables) > 1 else ""
    room = int((width - 16) / 6.6) - len(more)
    axes.text(
        at[0] - width / 2 + 8,
        at[1] - 2,
        shorten_path(tables[0], max(6, room)) + more,
        va="bottom",
        fontsize=11,
    )
    notes = (
        [f"{compact(rows[tables[0]])} row{'' if rows[tables[0]] == 1 else 's'}"]
        if tables[0] in rows
        else []
    )
    if len(tables) > 1:
        notes.append(f"{len(tables)} copies")
    if gone:
        notes.append("retire" if len(tables) == 1 else f"retire {len(gone)}")
    axes.text(
        at[0] - width / 2 + 8,
        at[1] + 2,
        shorten(" · ".join(notes), int((width - 16) / 5.4)),
        va="top",
        fontsize=9.5,
        color=light("soft"),
    )
