"""Small corpora with planted twins."""

from __future__ import annotations

import hashlib
import random

import polars as pl
import pyarrow as pa

from assets.deduplication.near import NearDuplicates
from assets.deduplication.sketch_frames import SCHEMA

TRICKY = [
    "",
    " \n\t ",
    "!!! ... ???",
    "\U0001f600\U0001f601",
    "one",
    "ONE",
    "one two",
    "İstanbul İ i̇",
    "ΑΣ ΑΣΑ ΟΔΟΣ",
    "\ufeffbom",
    "a\r\nb\rc\u2028d",
    "\u212a kelvin",
    "_under_score_",
    "naïve NAÏVE",
    "日本語 テキスト",
    "e\u0301 é",
    "\x00 nul",
    "\x1c\x1d sep",
    "١٢٣ ٤٥",
    "ß ẞ SS",
    "a" * 7,
    "b" * 8,
    "c" * 9,
    "d" * 16 + " " + "e" * 17,
]


def key_of(name: object) -> str:
    return hashlib.blake2b(str(name).encode(), digest_size=16).hexdigest()


def corpus(seed: int, size: int = 60, words: int = 12, vocabulary: int = 40) -> dict[str, str]:
    """Return texts by key: originals, edited copies, and exact copies under other keys."""
    draw = random.Random(seed)
    texts: list[str] = []
    for _ in range(size):
        kind = draw.random()
        if texts and kind < 0.5:
            tokens = draw.choice(texts).split(" ")
            for _ in range(draw.randrange(4)):
                tokens[draw.randrange(len(tokens))] = f"w{draw.randrange(vocabulary)}"
            texts.append(" ".join(tokens))
        elif texts and kind < 0.6:
            texts.append(draw.choice(texts))
        else:
            length = draw.randrange(1, words * 2)
            texts.append(" ".join(f"w{draw.randrange(vocabulary)}" for _ in range(length)))
    return {key_of((seed, i)): text for i, text in enumerate(texts)}


def sketches_of(near: NearDuplicates) -> pl.DataFrame:
    """Return all that the first pass kept, by key."""
    return pl.concat([pl.DataFrame(schema=SCHEMA), *near.sketches()]).unique("key").sort("key")


def find(
    texts: dict,
    similarity: float,
    shingle: str,
    *,
    batch: int = 1000,
    order: list | None = None,
    **settings,
) -> dict:
    """Return {(left, right): similarity} found by NearDuplicates."""
    near = NearDuplicates(similarity, shingle, **settings)
    keys = list(texts) if order is None else order

    def read():
        for start in range(0, len(keys), batch):
            some = keys[start : start + batch]
            yield pa.array(some), pa.array([texts[k] for k in some], pa.string())

    for some, values in read():
        near.add(values, some)
    return {(a, b): s for a, b, s in near.pairs(read).iter_rows()}
