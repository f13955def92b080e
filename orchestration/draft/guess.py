"""Guess for every table of a lake what it is for, so that tables of one folder that can share a rule do. Pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from orchestration.draft.columns import ColumnFacts, pooled
from orchestration.draft.languages import languages_by_path
from orchestration.draft.model import IGNORED, Body, Guess, TableFacts
from orchestration.draft.tables import guess_table, is_documentation, is_evaluation

MOST_FEATURE_BODIES = 12
MIXED = "LOOK HERE"
NotNumbers = Callable[[str, Mapping[str, str], Sequence[str]], set[str]]


def guess_lake(tables: Sequence[TableFacts], not_numbers: NotNumbers) -> dict[str, Guess]:
    """Return a guess for every table.

    Parameters
    ----------
    tables
        What was seen of each.
    not_numbers
        Given a table, how it is read, and columns: those that turn out to hold no numbers.

    Notes
    -----
    Where names say of some tables what their text is, prose and numbers that only look like training data are ignored,
    and the reason says so. Of tables of numbers at most twelve sets of features are read, the largest first, as each is
    a rule of its own.
    """
    guesses: dict[str, Guess] = {}
    for members in _alike(tables):
        if members[0].fault is not None:
            guess = Guess(IGNORED, (members[0].fault,))
        else:
            guess = guess_table(_pooled(members), members[0].read)
        guesses |= dict.fromkeys((facts.table for facts in members), guess)
    for facts in tables:
        if facts.format == "text" and "/" not in facts.table and is_documentation(facts.table):
            guesses[facts.table] = Guess(IGNORED, ("it is about the lake, by its name",))
    _leave_out_unsure(guesses)
    _settle_features(guesses, {facts.table: facts for facts in tables}, not_numbers)
    _unify(guesses)
    _find_evaluation(guesses, tables)
    _find_languages(guesses)
    return guesses


def _alike(tables: Sequence[TableFacts]) -> list[list[TableFacts]]:
    """Put tables of one folder with the same columns together."""
    alike: dict[object, list[TableFacts]] = defaultdict(list)
    for facts in tables:
        names = frozenset(column.name for column in facts.columns)
        alike[_folder(facts.table), names, facts.read, facts.fault].append(facts)
    return list(alike.values())


def _folder(table: str) -> str:
    return table.rpartition("/")[0]


def _pooled(members: Sequence[TableFacts]) -> list[ColumnFacts]:
    by_name: dict[str, list[ColumnFacts]] = defaultdict(list)
    for facts in members:
        for column in facts.columns:
            by_name[column.name].append(column)
    return [pooled(parts) for parts in by_name.values()]


def _leave_out_unsure(guesses: dict[str, Guess]) -> None:
    """Where other tables' names say what is learned from, leave out those of which only the values suggest it."""
    if not any(g.sure and (g.body.text or g.body.uri) for g in guesses.values()):
        return
    for table, guess in guesses.items():
        body = guess.body
        if guess.sure or body.role == "ignore":
            continue
        if body.text:
            why = (
                "one column reads like prose, but its name doesn't say so as other tables' names do"
            )
            guesses[table] = Guess(IGNORED, (f"{why} ({body.text[0]})",))
        else:
            why = "it holds numbers without a column named as a label, beside tables of text"
            seen = f" (is `{body.label}` the label?)" if body.label is not None else ""
            guesses[table] = Guess(IGNORED, (why + seen,))


def _settle_features(
    guesses: dict[str, Guess], by_table: Mapping[str, TableFacts], not_numbers: NotNumbers
) -> None:
    """Decide which tables of numbers are read, and hold their features against more than the first rows."""
    bodies: dict[Body, list[str]] = defaultdict(list)
    for table, guess in guesses.items():
        if guess.body.features:
            bodies[guess.body].append(table)
    wholes = {body: {*body.features, body.label} for body in bodies}
    largest = sorted(
        bodies, key=lambda body: (-sum(by_table[t].bytes for t in bodies[body]), bodies[body])
    )
    read = 0
    for body in largest:
        wider = next((b for b in largest if wholes[body] < wholes[b]), None)
        whole_table = bodies[wider][0] if wider is not None else None
        read += wider is None
        for table in bodies[body]:
            if whole_table is not None:
                why = f"its columns are some of those of another table ({whole_table})"
            elif read > MOST_FEATURE_BODIES:
                why = f"{MOST_FEATURE_BODIES} larger sets of features are read already"
            elif other := sorted(not_numbers(table, dict(body.read), body.features)):
                why = f"further down, a column of numbers holds more than that ({other[0]})"
            else:
                continue
            guesses[table] = Guess(IGNORED, (why,))


def _unify(guesses: dict[str, Guess]) -> None:
    """Let the text tables of one folder share a body where a rule allows it.

    A rule's text, label and groups need not be in every table; its features, uri and id must be.
    """
    folders: dict[object, list[str]] = defaultdict(list)
    for table, guess in guesses.items():
        if guess.body.text:
            folders[_folder(table), guess.body.read].append(table)
    for members in folders.values():
        texts = sorted({guesses[t].body.text for t in members}, key=len, reverse=True)
        sharing: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for table in members:
            own = guesses[table].body.text
            widest = next(t for t in texts if t == own or (len(own) > 1 and set(own) < set(t)))
            sharing[widest].append(table)
        for text, those in sharing.items():
            _share(guesses, those, text)


def _share(guesses: dict[str, Guess], tables: Sequence[str], text: tuple[str, ...]) -> None:
    labels = {guesses[t].body.label for t in tables} - {None}
    groups = tuple(sorted({group for t in tables for group in guesses[t].body.groups}))
    clash = len({name for name, _, _ in groups}) < len(groups)
    for table in tables:
        body = dataclasses.replace(guesses[table].body, text=text)
        if len(labels) == 1:
            body = dataclasses.replace(body, label=min(label for label in labels if label))
        if body.label in text:
            body = dataclasses.replace(body, label=None)
        if not clash:
            body = dataclasses.replace(body, groups=groups)
        guesses[table] = dataclasses.replace(guesses[table], body=body)


def _find_evaluation(guesses: dict[str, Guess], tables: Sequence[TableFacts]) -> None:
    """Give the tables of which a path says so the role evaluation, unless nothing would be left to train on."""
    judging: dict[str, frozenset[str]] = {}
    for facts in tables:
        guess, (files, of) = guesses[facts.table], facts.judging
        if guess.body.role != "train":
            continue
        if words := is_evaluation(facts.table) or (
            is_evaluation(files[0]) if len(files) == of > 0 else None
        ):
            judging[facts.table] = words
        elif files:
            why = (
                f"{MIXED}: {len(files)} of its {of} files are named for an evaluation set ({files[0]}), and a folder "
                "of Parquet is one table: move them to a folder of their own, or they are trained on"
            )
            guesses[facts.table] = dataclasses.replace(guess, why=(*guess.why, why))
    alone = not any(g.body.role == "train" and t not in judging for t, g in guesses.items())
    for table, words in judging.items():
        guess = guesses[table]
        if alone:
            why = (
                "role: train, though the path names a set for evaluation: the lake has nothing else"
            )
            body = guess.body
        else:
            why = f"role: evaluation, by the path: never published, nor are near twins ({', '.join(sorted(words))})"
            body = dataclasses.replace(guess.body, role="evaluation")
        guesses[table] = dataclasses.replace(guess, body=body, why=(why, *guess.why))


def _find_languages(guesses: dict[str, Guess]) -> None:
    """Take the language from the path where that names one and no column does."""
    open_tables = [t for t, g in guesses.items() if g.body.role != "ignore" and not g.body.groups]
    for table, (pattern, codes) in languages_by_path(open_tables).items():
        guess = guesses[table]
        body = dataclasses.replace(guess.body, groups=(("language", "path", pattern),))
        why = f"group language: a part of the path ({', '.join(codes[:5])})"
        guesses[table] = dataclasses.replace(guess, body=body, why=(*guess.why, why))
