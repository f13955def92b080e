"""The folded tokens of texts in scratch files: as many as the disk holds, mapped and not read into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.text_spans import Texts, text_spans

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
BATCH_BYTES = 4 << 20


class TokenFiles:
    """Tokens of texts as `token_kernels` defines them, numbered through all texts in the order added.

    Scratch: about the text, and 16 bytes a token. Memory: eight bytes a text and a batch.
    """

    def __init__(self) -> None:
        self._files = [tempfile.TemporaryFile(prefix="sluice-tokens-") for _ in range(4)]  # noqa: SIM115
        self._counts: list[I64] = []
        self._bytes = 0

    def add(self, texts: Texts) -> None:
        """Append texts; null is a text without tokens."""
        from assets.deduplication import token_kernels as kernels

        spans = text_spans(texts)
        if not len(spans.starts):
            return
        lengths = spans.ends - spans.starts
        cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // BATCH_BYTES)) + 1
        for rows in np.split(np.arange(len(lengths)), cuts):
            part = spans.take(rows)
            size = int(lengths[rows].sum())
            folded = np.empty(2 * size + 1, np.uint8)
            begins = np.empty(size // 2 + len(rows), np.int64)
            first, last = np.empty(len(begins), np.uint32), np.empty(len(begins), np.uint32)
            counts = np.empty(len(rows), np.int64)
            used, tokens = kernels.fold_tokens(
                part.data,
                part.starts,
                part.ends,
                kernels.fold_table(),
                folded,
                begins,
                first,
                last,
                counts,
            )
            held: list[npt.NDArray[Any]] = [
                folded[:used],
                begins[:tokens] + self._bytes,
                first[:tokens],
                last[:tokens],
            ]
            for file, values in zip(self._files, held, strict=True):
                values.tofile(file)
            self._bytes += used
            self._counts.append(counts)

    def close(self) -> Tokens:
        """Finish writing and open the tokens for reading."""
        np.array([self._bytes], np.int64).tofile(self._files[1])
        for file in self._files:
            file.flush()
        counts = np.concatenate([np.zeros(1, np.int64), *self._counts])
        kinds = (np.uint8, np.int64, np.uint32, np.uint32)
        folded, begins, first, last = (
            np.asarray(np.memmap(file, kind, "r")) if _size(file) else np.empty(0, kind)
            for file, kind in zip(self._files, kinds, strict=True)
        )
        return Tokens(folded, begins, first, last, np.cumsum(counts))


class Tokens:
    """Tokens of texts.

    Attributes
    ----------
    folded, begins
        Folded bytes, and (tokens + 1,) where each token begins in them.
    first, last
        (tokens,) first character of each in its text, and the one after it.
    offsets
        (texts + 1,) first token of each text.
    """

    def __init__(self, folded: U8, begins: I64, first: U32, last: U32, offsets: I64) -> None:
        self.folded, self.begins, self.first, self.last = folded, begins, first, last
        self.offsets = offsets

    def texts_of(self, tokens: I64) -> I64:
        """Return the text of each token."""
        return np.searchsorted(self.offsets, tokens, side="right") - 1

    def windows(
        self, k: int, mask: int = (1 << 64) - 1, piece: int = 1 << 21
    ) -> Iterator[tuple[I64, U64]]:
        """Yield (token, hash) of the windows of k tokens of all texts, some two million tokens at a time."""
        from assets.deduplication import token_kernels as kernels

        begin, texts = 0, len(self.offsets) - 1
        while begin < texts:
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + piece, side="right")) - 1
            end = min(max(end, begin + 1), texts)
            base = self.offsets[begin]
            hashes = np.zeros(int(self.offsets[end] - base), np.uint64)
            kernels.window_hashes(
                self.folded,
                self.begins[base : self.offsets[end] + 1],
                self.offsets[begin : end + 1] - base,
                k,
                np.uint64(mask),
                hashes,
            )
            some = np.flatnonzero(hashes)
            yield some + base, hashes[some]
            begin = end

    def window(self, token: int, k: int) -> bytes:
        """Return the folded bytes of the window that begins at a token."""
        return self.folded[self.begins[token] : self.begins[token + k]].tobytes()


def _size(file: Any) -> int:  # noqa: ANN401 - a temporary file, of no public type
    file.seek(0, 2)
    return int(file.tell())
