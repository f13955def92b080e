"""Which texts share a run of k tokens with a protected text, where in both, and with which one.

Windows of the protected texts are hashed and sorted; every other text is walked as `repeated_spans` walks it, with the
first protected occurrence as the partner. The same proof holds: every window of a text that a protected text has
too lies within a match, every match is true, and chance agreements of hashes are settled by bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.repeated_spans import match_frame, walk
from assets.deduplication.span_partners import ALL_BITS
from assets.deduplication.token_files import Tokens

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def shared_spans(
    tokens: Tokens, guarded: int, k: int, *, hash_bits: int = ALL_BITS
) -> Iterator[pl.DataFrame]:
    """Find the spans of at least k tokens that texts share with the first `guarded` texts.

    Parameters
    ----------
    tokens
        Of the protected texts, in the order in which they are named, and then of all others.
    guarded
        How many are protected.
    k
        The least length.
    hash_bits
        As for `exact_partners`.

    Yields
    ------
    DataFrame
        As `repeated_spans`, with `other` a protected text and `text` none. Memory: 16 bytes a window of the
        protected texts.
    """
    total = int(tokens.offsets[-1])
    if not total or not guarded:
        return
    known_windows, known = _guarded_windows(tokens, guarded, k, hash_bits)
    with tempfile.TemporaryFile(prefix="sluice-partners-") as file:
        file.truncate(8 * total)
        partner = np.memmap(file, np.int64, "r+")
        for windows, hashes in tokens.windows(k, hash_bits):
            mine = windows >= tokens.offsets[guarded]
            windows, hashes = windows[mine], hashes[mine]
            place = np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))
            same = known[place] == hashes if len(known) else np.zeros(len(hashes), bool)
            partner[windows[same]] = known_windows[place[same]] + 1
        wrong = np.concatenate(
            [bad for _, bad in walk(tokens, partner, k)] or [np.empty(0, np.int64)]
        )
        if len(wrong):
            _settle(tokens, partner, guarded, k, hash_bits)
        places = np.arange(len(tokens.offsets) - 1)
        for found, bad in walk(tokens, partner, k):
            if len(bad):
                raise AssertionError
            yield match_frame(tokens, found, places)


def _guarded_windows(tokens: Tokens, guarded: int, k: int, hash_bits: int) -> tuple[I64, U64]:
    """Return the first window of each hash among the protected texts, by hash."""
    windows, hashes = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for window, value in tokens.windows(k, hash_bits):
        mine = window < tokens.offsets[guarded]
        windows.append(window[mine])
        hashes.append(value[mine])
        if not mine.all():
            break
    known, first = np.unique(np.concatenate(hashes), return_index=True)
    return np.concatenate(windows)[first], known


def _settle(tokens: Tokens, partner: I64, guarded: int, k: int, hash_bits: int) -> None:
    """Look windows with a partner up by their bytes, because two protected windows share a hash by chance."""
    exact: dict[bytes, int] = {}
    for windows, _ in tokens.windows(k, hash_bits):
        for window in windows.tolist():
            if window < tokens.offsets[guarded]:
                exact.setdefault(tokens.window(window, k), window + 1)
            elif partner[window]:
                partner[window] = exact.get(tokens.window(window, k), 0)
