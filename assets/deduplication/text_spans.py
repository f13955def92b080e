"""Texts as spans of one byte buffer: what compiled loops read, without a copy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str | None]


@dataclass(frozen=True)
class TextSpans:
    """Texts as spans of one byte buffer: `data` uint8; `starts`, `ends` (n,) int64."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[Any] | slice) -> TextSpans:
        """Return the spans of some rows (index array, slice or mask), without copying text."""
        return TextSpans(self.data, self.starts[rows], self.ends[rows])

    @property
    def size(self) -> int:
        """Return the bytes of all texts."""
        return int((self.ends - self.starts).sum())

    def slices(self, target_bytes: int = 1 << 20) -> Iterator[slice]:
        """Cut the texts into runs of about `target_bytes`, as alike in size as texts allow."""
        if not len(self.starts):
            return
        held = np.cumsum(self.ends - self.starts)
        runs = max(1, round(int(held[-1]) / target_bytes))
        filled = (held - 1) * runs // max(int(held[-1]), 1)
        cuts = np.flatnonzero(np.diff(filled)) + 1
        bounds = [0, *cuts.tolist(), len(filled)]
        yield from (slice(a, b) for a, b in itertools.pairwise(bounds))

    def text(self, row: int) -> str:
        """Return one text."""
        return self.data[self.starts[row] : self.ends[row]].tobytes().decode(errors="replace")


def text_spans(texts: Texts) -> TextSpans:
    """View an Arrow string array as spans of its byte buffer.

    Parameters
    ----------
    texts
        (n,) Arrow array of any string or binary type, chunked or not, or a list of `str | None`.

    Returns
    -------
    TextSpans
        Nulls are empty spans. Plain string arrays are not copied.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = (
            texts.chunk(0)
            if texts.num_chunks == 1
            else pa.concat_arrays(
                [chunk.cast(pa.large_string()) for chunk in texts.chunks]
                or [pa.array([], pa.large_string())]
            )
        )
    elif not isinstance(texts, pa.Array):
        texts = pa.array(list(texts), type=pa.large_string())
    kind = texts.type
    if not (pa.types.is_large_string(kind) or pa.types.is_string(kind)):
        wide = (
            pa.large_binary() if pa.types.is_binary(kind) or pa.types.is_binary_view(kind) else None
        )
        if not pa.types.is_large_binary(kind):
            texts = texts.cast(wide or pa.large_string())
    step = np.dtype(np.int32 if pa.types.is_string(texts.type) else np.int64)
    if len(texts) == 0:
        data, offsets = np.zeros(1, np.uint8), np.zeros(1, np.int64)
    else:
        offsets = np.frombuffer(texts.buffers()[1], dtype=step)
        offsets = offsets[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        held = texts.buffers()[2]
        data = np.frombuffer(held, np.uint8) if held is not None else np.zeros(1, np.uint8)
        if data.size == 0:
            data = np.zeros(1, np.uint8)
    data.flags.writeable = False  # one type for the compiled loops
    starts, ends = offsets[:-1].copy(), offsets[1:].copy()
    if texts.null_count:
        absent = np.asarray(texts.is_null())
        ends[absent] = starts[absent]
    return TextSpans(data, starts, ends)


def lowered(spans: TextSpans, rows: npt.NDArray[np.int64]) -> TextSpans:
    """Lower-case the given rows by Python and return them as spans of their own."""
    parts = [spans.text(int(row)).lower().encode() for row in rows]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    data = np.frombuffer(b"".join(parts) or b"\0", np.uint8)
    return TextSpans(data, ends - np.array([len(part) for part in parts], np.int64), ends)
