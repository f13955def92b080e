"""Group pairs of tables by what they are compared on, and say what must be hashed for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from assets.containment.described import Described
from assets.containment.hash_store import Columns

Names = tuple[str, ...]
Pair = tuple[str, str]


def by_columns(tables: Mapping[str, Described], pairs: Iterable[Pair]) -> dict[Names, list[Pair]]:
    """Group (child, parent) pairs by the child's columns."""
    by_child: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_child[pair[0]].append(pair)
    groups: dict[Names, list[Pair]] = defaultdict(list)
    for child, own in by_child.items():
        groups[tuple(sorted(tables[child].keys))] += own
    return dict(sorted(groups.items()))


def wanted_of(groups: Mapping[Names, Sequence[Pair]]) -> dict[str, list[Columns]]:
    """Return the sets of columns on which each table of some groups is hashed."""
    wanted: dict[str, dict[Columns, None]] = defaultdict(dict)
    for columns, pairs in groups.items():
        for name in {name for pair in pairs for name in pair}:
            wanted[name][columns] = None
    return {name: list(sets) for name, sets in wanted.items()}
