"""Which rule of the recipe a table falls under: the first whose pattern matches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from resources.recipe_records import RecordRule


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


def reading(rules: Sequence[RecordRule], table: str, columns: Iterable[str]) -> str | None:
    """Name the way in which the rows of a table become records, or return None if they do not.

    Two tables are read in one way if equal rows of them become the same records but for their ids:
    by one rule, with the same of its columns there, and with the same groups from their paths.
    """
    index = matching_rule(rules, table)
    if index is None or rules[index].role == "ignore":
        return None
    rule = rules[index]
    used = {*rule.text, *rule.features, *rule.keep, rule.uri, rule.label}
    used |= {source.column for source in rule.groups.values()}
    groups = {
        name: group_value_from_path(source.path, table)
        for name, source in rule.groups.items()
        if source.path is not None
    }
    return json.dumps([index, sorted(used & set(columns)), groups], sort_keys=True)
