"""For each window of k tokens that another text has too: where that is, exactly, within a memory bound.

1. Windows are hashed to 64 bits by a rolling hash and put into partitions by the hash; equal windows have
   equal hashes, so a partition holds all of them. Sorted, it gives each window whose hash another text has too a
   *partner*: the window's first occurrence in the first of the texts (in the survivor order) that have it; for
   windows of that first text itself, the first occurrence in the second.
2. Every window that has a partner is compared with it by its bytes. Where they differ, different windows share a hash
   by chance: all windows of that hash are grouped by their bytes, and get their partners anew.

Theorem. A window has a partner exactly if another text has the window, and the partner is the one stated in 1.
Proof. Equal windows share a hash, so they meet in one group. If all windows of a group are equal, its partners are
those stated. If not, let a be the window of the partner that windows outside the first text have. A window outside
it that is not a differs from its partner. If all those are a, then a window of the first text is not, and its partner,
which lies in the second, is a. So each group of different windows is seen in step 2, and divided by bytes. ∎
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.token_files import Tokens

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
MOST_PARTITIONS = 512
BYTES_A_WINDOW = 96
WRONG_AT_ONCE = 1 << 17
ALL_BITS = (1 << 64) - 1


@contextmanager
def exact_partners(
    tokens: Tokens,
    k: int,
    places: I64,
    *,
    memory_bytes: int = 256 << 20,
    hash_bits: int = ALL_BITS,
) -> Iterator[I64]:
    """Give (tokens,): one more than the token where the same window begins in another text; 0: none.

    Parameters
    ----------
    tokens
        Of distinct texts.
    k
        Tokens of a window.
    places
        (texts,) place of each text in the survivor order, distinct.
    memory_bytes
        For sorting a partition of windows: above it they go through files, up to `MOST_PARTITIONS`.
    hash_bits
        Mask of the hash; fewer bits make chance agreements, and the same answer.

    Notes
    -----
    The array is a map of a scratch file, 8 bytes a token, which goes away with the context.
    """
    with scratch_array(int(tokens.offsets[-1])) as partner:
        for part, hashes in _partitions(tokens, k, memory_bytes, hash_bits):
            partner[part] = _partners(part, hashes, tokens, places)
        wrong = _wrong(tokens, partner, k)
        if len(wrong):
            _settle(tokens, partner, k, places, wrong, hash_bits)
        yield partner


@contextmanager
def scratch_array(size: int) -> Iterator[I64]:
    """Give (size,) zeros in a scratch file; pages that are never written take no disk."""
    if not size:
        yield np.empty(0, np.int64)
        return
    with tempfile.TemporaryFile(prefix="sluice-windows-") as file:
        file.truncate(8 * size)
        yield np.asarray(np.memmap(file, np.int64, "r+"))


def _wrong(tokens: Tokens, partner: I64, k: int) -> I64:
    """Return the windows of which the partner has other tokens."""
    from assets.deduplication.span_kernels import wrong_partners

    parts, text, texts = [np.empty(0, np.int64)], 0, len(tokens.offsets) - 1
    token = 0
    while text < texts:
        wrong = np.empty(WRONG_AT_ONCE, np.int64)
        text, token, count = wrong_partners(
            tokens.folded, tokens.begins, tokens.offsets, partner, k, text, token, wrong
        )
        parts.append(wrong[:count])
    return np.concatenate(parts)


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
