"""Spans of at least k tokens that two texts have in common: all of them, exactly, within a memory bound.

A window is k tokens that follow one another in a text; it is *repeated* if another text has the same tokens in a
row. `span_partners` gives each repeated window its partner, and no other window one. Each text is then walked from left
to right: a window that has a partner and lies in no match so far is compared with it byte by byte, on from there for as
long as whole tokens agree; that is a match.

Theorem. (a) Every match is k or more equal tokens of two texts, and can't be extended to the right.
(b) Every repeated window of every text lies within a match of that text, and no other window does.
Proof. (a) The bytes were compared. (b) The walk passes a token only if its window has no partner or lies
inside a match; a match that covers tokens i to j covers every window within them. Conversely each window within a
match is in the partner's text too. ∎

So what the matches of a text cover is the union of its repeated windows: that is what a table of all
pairs of equal spans would cover, at linear size: matches of a text overlap by less than k tokens, and the work
is O(tokens + k · matches). What goes where spans are removed is not this: see `span_cuts`.

Texts are told apart by number: give each content once. Copies of a text are exact duplicates, not spans.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.span_partners import ALL_BITS, exact_partners
from assets.deduplication.token_files import Tokens

I64 = npt.NDArray[np.int64]
MATCH_SCHEMA = pl.Schema(
    {
        "text": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "tokens": pl.Int64,
        "other": pl.Int64,
        "other_start": pl.Int64,
        "other_end": pl.Int64,
        "earlier": pl.Boolean,
    }
)
FOUND_AT_ONCE = 1 << 17


def repeated_spans(
    tokens: Tokens,
    k: int,
    places: I64,
    *,
    memory_bytes: int = 256 << 20,
    hash_bits: int = ALL_BITS,
) -> Iterator[pl.DataFrame]:
    """Find the spans of at least k tokens that a text shares with another.

    Parameters
    ----------
    tokens, k, places, memory_bytes, hash_bits
        As for `exact_partners`.

    Yields
    ------
    DataFrame
        As `matches`.
    """
    with exact_partners(
        tokens, k, places, memory_bytes=memory_bytes, hash_bits=hash_bits
    ) as partner:
        yield from matches(tokens, partner, k, places)


def matches(tokens: Tokens, partner: I64, k: int, places: I64) -> Iterator[pl.DataFrame]:
    """Walk the texts, given the exact partners of their windows.

    Yields
    ------
    DataFrame
        text, start, end (characters), tokens, other, other_start, other_end, earlier (whether `other` comes before
        `text` in the survivor order); by text and start.
    """
    for found, wrong in walk(tokens, partner, k):
        if len(wrong):
            raise AssertionError
        yield match_frame(tokens, found, places)


def walk(tokens: Tokens, partner: I64, k: int) -> Iterator[tuple[I64, I64]]:
    """Yield matches (token, other token, length, other text) and windows with a wrong partner.

    `partner` (tokens,): one more than the token of another text where the same window begins; 0: none.
    """
    from assets.deduplication import token_kernels as kernels

    text, token, texts = 0, 0, len(tokens.offsets) - 1
    while text < texts:
        found, wrong = np.empty((FOUND_AT_ONCE, 4), np.int64), np.empty(FOUND_AT_ONCE, np.int64)
        text, token, count, bad = kernels.walk_matches(
            tokens.folded,
            tokens.begins,
            tokens.offsets,
            np.asarray(partner),
            k,
            text,
            token,
            found,
            wrong,
        )
        yield found[:count], wrong[:bad]


def match_frame(tokens: Tokens, found: I64, places: I64) -> pl.DataFrame:
    """Return matches that `walk` yielded as a frame of `MATCH_SCHEMA`."""
    token, other, length, other_text = found.T
    text = tokens.texts_of(token)
    return pl.DataFrame(
        {
            "text": text,
            "start": tokens.first[token],
            "end": tokens.last[token + length - 1],
            "tokens": length,
            "other": other_text,
            "other_start": tokens.first[other],
            "other_end": tokens.last[other + length - 1],
            "earlier": places[other_text] < places[text],
        },
        schema=MATCH_SCHEMA,
        strict=False,
    )
