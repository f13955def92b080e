"""The hashed n-gram embedder: a vector for every record, without weights.

Text: words and word pairs (and character trigrams where a script has no spaces or a text is short)
are counted; ``log(1 + count)`` of each is added, with a hashed sign, to a hashed coordinate
(CountSketch, Charikar, Chen and Farach-Colton 2002; as features, Weinberger et al. 2009), and the
row is normalised. Cosines of such vectors estimate cosines of the full n-gram vectors without bias,
with a standard deviation of about ``1 / sqrt(dim)``. Features: each (position, value) is spread in
the same way with ``arcsinh`` scaling.

It sees words, not meaning: use it for redundancy, prototypes and tests, and a trained encoder for
semantics. Cost: see benchmarks; above 20 MB/s of text on one core. A row's vector depends on that
row alone, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.scoring.protocol import ScoringError
from assets.scoring.tokens import decode, finish_hash, pair_hash, tokenise, utf8

_SHORT_TOKENS = 8


@compiled
def _embed_text(
    data: NDArray[np.uint8],
    text_offsets: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    short_tokens: int,
    out: NDArray[np.float32],
) -> None:
    n, dim = out.shape
    most = 1
    for row in range(n):
        size = 2 * (offsets[row + 1] - offsets[row]) + (text_offsets[row + 1] - text_offsets[row])
        most = max(most, size)
    # grams of one row by open addressing; a slot belongs to the row whose number it bears
    capacity = 16
    while capacity < 2 * most:
        capacity *= 2
    keys = np.empty(capacity, dtype=np.uint64)
    counts = np.empty(capacity, dtype=np.int32)
    owner = np.full(capacity, -1, dtype=np.int64)
    order = np.empty(most, dtype=np.int64)
    total = np.empty(dim, dtype=np.float64)
    for row in range(n):
        size = 2 * (offsets[row + 1] - offsets[row]) + (text_offsets[row + 1] - text_offsets[row])
        slots = 16
        while slots < 2 * size:
            slots *= 2
        mask = np.uint64(slots - 1)
        used = 0
        words = 0
        previous = np.uint64(0)
        spaceless = False
        for i in range(offsets[row], offsets[row + 1]):
            if kinds[i] & 4:
                spaceless = True
            if not kinds[i] & 1:
                continue
            words += 1
            for which in range(2):
                if which == 0:
                    gram = hashes[i]
                elif words > 1:
                    gram = pair_hash(previous, hashes[i])
                else:
                    continue
                at = np.int64(gram & mask)
                while owner[at] == row and keys[at] != gram:
                    at = (at + 1) & np.int64(mask)
                if owner[at] != row:
                    owner[at] = row
                    keys[at] = gram
                    counts[at] = 0
                    order[used] = at
                    used += 1
                counts[at] += 1
            previous = hashes[i]
        if spaceless or words < short_tokens:
            at_byte = text_offsets[row]
            end = text_offsets[row + 1]
            first = np.int64(0)
            second = np.int64(0)
            seen = 0
            while at_byte < end:
                point, step = decode(data, at_byte)
                at_byte += step
                if seen >= 2:
                    gram = finish_hash(
                        np.uint64((first << 42) ^ (second << 21) ^ point)
                        ^ np.uint64(0x5851F42D4C957F2D)
                    )
                    at = np.int64(gram & mask)
                    while owner[at] == row and keys[at] != gram:
                        at = (at + 1) & np.int64(mask)
                    if owner[at] != row:
                        owner[at] = row
                        keys[at] = gram
                        counts[at] = 0
                        order[used] = at
                        used += 1
                    counts[at] += 1
                first = second
                second = point
                seen += 1
        total[:] = 0.0
        for j in range(used):
            slot = order[j]
            gram = finish_hash(keys[slot])
            sign = 1.0 if gram >> np.uint64(63) else -1.0
            total[np.int64(gram % np.uint64(dim))] += sign * np.log1p(counts[slot])
        square = 0.0
        for j in range(dim):
            square += total[j] * total[j]
        if square > 0.0:
            inverse = 1.0 / np.sqrt(square)
            for j in range(dim):
                out[row, j] = np.float32(total[j] * inverse)


@dataclass(frozen=True, slots=True)
class HashedEmbedder:
    """Embed records by hashing.

    Parameters
    ----------
    dim
        Dimensions, 8 to 8192.
    """

    dim: int = 256

    def __post_init__(self) -> None:
        if not 8 <= self.dim <= 8192:
            message = f"scoring.embedder dim is {self.dim}; use 8 to 8192"
            raise ScoringError(message)

    @property
    def embedder_id(self) -> str:
        """Name the space: vectors of different ids must never be compared."""
        return f"hashed/1:dim={self.dim}:words=1-2:characters=3:tf=log1p:l2"

    def embed(
        self,
        text: pa.Array | None = None,
        features: pa.Array | None = None,
        feature_names: list[str] | None = None,
    ) -> NDArray[np.float32]:
        """Embed n records.

        Parameters
        ----------
        text
            n Arrow strings, or None.
        features
            n Arrow lists of float64, or None; used where the text gives no vector.
        feature_names
            Names of the list's positions (default: their numbers), so that renamed or reordered
            columns keep their coordinates.

        Returns
        -------
        numpy.ndarray
            float32, shape (n, dim), unit rows; a zero row where there is nothing to embed.
        """
        if text is None and features is None:
            message = "nothing to embed; give the records text or features"
            raise ScoringError(message)
        column_of_n: Any = text if text is not None else features
        n = len(column_of_n)
        out = np.zeros((n, self.dim), dtype=np.float32)
        if text is not None:
            column = utf8(text, lower=True)
            tokens = tokenise(column)
            _embed_text(
                column.data,
                column.offsets,
                tokens.hashes,
                tokens.kinds,
                tokens.offsets,
                _SHORT_TOKENS,
                out,
            )
        if features is not None:
            rows = np.flatnonzero(~out.any(axis=1) & np.asarray(features.is_valid()))
            if len(rows):
                out[rows] = self._embed_features(features.take(pa.array(rows)), feature_names)
        return out

    def _embed_features(self, features: pa.Array, names: list[str] | None) -> NDArray[np.float32]:
        lists = features.cast(pa.large_list(pa.float64()))
        offsets = np.asarray(lists.offsets)
        values = lists.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
        values = np.nan_to_num(np.asarray(values, dtype=np.float64), posinf=0.0, neginf=0.0)
        offsets = offsets - offsets[0]
        sizes = np.diff(offsets)
        width = int(sizes.max(initial=0))
        labels = names if names is not None else [str(i) for i in range(width)]
        if len(labels) < width:
            message = f"{len(labels)} feature names but a record has {width} features"
            raise ScoringError(message)
        column = np.arange(len(values)) - np.repeat(offsets[:-1], sizes)
        row = np.repeat(np.arange(len(sizes)), sizes)
        # a feature goes to several coordinates, so that few features don't cancel by collision
        total = np.zeros((len(sizes), self.dim))
        for copy in range(4):
            code = np.array(
                [_code(f"feature\x00{copy}\x00{name}") for name in labels],
                dtype=np.uint64,
            )
            where = (code % np.uint64(self.dim)).astype(np.int64)
            sign = np.where(code >> np.uint64(63), 1.0, -1.0)
            np.add.at(total, (row, where[column]), sign[column] * np.arcsinh(values))
        # a constant beside the features: without it a row and its multiple would coincide
        total[:, _code("feature constant") % self.dim] += 1.0
        total[sizes == 0] = 0.0
        norm = np.sqrt(np.einsum("nd,nd->n", total, total))[:, None]
        unit: NDArray[np.float32] = np.divide(
            total, norm, out=np.zeros_like(total), where=norm > 0
        ).astype(np.float32)
        return unit


def _code(name: str) -> int:
    return int(xxhash.xxh3_64_intdigest(name.encode()))


def to_stored(vectors: NDArray[np.float32]) -> pa.Array:
    """Pack vectors for ``scoring/embeddings``: binary, little-endian float16."""
    packed = np.ascontiguousarray(vectors, dtype="<f2")
    width = packed.shape[1] * 2
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(packed), [None, pa.py_buffer(packed)]
    )
    return fixed.cast(pa.binary())


def from_stored(stored: pa.Array, dim: int) -> NDArray[np.float32]:
    """Unpack what `to_stored` packed: float32, shape (n, dim); null becomes a zero row.

    Raises
    ------
    ScoringError
        When a vector has another length: its embedder differs from the one that is asked for.
    """
    if isinstance(stored, pa.ChunkedArray):
        stored = stored.combine_chunks()
    array = stored.cast(pa.large_binary()).fill_null(b"\x00" * (2 * dim))
    n = len(array)
    if n == 0:
        return np.zeros((0, dim), dtype=np.float32)
    _, offset_buffer, data = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + n + 1]
    wrong = np.flatnonzero(np.diff(offsets) != 2 * dim)
    if len(wrong):
        message = (
            f"a stored vector has {int(np.diff(offsets)[wrong[0]])} bytes, {2 * dim} expected for "
            f"dim {dim}; vectors of another embedder must be computed again"
        )
        raise ScoringError(message)
    flat = np.frombuffer(data, dtype="<f2", count=n * dim, offset=int(offsets[0]))
    vectors: NDArray[np.float32] = flat.reshape(n, dim).astype(np.float32)
    return vectors
