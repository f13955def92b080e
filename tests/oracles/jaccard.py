"""Near duplicates by comparing every pair of shingle sets as Python sets of strings."""

from __future__ import annotations

import itertools

from assets.deduplication.shingles import shingle_texts


def near_pairs(texts: dict[str, str | None], similarity: float, shingle: str) -> dict:
    """Return {(left, right): Jaccard} of all pairs at or above the similarity."""
    sets = {key: shingle_texts(text, shingle) for key, text in texts.items()}
    found = {}
    for one, two in itertools.combinations(sorted(sets), 2):
        if sets[one] and sets[two]:
            exact = len(sets[one] & sets[two]) / len(sets[one] | sets[two])
            if exact >= similarity:
                found[one, two] = exact
    return found
