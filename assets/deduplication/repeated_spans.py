"""Spans of at least k tokens that two texts have in common: all of them, exactly, within a memory bound.

A window is k tokens that follow one another in a text; it is *repeated* if another text has the same tokens in a
row. Three steps, each over scratch files:

1. Windows are hashed to 64 bits by a rolling hash and put into partitions by the hash; equal windows have
   equal hashes, so a partition holds all of them. Sorted, it gives each window whose hash another text has too a
   *partner*: the window's first occurrence in the first of the texts (in the survivor order) that have it; for
   windows of that first text itself, the first occurrence in the second.
2. Each text is walked from left to right. A window that has a partner and lies in no match so far is compared
   with it byte by byte, on from there for as long as whole tokens agree: that is a match.
3. Where fewer than k tokens agree, two windows share a hash by chance. All windows of that hash are then
   grouped by their bytes, which gives exact partners, and the walk is done again.

Theorem. (a) Every match is k or more equal tokens of two texts, and can't be extended to the right.
(b) Every repeated window of every text lies within a match of that text, and no other window does.
Proof. (a) The bytes were compared. (b) A repeated window has a partner by step 1, because equal windows share a hash.
The walk passes a token only if its window has no partner, or after step 3 was asked about it, or inside a match; a
match that covers tokens i to j covers every window within them. Conversely each window within a match is
in the partner's text too. After step 3 partners are exact, so no window is passed that has one. ∎

So what the matches of a text cover is the union of its repeated windows: that is what a table of all
pairs of equal spans would cover, at linear size: matches of a text overlap by less than k tokens, and the work
is O(tokens + k · matches).

Texts are told apart by number: give each content once. Copies of a text are exact duplicates, not spans.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.token_files import Tokens

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
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
MOST_PARTITIONS = 512
BYTES_A_WINDOW = 96
FOUND_AT_ONCE = 1 << 17
ALL_BITS = (1 << 64) - 1


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
    tokens
        Of distinct texts.
    k
        The least length, in tokens.
    places
        (texts,) place of each text in the survivor order, distinct: the first that has a span keeps it.
    memory_bytes
        For sorting a partition of windows: above it they go through files, up to `MOST_PARTITIONS`.
    hash_bits
        Mask of the hash; fewer bits make chance agreements, and the same answer.

    Yields
    ------
    DataFrame
        text, start, end (characters), tokens, other, other_start, other_end, earlier (whether `other` comes before
        `text` in the survivor order, so that the span may go from `text`); by text and start.
    """
    total = int(tokens.offsets[-1])
    if not total:
        return
    with tempfile.TemporaryFile(prefix="sluice-partners-") as file:
        file.truncate(8 * total)
        partner = np.memmap(file, np.int64, "r+")
        for part, hashes in _partitions(tokens, k, memory_bytes, hash_bits):
            partner[part] = _partners(part, hashes, tokens, places)
        wrong = np.concatenate(
            [bad for _, bad in walk(tokens, partner, k)] or [np.empty(0, np.int64)]
        )
        if len(wrong):
            _settle(tokens, partner, k, places, wrong, hash_bits)
        for found, bad in walk(tokens, partner, k):
            if len(bad):
                raise AssertionError
            yield match_frame(tokens, found, places)


def _partitions(
    tokens: Tokens, k: int, memory_bytes: int, hash_bits: int
) -> Iterator[tuple[I64, U64]]:
    windows = int(np.maximum(np.diff(tokens.offsets) - k + 1, 0).sum())
    needed = max(1, -(-windows * BYTES_A_WINDOW // memory_bytes))
    bits = min((needed - 1).bit_length(), MOST_PARTITIONS.bit_length() - 1)
    if bits == 0:
        parts = [*tokens.windows(k, hash_bits)]
        if parts:
            yield np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        return
    with tempfile.TemporaryDirectory(prefix="sluice-windows-") as folder:
        files: list[Any] = [open(f"{folder}/{i}", "w+b") for i in range(1 << bits)]  # noqa: PTH123, SIM115
        try:
            for places, hashes in tokens.windows(k, hash_bits):
                # the low bits spread as well as the high ones and are there under a mask too
                number = (hashes & np.uint64((1 << bits) - 1)).astype(np.int64)
                order = np.argsort(number, kind="stable")
                cuts = np.searchsorted(number[order], np.arange(1, 1 << bits))
                for file, rows in zip(files, np.split(order, cuts), strict=True):
                    both = np.stack([places[rows].astype(np.uint64), hashes[rows]], axis=1)
                    both.tofile(file)
            for file in files:
                file.seek(0)
                both = np.fromfile(file, np.uint64).reshape(-1, 2)
                yield both[:, 0].astype(np.int64), both[:, 1]
        finally:
            for file in files:
                file.close()


def _partners(windows: I64, labels: U64 | I64, tokens: Tokens, places: I64) -> I64:
    """Return one more than the partner's token for windows with labels that mean equality; 0: none."""
    rank = places[tokens.texts_of(windows)]
    order = np.lexsort((windows, rank, labels))
    label, by, window = labels[order], rank[order], windows[order]
    new_group = np.ones(len(order), bool)
    new_group[1:] = label[1:] != label[:-1]
    new_run = new_group.copy()
    new_run[1:] |= by[1:] != by[:-1]
    run_starts = np.flatnonzero(new_run)
    run = np.cumsum(new_run) - 1
    first_run = run[np.flatnonzero(new_group)][np.cumsum(new_group) - 1]
    last_run = len(run_starts) - 1
    second = np.minimum(first_run + 1, last_run)
    # the run after the first one belongs to the same group unless a group begins there
    several = (first_run + 1 <= last_run) & ~new_group[run_starts[second]]
    chosen = np.where(run == first_run, run_starts[second], run_starts[first_run])
    partner = np.zeros(len(order), np.int64)
    partner[order] = np.where(several, window[chosen] + 1, 0)
    return partner


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


def _settle(tokens: Tokens, partner: I64, k: int, places: I64, wrong: I64, hash_bits: int) -> None:
    """Give the windows of hashes that different windows share their exact partners."""
    hashes = [found[np.isin(places_of, wrong)] for places_of, found in tokens.windows(k, hash_bits)]
    shared = np.unique(np.concatenate(hashes))
    windows = np.concatenate(
        [places_of[np.isin(found, shared)] for places_of, found in tokens.windows(k, hash_bits)]
    )
    labels: dict[bytes, int] = {}
    label = np.array(
        [labels.setdefault(tokens.window(int(w), k), len(labels)) for w in windows], np.int64
    )
    partner[windows] = _partners(windows, label, tokens, places)


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
