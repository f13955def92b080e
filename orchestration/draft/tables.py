"""Guess what tables of one schema are for: which column is learned from, if any. Pure: facts in, guess out."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.draft.columns import (
    ColumnFacts,
    is_address,
    is_media,
    name_tokens,
    reads_like_text,
)
from orchestration.draft.model import IGNORED, Body, Guess
from orchestration.draft.parts import find_label, only_class, with_parts
from orchestration.draft.vocabulary import (
    ADDRESSES,
    DOCUMENTATION,
    EVALUATION,
    IDS,
    LANGUAGES,
    MAIN_TEXT,
    MEASURES,
    OTHER_TEXT,
    TURNS,
)
from orchestration.draft.yaml_text import flow

LEAST_FEATURES = 2
MOST_CAPTION_WORDS = 40


def guess_table(columns: Sequence[ColumnFacts], read: tuple[tuple[str, str], ...] = ()) -> Guess:
    """Guess what tables with these columns are for: training data, or to be ignored.

    Parameters
    ----------
    columns
        Their facts, pooled over the tables.
    read
        Settings that the files need.
    """
    label = find_label(columns)
    text, why, sure = _text([c for c in columns if c is not label or c.mean_words > 4])
    pictures = [c for c in columns if is_media(c)]
    words = sum(c.mean_words for c in columns if c.name in text)
    if pictures and words < MOST_CAPTION_WORDS:
        return with_parts(_of_addresses(pictures, text, read), columns, label)
    if text:
        return with_parts(
            Guess(Body("train", text=text, read=read), (why,), sure=sure), columns, label
        )
    sure = label is not None
    label = label or only_class(columns)
    features = tuple(c.name for c in columns if _is_feature(c) and c is not label)
    if len(features) >= LEAST_FEATURES:
        why = f"features: the columns of numbers ({len(features)}); no column reads like text"
        guess = Guess(Body("train", features=features, read=read), (why,), sure=sure)
        return with_parts(guess, columns, label)
    hint = "no column reads like text, and there are not two columns of numbers"
    links = [c for c in columns if is_address(c) and c.tokens & ADDRESSES]
    if links:
        hint += f" (`uri` would make records of the addresses in `{links[0].name}`)"
    return Guess(IGNORED, (hint,))


def is_evaluation(table: str) -> frozenset[str]:
    """Return the words of a path that name a split for evaluation: the first or last word of a folder or file.

    Examples
    --------
    >>> sorted(is_evaluation("qa/dev/part_1.csv")), sorted(is_evaluation("q/is_a_test_valid_or_not.jsonl"))
    (['dev'], [])
    """
    found: set[str] = set()
    folders, _, file = table.rpartition("/")
    for part in (*folders.split("/"), file.split(".", 1)[0]):
        # part-00000-of-00001 and the like say nothing
        words = [w for w in name_tokens(part) if not w.isdigit() and w not in ("of", "part")]
        found |= {w for w in (*words[:1], *words[-1:]) if w in EVALUATION}
        found |= {"held out"} if part.lower().replace("-", "_") == "held_out" else set()
    return frozenset(found)


def is_documentation(table: str) -> bool:
    """Tell whether a file is about the lake (a README, a licence) rather than a table of it."""
    return bool(set(name_tokens(table.rsplit("/", 1)[-1])[:1]) & DOCUMENTATION)


def _text(columns: Sequence[ColumnFacts]) -> tuple[tuple[str, ...], str, bool]:
    """Choose what is learned from: a main text, else the turns of an exchange, else the longest prose."""
    may = [c for c in columns if not c.tokens & _ABOUT]
    main = [c for c in may if c.tokens & MAIN_TEXT and _is_words(c)]
    if main:
        best = max(main, key=lambda c: (reads_like_text(c, 3), c.chars))
        return (best.name,), f"text: `{best.name}`, by its name ({_size(best)})", True
    turns = [c for c in may if c.tokens & TURNS and c.kind != "nested" and not is_address(c)]
    if len(turns) > 1 and any(reads_like_text(c, 3) for c in turns):
        listed = ", ".join(f"`{c.name}`" for c in turns)
        return tuple(c.name for c in turns), f"text: the turns {listed}, by their names", True
    named = [c for c in may if c.tokens & (OTHER_TEXT | TURNS) and reads_like_text(c, 4)]
    prose = named or [c for c in may if reads_like_text(c, 6)]
    if not prose:
        return (), "", False
    best = max(prose, key=lambda c: (c.kind == "text", c.chars))
    why = f"text: `{best.name}`, {'by its name' if named else 'as it reads like prose'} ({_size(best)})"
    if best.kind == "nested":
        why += "; it is nested, and written out as it stands: flatten it before you train on it"
    return (best.name,), why, bool(named)


_ABOUT = IDS | LANGUAGES | ADDRESSES | MEASURES


def _is_words(column: ColumnFacts) -> bool:
    return column.kind == "text" and not is_address(column) and column.chars >= 4 * column.filled


def _size(column: ColumnFacts) -> str:
    return f"{column.mean_words:.0f} words on average"


def _is_feature(column: ColumnFacts) -> bool:
    """Tell whether a column holds numbers that don't just number the rows."""
    return column.kind == "number" and not column.tokens & IDS and not column.counts


def _of_addresses(
    pictures: Sequence[ColumnFacts], text: tuple[str, ...], read: tuple[tuple[str, str], ...]
) -> Guess:
    chosen = max(pictures, key=lambda c: (bool(c.tokens & ADDRESSES), c.filled))
    why = f"uri: `{chosen.name}`, as its values are addresses of pictures, sounds or films"
    instead = (
        f"text: {flow(text)}",
        "instead of uri, if the words beside it are what is learned from",
    )
    return Guess(Body("train", uri=chosen.name, read=read), (why,), (instead,) if text else ())
