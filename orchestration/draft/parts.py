"""Guess which columns beside the text or the features are a label, groups, or an id. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestration.draft.columns import ColumnFacts, has_few_values, is_unique
from orchestration.draft.model import Guess
from orchestration.draft.vocabulary import GROUPS, IDS, LABELS, LANGUAGES, SPLITS
from orchestration.draft.yaml_text import quoted
from resources.recipe_records import RESERVED_COLUMNS

MOST_SUGGESTIONS = 6


def find_label(columns: Sequence[ColumnFacts]) -> ColumnFacts | None:
    """Return the column whose name says that it is the label, and whose values repeat."""
    return next((c for c in columns if c.name.lower() in LABELS and has_few_values(c)), None)


def only_class(columns: Sequence[ColumnFacts]) -> ColumnFacts | None:
    """Return the one column of few words in a table of numbers: what it classifies, most likely."""
    few = [c for c in columns if c.kind == "text" and has_few_values(c) and c.filled == c.rows]
    return few[0] if len(few) == 1 else None


def with_parts(
    guess: Guess, columns: Sequence[ColumnFacts], label: ColumnFacts | None = None
) -> Guess:
    """Add label and groups to a guess, and suggest what some rows can't show.

    A wrong label or group spoils no run. An id that repeats stops one, so it is only suggested.
    """
    body = guess.body
    learned = {*body.text, *body.features, body.uri}
    why = list(guess.why)
    if label is not None and label.name not in learned:
        body = dataclasses.replace(body, label=label.name)
        why.append(f"label: `{label.name}`, with few values ({some(label.values)})")
    languages = [
        c for c in columns if c.tokens & LANGUAGES and c.name not in learned and _names_groups(c)
    ]
    if languages:
        best = min(languages, key=lambda c: ("locale" in c.tokens, len(c.name)))
        body = dataclasses.replace(body, groups=(("language", "column", best.name),))
        why.append(f"group language: column `{best.name}` ({some(best.values)})")
    used = learned | {body.label} | {value for _, _, value in body.groups}
    found = [s for c in columns if c.name not in used for s in _suggested(c)]
    return dataclasses.replace(
        guess,
        body=body,
        why=tuple(why),
        suggestions=(*guess.suggestions, *found)[:MOST_SUGGESTIONS],
    )


def some(values: Sequence[str], most: int = 5) -> str:
    """List the first values, each cut at 24 characters."""
    shown = ", ".join(value[:24] for value in values[:most])
    return shown + (", ..." if len(values) > most else "")


def _names_groups(column: ColumnFacts) -> bool:
    return column.kind == "text" and column.mean_words <= 2 and column.distinct <= 200


def _suggested(column: ColumnFacts) -> list[tuple[str, str]]:
    if column.tokens & IDS and is_unique(column):
        line = f"id: {quoted(column.name)}"
        return [(line, "unique in the first rows; it must be in all, and in every table")]
    several = column.distinct > 1 and column.kind != "empty"
    if several and {value.lower() for value in column.values} <= SPLITS:
        line = f"keep: [{quoted(column.name)}]"
        why = f"it names splits within a table ({some(column.values)}); a role is a table's, so split the table"
        return [(line, why)]
    if several and has_few_values(column) and column.tokens & (GROUPS | LABELS):
        name = column.name if column.name not in RESERVED_COLUMNS else f"{column.name}_group"
        line = f"groups: {{{quoted(name)}: {{column: {quoted(column.name)}}}}}"
        return [(line, f"could be a group or the label ({some(column.values)})")]
    return []
