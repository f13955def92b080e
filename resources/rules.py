"""Which rule of the recipe a table falls under: the first whose pattern matches."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from resources.recipe import RecordRule


def matching_rule(rules: Sequence[RecordRule], table: str) -> int | None:
    """Return the index of the first rule that matches a table, or None.

    A pattern is matched against the whole path relative to the lake; ``*`` also crosses ``/``.

    Examples
    --------
    >>> matching_rule([RecordRule(tables="docs/*", text="text")], "docs/a/b.jsonl")
    0
    """
    for index, rule in enumerate(rules):
        if any(fnmatchcase(table, pattern) for pattern in rule.tables):
            return index
    return None


def group_value_from_path(pattern: str, table: str) -> str | None:
    """Return the part named v of the first match of a group's path expression."""
    import re

    found = re.search(pattern, table)
    return found["v"] if found is not None else None
