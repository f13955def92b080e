"""Write a drafted recipe as YAML in which every guess is explained and policy is left for people to fill in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestration.draft.columns import name_tokens
from orchestration.draft.model import Body, Guess, TableFacts
from orchestration.draft.rules import DraftRule
from orchestration.draft.yaml_text import quoted, shown

EXAMPLES = 3
MOST_REASONS = 8
MOST_SUGGESTIONS = 6
_WIDTH = 118
_MODEL_NAMES = frozenset(["target", "targets", "reference", "gold", "good", "curated"])


@dataclass(frozen=True)
class Draft:
    """All that the recipe tells.

    Attributes
    ----------
    lake, output
        As they are to stand in the recipe, relative to its folder where possible.
    rules
        In order.
    guesses, facts
        By table.
    unreadable
        (name, reason) of what discovery could not take as a table.
    """

    lake: str
    output: str
    rules: Sequence[DraftRule]
    guesses: Mapping[str, Guess]
    facts: Mapping[str, TableFacts]
    unreadable: Sequence[tuple[str, str]] = ()


def write(draft: Draft, name: str) -> str:
    """Return the YAML text of a recipe that will be saved under `name`."""
    lines = [
        f"# Written by `sluice init` from the first rows of {len(draft.facts):,} tables. It runs as it stands:",
        f"#     sluice run {shown(name)} --dry-run    # which rule takes which table, and what a run would cost",
        f"#     sluice run {shown(name)}",
        "# Every guess says why it was made. Change what is wrong; what is commented out needs somebody who knows.",
        "",
        f"lake: {quoted(draft.lake)}",
        f"output: {quoted(draft.output)}",
        "",
        "# The first rule whose pattern matches a table's path takes it; * also crosses folders. A table that another",
        "# table of the same rule holds completely is not read twice.",
        "records:",
    ]
    for rule in draft.rules:
        lines += _rule(draft, rule)
    lines += _passed_over(draft)
    lines += _rest(draft)
    return "\n".join(lines) + "\n"


def _rule(draft: Draft, rule: DraftRule) -> list[str]:
    facts = [draft.facts[table] for table in rule.tables]
    formats = ", ".join(sorted({f.format for f in facts}))
    size = sum(f.bytes for f in facts) / 1e6
    count = f"{len(facts):,} table{'s' if len(facts) > 1 else ''} ({formats}; {size:,.1f} MB)"
    lines = _comment(f"{count}: {_examples(rule.tables)}", "  # ")
    for reason in _reasons(draft, rule.tables):
        lines += _comment(reason, "  # ", "  #   ")
    patterns = [quoted_always(pattern) for pattern in rule.patterns]
    if len(patterns) == 1:
        lines.append(f"  - tables: {patterns[0]}")
    else:
        lines.append("  - tables:")
        lines += [f"      - {pattern}" for pattern in patterns]
    lines += [f"    {line}" for line in _said(rule.body)]
    for line, why in _suggestions(draft, rule):
        lines += _comment(f"{line}    # {why}", "    # ", "    #     # ")
    return [*lines, ""]


def _suggestions(draft: Draft, rule: DraftRule) -> list[tuple[str, str]]:
    """Return what the rule could say too: of an id, only what every table of the rule has."""
    counted: dict[str, list[str]] = defaultdict(list)
    for table in rule.tables:
        for line, why in draft.guesses[table].suggestions:
            counted[line].append(why)
    found = [
        (line, whys[0])
        for line, whys in counted.items()
        if not line.startswith("id:") or len(whys) == len(rule.tables)
    ]
    models = [p for p in rule.patterns if _MODEL_NAMES & set(name_tokens(p))]
    if rule.body.role == "train" and rule.body.text and models:
        line = f"tables: {quoted_always(models[0])}, role: target"
        why = "in a rule of its own before this one, if these show what good data looks like; never published then"
        found.append((line, why))
    return found[:MOST_SUGGESTIONS]


def _said(body: Body) -> list[str]:
    lines = [] if body.role == "train" else [f"role: {body.role}"]
    if body.text:
        lines += (
            _list("text", body.text) if len(body.text) > 1 else [f"text: {quoted(body.text[0])}"]
        )
    if body.features:
        lines += _list("features", body.features)
    if body.uri is not None:
        lines.append(f"uri: {quoted(body.uri)}")
    if body.label is not None:
        lines.append(f"label: {quoted(body.label)}")
    if body.groups:
        told = (f"{quoted(n)}: {{{kind}: {quoted_always(v)}}}" for n, kind, v in body.groups)
        lines.append(f"groups: {{{', '.join(told)}}}")
    if body.read:
        told = (f"{key}: {quoted_always(value)}" for key, value in body.read)
        lines.append(f"read: {{{', '.join(told)}}}")
    return lines


def quoted_always(text: str) -> str:
    """Write a scalar in quotes, also where none are needed."""
    plain = quoted(text)
    return plain if plain.startswith('"') else f'"{plain}"'


def _list(key: str, names: Sequence[str]) -> list[str]:
    lines, line = [], f"{key}: ["
    for place, name in enumerate(names):
        item = quoted(name) + ("]" if place == len(names) - 1 else ", ")
        if len(line) + len(item) > _WIDTH - 4:
            lines.append(line.rstrip())
            line = "  "
        line += item
    return [*lines, line]


def _reasons(draft: Draft, tables: Iterable[str]) -> list[str]:
    # what differs only in brackets is said once
    said: dict[str, str] = {}
    for why in (why for table in tables for why in draft.guesses[table].why):
        said.setdefault(why.partition(" (")[0], why)
    reasons = list(said.values())
    more = len(reasons) - MOST_REASONS
    return reasons[:MOST_REASONS] + ([f"and {more} more reasons of this kind"] if more > 0 else [])


def _passed_over(draft: Draft) -> list[str]:
    """List what no rule takes, by reason: containment looks at it all the same."""
    taken = {table for rule in draft.rules for table in rule.tables}
    by_reason: dict[str, list[str]] = defaultdict(list)
    for table, guess in draft.guesses.items():
        if table not in taken:
            by_reason[guess.why[0].partition(" (")[0]].append(table)
    lines = []
    if by_reason:
        lines.append(
            "# No rule takes these; containment compares them with the others all the same."
        )
    for reason, tables in sorted(by_reason.items(), key=lambda item: -len(item[1]))[:MOST_REASONS]:
        told = draft.guesses[tables[0]].why[0] if len(tables) == 1 else reason
        lines += _comment(f"{len(tables):,}, as {told}: {_examples(tables)}", "#   ", "#     ")
    if len(by_reason) > MOST_REASONS:
        lines.append(f"#   and {len(by_reason) - MOST_REASONS} more reasons")
    if draft.unreadable:
        lines.append(
            "# These can't be read as tables; a run sets them aside in ingestion/quarantine and goes on."
        )
        for name, reason in draft.unreadable[:5]:
            lines += _comment(f"{name}: {reason}", "#   ", "#     ")
        if len(draft.unreadable) > 5:
            lines.append(f"#   and {len(draft.unreadable) - 5:,} more")
    return [*lines, ""] if lines else []


def _rest(draft: Draft) -> list[str]:
    groups = sorted(
        {
            name
            for rule in draft.rules
            for name, _, _ in rule.body.groups
            if rule.body.role == "train"
        }
    )
    by = groups[0] if groups else "GROUP"
    missing = (
        []
        if groups
        else [
            "# No group was found: first state one in the rules, groups: {GROUP: {column: COLUMN}}."
        ]
    )
    return [
        "# What the training run can afford. Without a budget every record that survives is shown once.",
        "# With one, quality pools are compared by small proxy runs, and the plan says which are worth it.",
        "# filtering:",
        "#   budgets: [{samples: 100000}]       # in records; several budgets are all planned for",
        "",
        "# Who gets how much of the budget is a decision, so somebody signs it. Nothing is reallocated without.",
        *missing,
        "# allocation:",
        f"#   by: {quoted(by)}",
        "#   objective: OBJECTIVE     # weighted_sum, isoelastic: a sum over groups; max_min, leximin: the worst first",
        "#   level: LEVEL             # what is compared: raw, excess, skill (from chance to the best), attainable",
        "#   weights: WEIGHTS         # for sums: equal, proportional, or one a group: {en: 1, sw: 2}",
        "#   costs: {}                # price of a record by group; 1 each unless stated",
        "#   floors: {}               # least records by group",
        "#   policy: {owner: WHO, reason: WHY}",
    ]


def _examples(tables: Sequence[str]) -> str:
    more = len(tables) - EXAMPLES
    return ", ".join(tables[:EXAMPLES]) + (f" and {more:,} more" if more > 0 else "")


def _comment(text: str, first: str, later: str | None = None) -> list[str]:
    """Wrap a text into comment lines of at most 118 characters where there is room to break."""
    lines, line = [], first
    for word in re.split(r" ", shown(text)):
        if len(line) > len(first) and len(line) + len(word) > _WIDTH:
            lines.append(line.rstrip())
            line = later or first
        line += word + " "
    return [*lines, line.rstrip()]
