"""Recognise the parts of paths that name languages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

from orchestration.draft.vocabulary import SPLITS, THREE_LETTERS, TWO_LETTERS

_CODE = re.compile(r"^([a-z]{2,3})(?:[-_](?:[A-Z]{2}|[A-Z][a-z]{3}|[0-9]{3}))*$")
_WITH_SPLIT = re.compile(r"^([a-z]{2,3})[-_.]([a-z]+)$")


def are_languages(words: Collection[str]) -> bool:
    """Tell whether words are language codes: all look like codes, and most of at least two are known ones.

    Examples
    --------
    >>> are_languages({"amh", "hau", "arq", "kmr"}), are_languages({"en", "pt_BR"}), are_languages({"raw", "old"})
    (True, True, False)
    """
    codes = [_CODE.match(word) for word in words]
    if len(words) < 2 or not all(codes):
        return False
    known = sum(m is not None and m[1] in TWO_LETTERS | THREE_LETTERS for m in codes)
    return known >= max(2, 0.6 * len(words))


def languages_by_path(tables: Iterable[str]) -> dict[str, tuple[str, list[str]]]:
    """Find the tables whose path names a language, by folders all of whose parts at one place are codes.

    Returns
    -------
    dict
        Table to (a recipe's `path` expression with the part `v`, all codes at that place).
    """
    places: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for table in tables:
        parts = table.split("/")
        for depth, part in enumerate(parts):
            ahead = re.escape("/".join(parts[:depth]) + "/") if depth else ""
            if depth < len(parts) - 1:
                key, _, value = part.rpartition("=")
                start = f"^{ahead}{re.escape(key)}=" if key else f"^{ahead}"
                places[ahead, f"{start}(?P<v>[^/]+)/"][table] = value
                continue
            stem = part.split(".", 1)[0]
            split = _WITH_SPLIT.match(stem)
            if split is not None and split[2] in SPLITS:
                places[ahead, f"^{ahead}(?P<v>[a-z]+)[-_]"][table] = split[1]
            else:
                places[ahead, f"^{ahead}(?P<v>[^/.]+)"][table] = stem
    found: dict[str, tuple[str, list[str]]] = {}
    for (_, pattern), words in sorted(places.items()):
        codes = set(words.values())
        if are_languages(codes):
            found |= {t: (pattern, sorted(codes)) for t in words if t not in found}
    return found
