"""Turn a body for every table into few ordered rules, such that the first pattern that matches a table is its own."""

from __future__ import annotations

import glob
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from orchestration.draft.model import IGNORED, Body

Pair = tuple[str, Body]
LISTED_AT_MOST = 3


@dataclass
class DraftRule:
    """A rule to be written: what it says, its patterns, and the tables that it takes."""

    body: Body
    patterns: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)


def draft_rules(bodies: Mapping[str, Body]) -> list[DraftRule]:
    """Return rules that give every table its body, or no rule at all where that is to be ignored.

    Parameters
    ----------
    bodies
        Body by table.

    Returns
    -------
    list
        The special before the general: a folder's usual tables share one pattern, and so will tables that are added to
        it. Only rules that are needed.
    """
    names = {glob.escape(table): table for table in bodies}

    def matched(pattern: str) -> set[str]:
        if pattern in names:  # most patterns of a mixed folder are plain names
            return {names[pattern]}
        return {table for table in bodies if fnmatchcase(table, pattern)}

    rules: list[DraftRule] = []
    reach: list[set[str]] = []
    for pattern, body in _cover("", sorted(bodies), bodies, IGNORED):
        tables = matched(pattern)
        strangers = {table for table in tables if bodies[table] != body}
        place = _place(rules, reach, body, strangers)
        if place == len(rules):
            rules.append(DraftRule(body))
            reach.append(set())
        rules[place].patterns.append(pattern)
        reach[place] |= tables
    taken: set[str] = set()
    for rule, tables in zip(rules, reach, strict=True):
        rule.tables = [table for table in bodies if table in tables - taken]
        taken |= tables
    return [rule for rule in rules if rule.tables]


def _place(
    rules: Sequence[DraftRule], reach: Sequence[set[str]], body: Body, strangers: set[str]
) -> int:
    """Return the earliest rule of a body that a pattern may join without taking others' tables, else a new place."""
    before: set[str] = set()
    for place, rule in enumerate(rules):
        before |= reach[place]
        if rule.body == body:
            later = set().union(*reach[place + 1 :])
            if not (strangers - before) & later:
                return place
    return len(rules)


def _cover(
    folder: str, tables: Sequence[str], bodies: Mapping[str, Body], otherwise: Body
) -> list[Pair]:
    """Return the pairs for all tables below a folder, given what holds for those that no pair takes."""
    ahead = f"{glob.escape(folder)}/" if folder else ""
    if len({bodies[t] for t in tables}) == 1:
        body = bodies[tables[0]]
        return [] if body == otherwise else [(f"{ahead}*", body)]
    inner: dict[str, list[str]] = defaultdict(list)
    direct: dict[Body, list[str]] = defaultdict(list)
    for table in tables:
        child, slash, _ = table[len(folder) + 1 if folder else 0 :].partition("/")
        if slash:
            inner[child].append(table)
        else:
            direct[bodies[table]].append(table)
    usual = otherwise
    if folder:
        usual = _usual(tables, bodies, _shared(direct, inner, bodies), otherwise)
    pairs = [
        (pattern, body)
        for body, members in direct.items()
        if body != usual
        for pattern in _names(members, tables, bodies, ahead)
    ]
    # a pattern with * may reach into a folder, so what is said of folders must not come after it
    below = [
        pair
        for child, members in sorted(inner.items())
        for pair in _cover(f"{folder}/{child}" if folder else child, members, bodies, usual)
    ]
    pairs += _across(below, tables, bodies, ahead)
    return [*pairs, (f"{ahead}*", usual)] if usual != otherwise else pairs


def _shared(
    direct: Collection[Body], inner: Mapping[str, Sequence[str]], bodies: Mapping[str, Body]
) -> set[Body]:
    """Return the bodies that may stand for a whole folder: of tables right in it, or of several folders in it.

    A body with features or an address, which every table needs, only where such tables lie right in the folder.
    """
    folders = Counter(body for below in inner.values() for body in {bodies[t] for t in below})
    several = {b for b, n in folders.items() if n > 1 and not b.features and b.uri is None}
    return {*direct, *several}


def _usual(
    tables: Sequence[str], bodies: Mapping[str, Body], shared: Collection[Body], otherwise: Body
) -> Body:
    """Return what most tables are; training data counts threefold, so that tables to come are rather read."""
    counts = Counter(bodies[t] for t in tables)
    order = {"train": 2, "evaluation": 1, "ignore": 0}

    def weight(body: Body) -> tuple[int, bool, int, str]:
        count = counts[body] * (3 if body.role == "train" else 1)
        return count, body == otherwise, order[body.role], repr(body)

    return max({*shared, otherwise}, key=weight)


def _across(
    pairs: Sequence[Pair], tables: Sequence[str], bodies: Mapping[str, Body], ahead: str
) -> list[Pair]:
    """Say once what the same name in several folders says: ``folder/*/test.tsv``."""
    alike: dict[Pair, list[int]] = defaultdict(list)
    for place, (pattern, body) in enumerate(pairs):
        rest = pattern[len(ahead) :].partition("/")[2]
        if rest and rest != "*":
            alike[rest, body].append(place)
    dropped: set[int] = set()
    first: list[Pair] = []
    for (rest, body), places in alike.items():
        pattern = f"{ahead}*/{rest}"
        if len(places) > 1 and _takes_only(pattern, body, tables, bodies):
            first.append((pattern, body))
            dropped |= set(places)
    return [*first, *(pair for place, pair in enumerate(pairs) if place not in dropped)]


def _names(
    members: Sequence[str], tables: Sequence[str], bodies: Mapping[str, Body], ahead: str
) -> list[str]:
    """Return one pattern that takes these tables of the folder and no other's, else their names."""
    if len(members) > LISTED_AT_MOST:
        names = [table.rsplit("/", 1)[-1] for table in members]
        start = _common_start(names)
        end = _common_start([name[::-1] for name in names])[::-1]
        for tried in (f"*{glob.escape(end)}", f"{glob.escape(start)}*"):
            pattern = ahead + tried
            if tried != "*" and _takes_only(pattern, bodies[members[0]], tables, bodies):
                return [pattern]
    return [glob.escape(table) for table in members]


def _takes_only(
    pattern: str, body: Body, tables: Sequence[str], bodies: Mapping[str, Body]
) -> bool:
    return all(bodies[t] == body for t in tables if fnmatchcase(t, pattern))


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    length = next((i for i, c in enumerate(first) if last[i : i + 1] != c), len(first))
    return first[:length]
