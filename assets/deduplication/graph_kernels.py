"""Compiled loops over graphs of verified pairs: components, and the walk that chooses stars.

Why compiled: the walk decides each node by what was decided before it, which no array operation does, and
a plain loop over four million pairs takes seconds and a list of Python numbers for each column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@compiled
def component_roots(left: I64, right: I64, root: I64) -> None:
    """Fill `root` (nodes,) with the smallest node of each node's component.

    Union by the smaller root with path halving; cost: a few steps a pair, no further memory.
    """
    for node in range(root.size):
        root[node] = node
    for pair in range(left.size):
        one, two = left[pair], right[pair]
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        while root[two] != two:
            root[two] = root[root[two]]
            two = root[two]
        if one < two:
            root[two] = one
        else:
            root[one] = two
    for node in range(
        root.size
    ):  # a root is smaller than what it is the root of: set before it is read
        root[node] = root[root[node]]


@compiled
def star_walk(
    one: I64, two: I64, similarity: F64, earlier_only: int, keeper: I64, near: F64
) -> None:
    """Fill `keeper` and `near` (nodes,): who is kept for each node, and the similarity to it.

    Nodes are numbered in survivor order. A node is kept unless an earlier neighbour is; one that is not kept
    goes to the most similar of the kept neighbours, the first in the order where several are that similar.
    Memory: 4 bytes a pair and 9 a node.
    """
    count = keeper.size
    begins = np.zeros(count + 1, np.int64)
    for pair in range(one.size):
        begins[max(one[pair], two[pair]) + 1] += 1
    for node in range(count):
        begins[node + 1] += begins[node]
    earlier = np.empty(one.size, np.uint32)
    for pair in range(one.size):
        later = max(one[pair], two[pair])
        earlier[begins[later]] = np.uint32(min(one[pair], two[pair]))
        begins[later] += 1
    kept = np.ones(count, np.uint8)
    start: Any = 0
    for node in range(count):  # each beginning has been moved to the end
        for place in range(start, begins[node]):
            if kept[earlier[place]]:
                kept[node] = 0
                break
        start = begins[node]
        keeper[node] = node
        near[node] = 1.0
    for pair in range(one.size):
        source, target = one[pair], two[pair]
        if kept[source]:
            source, target = target, source
        if kept[source] or not kept[target] or (earlier_only and target > source):
            continue
        weight = similarity[pair]
        if (
            keeper[source] == source
            or weight > near[source]
            or (weight == near[source] and target < keeper[source])
        ):
            keeper[source], near[source] = target, weight


@compiled
def first_of_each(group: I64, first: I64) -> None:
    """Fill `first` (groups,) with the first place of each group, or -1."""
    first[:] = -1
    for place in range(group.size):
        if first[group[place]] < 0:
            first[group[place]] = place
