"""Repeated spans by looking at every window of every text as a tuple of Python strings."""

from __future__ import annotations

import re

FOLDS = {"\u0130": "i", "\u03a3": "\u03c3"}


def tokens(text: str | None) -> list[tuple[str, int, int]]:
    """Return (folded token, first character, the one after the last)."""
    return [
        ("".join(FOLDS.get(c) or c.lower() for c in m[0]), m.start(), m.end())
        for m in re.finditer(r"\w+", text or "")
    ]


def repeated_windows(texts: list[str | None], k: int) -> list[set[int]]:
    """Return, for each text, the tokens at which a window begins that another text has too."""
    every = [[t[0] for t in tokens(text)] for text in texts]
    where: dict[tuple[str, ...], set[int]] = {}
    for number, words in enumerate(every):
        for at in range(len(words) - k + 1):
            where.setdefault(tuple(words[at : at + k]), set()).add(number)
    return [
        {at for at in range(len(words) - k + 1) if len(where[tuple(words[at : at + k])]) > 1}
        for words in every
    ]


def cut_tokens(texts: list[str | None], order: list[int], k: int) -> list[set[int]]:
    """Return the tokens of each text that go: texts in order, each window kept by the first that has it uncut."""
    every = [[t[0] for t in tokens(text)] for text in texts]
    kept: set[tuple[str, ...]] = set()
    gone: list[set[int]] = [set() for _ in texts]
    for number in order:
        words = every[number]
        windows = {at: tuple(words[at : at + k]) for at in range(len(words) - k + 1)}
        for at, window in windows.items():
            if window in kept:
                gone[number] |= set(range(at, at + k))
        kept |= {w for at, w in windows.items() if not gone[number] & set(range(at, at + k))}
    return gone
