"""What the first rows of a column say of it, and which part in a recipe that suggests. Pure: values in, facts out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "number", "boolean", "time", "nested", "binary", "empty"]

MOST_VALUES = 50
MOST_NAME_WORDS = 4
_ADDRESS = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|www\.|/|\.{1,2}/)\S+$", re.IGNORECASE)
_MEDIA = re.compile(
    r"^\S.*\.(?:jpe?g|png|gif|bmp|webp|tiff?|svg|wav|mp3|flac|ogg|opus|m4a|mp4|avi|mov|mkv|webm)(?:\?\S*)?$",
    re.IGNORECASE,
)
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class ColumnFacts:
    """Counts over the values of one column in the rows that were looked at.

    Attributes
    ----------
    name, kind
        Of the column. `empty`: no value was filled.
    rows, filled
        Rows looked at, and those that are neither null nor blank.
    values
        Distinct values as text, at most 50; `distinct` counts them all.
    chars, words
        Sums over the filled values. A character of a script without spaces counts as half a word.
    addresses, media
        Filled values that look like a path or URL, and like that of a picture, a sound or a film.
    whole, counts
        Whether all numbers are integers, and whether they are those of the rows: each one more than the one before.
    """

    name: str
    kind: Kind
    rows: int
    filled: int
    distinct: int
    values: tuple[str, ...] = ()
    chars: int = 0
    words: int = 0
    addresses: int = 0
    media: int = 0
    whole: bool = False
    counts: bool = False

    @property
    def mean_words(self) -> float:
        """Words of a filled value, on average."""
        return self.words / self.filled if self.filled else 0.0

    @property
    def tokens(self) -> frozenset[str]:
        """Lower-case words of the name; none of a long one, which is a question or a sentence rather than a name."""
        words = name_tokens(self.name)
        return frozenset(words if len(words) <= MOST_NAME_WORDS else ())


def name_tokens(name: str) -> list[str]:
    """Split a name at marks and at changes of case.

    Examples
    --------
    >>> name_tokens("sourceText_v2-test.set")
    ['source', 'text', 'v2', 'test', 'set']
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word]


def column_facts(name: str, kind: Kind, values: Sequence[Any]) -> ColumnFacts:
    """Count what is needed to guess a column's part.

    Parameters
    ----------
    name, kind
        Of the column; `kind` by its type, as far as known.
    values
        Of the first rows, as Python values.
    """
    texts = [str(v).strip() for v in values if v is not None]
    texts = [t for t in texts if t]
    distinct = sorted(set(texts))
    if not texts:
        return ColumnFacts(name, "empty", len(values), 0, 0)
    whole = kind == "number" and all(re.fullmatch(r"-?\d+", t) is not None for t in texts)
    return ColumnFacts(
        name,
        kind,
        rows=len(values),
        filled=len(texts),
        distinct=len(distinct),
        values=tuple(distinct[:MOST_VALUES]),
        chars=sum(map(len, texts)),
        words=sum(len(t.split()) + len(_SPACELESS.findall(t)) // 2 for t in texts),
        addresses=sum(_ADDRESS.match(t) is not None for t in texts),
        media=sum(_MEDIA.match(t) is not None for t in texts),
        whole=whole,
        counts=whole and len(texts) > 2 and _follow(texts),
    )


def _follow(texts: Sequence[str]) -> bool:
    first = int(texts[0])
    return all(int(text) == first + place for place, text in enumerate(texts))


def pooled(columns: Iterable[ColumnFacts]) -> ColumnFacts:
    """Put together what several tables of one schema say of one column; distinct values are at least that many."""
    parts = list(columns)
    kinds = {part.kind for part in parts} - {"empty"}
    values = sorted({value for part in parts for value in part.values})
    return ColumnFacts(
        parts[0].name,
        kinds.pop() if len(kinds) == 1 else ("text" if kinds else "empty"),
        rows=sum(part.rows for part in parts),
        filled=sum(part.filled for part in parts),
        distinct=max(len(values), *(part.distinct for part in parts)),
        values=tuple(values[:MOST_VALUES]),
        chars=sum(part.chars for part in parts),
        words=sum(part.words for part in parts),
        addresses=sum(part.addresses for part in parts),
        media=sum(part.media for part in parts),
        whole=all(part.whole for part in parts if part.kind == "number"),
        counts=all(part.counts for part in parts),
    )


def is_address(column: ColumnFacts) -> bool:
    """Tell whether nearly all values are paths or URLs."""
    return column.filled > 0 and column.addresses + column.media >= 0.8 * column.filled


def is_media(column: ColumnFacts) -> bool:
    """Tell whether nearly all values are addresses of pictures, sounds or films."""
    return column.kind == "text" and column.filled > 0 and column.media >= 0.8 * column.filled


def reads_like_text(column: ColumnFacts, least_words: float) -> bool:
    """Tell whether a column holds prose: words, no addresses, and not the same few values again and again."""
    if column.kind not in ("text", "nested") or is_address(column):
        return False
    varied = column.filled < 20 or column.distinct >= min(0.2 * column.filled, MOST_VALUES)
    return column.mean_words >= least_words and varied


def has_few_values(column: ColumnFacts) -> bool:
    """Tell whether the values repeat: a label or a group rather than a measurement or a text."""
    if column.kind not in ("text", "boolean") and not (column.kind == "number" and column.whole):
        return False
    few = column.distinct <= MOST_VALUES and column.mean_words <= 4 and not is_address(column)
    return few and column.distinct <= max(2, 0.5 * column.filled)


def is_unique(column: ColumnFacts) -> bool:
    """Tell whether no value is missing or repeated in the rows that were looked at."""
    return column.rows > 1 and column.distinct == column.filled == column.rows
