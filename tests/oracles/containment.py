"""Slow, plain answers to containment questions: dictionaries and loops, no hashes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations


def cell(value, equality="value"):
    """The thing that two cells share if and only if they are equal."""
    if equality == "text":
        return "" if value is None else str(value)
    if value is None:
        return ("null",)
    if isinstance(value, float) and math.isnan(value):
        return ("nan",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        tag = type(value).__name__ if equality == "typed" else "number"
        return (tag, value + 0 if value != 0 else 0)
    return (type(value).__name__, value)


def rows(table: Mapping[str, Sequence], columns: Sequence[str], equality="value") -> Counter:
    return Counter(
        tuple(cell(value, equality) for value in row)
        for row in zip(*(table[name] for name in sorted(columns)), strict=True)
    )


def shared(child: Counter, parent: Counter) -> dict[str, int]:
    return {
        "child_distinct": len(child),
        "common": sum(row in parent for row in child),
        "child_rows": child.total(),
        "common_multiset": sum(min(n, parent[row]) for row, n in child.items()),
        "parent_rows": parent.total(),
    }


def schema_pairs(schemas: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    def holds(child, parent):
        return bool(child) and all(
            name in parent and ("null" in (kind, parent[name]) or parent[name] == kind)
            for name, kind in child.items()
        )

    return sorted(
        (c, p) for c in schemas for p in schemas if c != p and holds(schemas[c], schemas[p])
    )


def smallest_cover(child: set, others: Mapping[str, set], most: int) -> int | None:
    """The fewest of the others, at least two, that hold all of child together."""
    for size in range(2, most + 1):
        for names in combinations(sorted(others), size):
            if child <= set().union(*(others[name] for name in names)):
                return size
    return None


def least_cost(keep: Mapping[str, float], options: Sequence[tuple[str, tuple, float]], pinned=()):
    """The least cost over all sets of kept tables; options are (child, parents, cost)."""
    names = sorted(keep)
    best = math.inf
    for mask in range(1 << len(names)):
        kept = {name for i, name in enumerate(names) if mask >> i & 1}
        if not kept.issuperset(pinned):
            continue
        cost = 0.0
        for name in names:
            if name in kept:
                cost += keep[name]
            else:
                ways = [c for child, ps, c in options if child == name and kept.issuperset(ps)]
                cost += min(ways, default=math.inf)
        best = min(best, cost)
    return best


def largest_saving_first(keep: Mapping[str, float], options: Sequence[tuple[str, tuple, float]]):
    """What it costs to retire one table after the other by its own saving, and never look back."""
    gone: dict[str, float] = {}
    needed: set[str] = set()
    savings = sorted(
        ((keep[child] - c, child, ps, c) for child, ps, c in options),
        reverse=True,
        key=lambda o: o[:2],
    )
    for saving, child, parents, cost in savings:
        free = child not in gone and child not in needed
        if saving > 0 and free and not gone.keys() & set(parents):
            gone[child] = cost
            needed |= set(parents)
    return sum(gone.get(name, cost) for name, cost in keep.items())
