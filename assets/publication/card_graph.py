"""Where the nodes of a containment graph go: copies collapsed, then layers from held to holding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.publication.card_format import natural

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST_LAYERS = 5


@dataclass(frozen=True)
class GraphLayout:
    """Hold a drawing of a containment graph.

    Attributes
    ----------
    nodes
        Tables of each node; more than one where tables hold each other in whole, that is, copies.
    layers
        Node numbers by column, left to right: a table stands left of all that hold it.
    edges
        ``(child node, parent node, containment, exact)`` without those that follow from others. Of
        the partial ones, the largest of each table that nothing holds in whole.
    left_out
        Tables that have an edge and are not drawn.
    """

    nodes: tuple[tuple[str, ...], ...]
    layers: tuple[tuple[int, ...], ...]
    edges: tuple[tuple[int, int, float, bool], ...]
    left_out: int

    @property
    def legible(self) -> bool:
        """Whether all of it can be drawn with the names of the tables."""
        return len(self.layers) <= MOST_LAYERS and self.left_out == 0


def layout(edges: pl.DataFrame, most_nodes: int = 40) -> GraphLayout:
    """Lay out the tables that hold, or are held by, another.

    Parameters
    ----------
    edges
        `child`, `parent`, `containment` (share of the child's rows found in the parent), `exact`,
        `parent_rows`.
    most_nodes
        Nodes to draw at most; those with the most edges stay, ties by name.

    Notes
    -----
    Copies are the strongly connected components of whole and exact edges. Other cycles can't occur
    among whole edges; partial ones (containment below 1) do not decide layers unless the whole ones
    leave that open. O(V E) for dropping edges that follow from others,
    with V at most `most_nodes`.
    """
    frame = edges.filter(pl.col("child").is_not_null() & pl.col("parent").is_not_null())
    names = sorted({*frame["child"], *frame["parent"]}, key=natural)
    if not names:
        return GraphLayout((), (), (), 0)
    links: dict[tuple[str, str], tuple[float, bool]] = {}
    for child, parent, contained, exact in frame.select(
        "child", "parent", "containment", "exact"
    ).iter_rows():
        if child != parent:
            value = (1.0 if contained is None else min(1.0, float(contained)), bool(exact))
            links[child, parent] = max(links.get((child, parent), (0.0, False)), value)
    groups = _copies(names, links)
    node_of = {name: place for place, group in enumerate(groups) for name in group}
    joined: dict[tuple[int, int], tuple[float, bool]] = {}
    for (child, parent), value in links.items():
        pair = (node_of[child], node_of[parent])
        if pair[0] != pair[1]:
            joined[pair] = max(joined.get(pair, (0.0, False)), value)
    kept, left_out = _most_linked(groups, joined, most_nodes)
    new = {old: place for place, old in enumerate(kept)}
    joined = {(new[a], new[b]): v for (a, b), v in joined.items() if a in new and b in new}
    drawn = _without_implied(joined)
    depth = _depths(len(kept), sorted(drawn, key=lambda pair: (drawn[pair] != (1.0, True), pair)))
    columns = [
        [node for node in range(len(kept)) if depth[node] == level]
        for level in range(max(depth, default=0) + 1)
    ]
    return GraphLayout(
        nodes=tuple(groups[old] for old in kept),
        layers=tuple(tuple(column) for column in _untangled(columns, drawn)),
        edges=tuple((a, b, *drawn[a, b]) for a, b in sorted(drawn)),
        left_out=left_out,
    )


def _copies(
    names: list[str], links: dict[tuple[str, str], tuple[float, bool]]
) -> list[tuple[str, ...]]:
    """Return the tables that hold each other in whole, in natural order."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = {name: number for number, name in enumerate(names)}
    whole = [pair for pair, (contained, exact) in links.items() if exact and contained >= 1]
    matrix = coo_matrix(
        (
            np.ones(len(whole)),
            ([place[child] for child, _ in whole], [place[parent] for _, parent in whole]),
        ),
        shape=(len(names), len(names)),
    )
    _, labels = connected_components(matrix, directed=True, connection="strong")
    groups: dict[int, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(int(label), []).append(name)
    return sorted((tuple(group) for group in groups.values()), key=lambda group: natural(group[0]))


def _most_linked(
    groups: list[tuple[str, ...]], joined: Iterable[tuple[int, int]], most: int
) -> tuple[list[int], int]:
    degree = [len(group) - 1 for group in groups]
    for child, parent in joined:
        degree[child] += 1
        degree[parent] += 1
    ranked = sorted(range(len(groups)), key=lambda node: (-degree[node], node))
    kept = sorted(ranked[:most])
    return kept, sum(len(groups[node]) for node in ranked[most:])


def _without_implied(
    joined: dict[tuple[int, int], tuple[float, bool]],
) -> dict[tuple[int, int], tuple[float, bool]]:
    """Drop edges that say little.

    A whole edge a-c follows from whole a-b and b-c. Of partial edges a lake has a great many, and a
    table that is held in whole needs none of them; of the others the largest tells most.
    """
    whole = {pair for pair, (contained, exact) in joined.items() if exact and contained >= 1}
    implied = {(a, c) for a, b in whole for b2, c in whole if b == b2 and (a, c) in whole}
    held = {child for child, _ in whole}
    partial: dict[int, tuple[int, int]] = {}
    for pair in sorted(joined):
        if pair[::-1] in whole:  # how much of the holder is held follows from their rows
            continue
        best = partial.get(pair[0])
        if pair[0] not in held and (best is None or joined[pair] > joined[best]):
            partial[pair[0]] = pair
    kept = (whole - implied) | set(partial.values())
    return {pair: value for pair, value in joined.items() if pair in kept}


def _depths(amount: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Return each node's column: the longest chain of held tables that ends in it.

    Pairs come in order of trust; one that would close a cycle is passed over.
    """
    parents: list[set[int]] = [set() for _ in range(amount)]

    def reaches(start: int, goal: int) -> bool:
        seen, waiting = {start}, [start]
        while waiting:
            node = waiting.pop()
            if node == goal:
                return True
            fresh = parents[node] - seen
            seen |= fresh
            waiting.extend(fresh)
        return False

    for child, parent in pairs:
        if not reaches(parent, child):
            parents[child].add(parent)
    depth = [0] * amount
    for _ in range(amount):
        moved = False
        for child in range(amount):
            for parent in parents[child]:
                if depth[parent] < depth[child] + 1:
                    depth[parent] = depth[child] + 1
                    moved = True
        if not moved:
            break
    # a table that is only held stands beside what holds it, so that edges are short
    for child in sorted(range(amount), key=lambda node: (-depth[node], node)):
        if parents[child] and not any(child in others for others in parents):
            depth[child] = min(depth[parent] for parent in parents[child]) - 1
    return depth


def _untangled(columns: list[list[int]], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Order each column by the mean place of its neighbours, a few sweeps to and fro."""
    neighbours: dict[int, set[int]] = {}
    for child, parent in edges:
        neighbours.setdefault(child, set()).add(parent)
        neighbours.setdefault(parent, set()).add(child)

    def places() -> dict[int, float]:
        return {
            node: (row + 0.5) / len(column) for column in columns for row, node in enumerate(column)
        }

    for _ in range(4):
        for column in [*columns, *reversed(columns)]:
            at = places()
            column.sort(
                key=lambda node: (
                    sum(at[other] for other in sorted(neighbours.get(node, {node})))
                    / len(neighbours.get(node, {node})),
                    node,
                )
            )
    return columns
