"""Which rows of its parents make up a table, how often and in which order: stored in little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from assets.containment.certificate import Positions

_LEVEL = 9
BITMAP, ORDER = "rows.bitmap.zst", "order.zst"


def bitmap(positions: Positions, total: int) -> bytes:
    """Write increasing positions below `total` as a compressed bitmap: at most a bit for each row."""
    bits = np.zeros(total, np.bool_)
    bits[positions] = True
    return zstandard.ZstdCompressor(level=_LEVEL).compress(np.packbits(bits).tobytes())


def positions_of(content: bytes, total: int) -> Positions:
    """Read what `bitmap` wrote."""
    raw = np.frombuffer(zstandard.ZstdDecompressor().decompress(content), np.uint8)
    return np.flatnonzero(np.unpackbits(raw, count=total)).astype(np.int64)


def split(positions: Positions) -> tuple[Positions, Positions | None]:
    """Split n positions into the distinct ones, increasing, and where in them each row is.

    Returns
    -------
    tuple
        The second is None where the rows come in increasing order and none comes twice.
    """
    distinct, order = np.unique(positions, return_inverse=True)
    if distinct.size == positions.size and bool((np.diff(positions) > 0).all()):
        return distinct, None
    return distinct, order.reshape(-1).astype(np.int64)


def pack_order(order: Positions) -> bytes:
    """Write the order and the repetitions of rows.

    The bytes of equal weight lie together, since the high ones hardly change.
    """
    kind = np.dtype("<u4") if order.size < 1 << 32 else np.dtype("<u8")
    steps = np.diff(order, prepend=0).astype(kind)  # modulo its width
    planes = steps.view(np.uint8).reshape(-1, kind.itemsize).T
    header = bytes([kind.itemsize])
    return header + zstandard.ZstdCompressor(level=_LEVEL).compress(
        np.ascontiguousarray(planes).tobytes()
    )


def unpack_order(content: bytes) -> Positions:
    """Read what `pack_order` wrote."""
    width = content[0]
    raw = np.frombuffer(zstandard.ZstdDecompressor().decompress(content[1:]), np.uint8)
    planes = np.ascontiguousarray(raw.reshape(width, -1).T)
    steps: npt.NDArray[Any] = planes.view(np.dtype(f"<u{width}")).reshape(-1)
    return np.cumsum(steps, dtype=steps.dtype).astype(np.int64)


def in_words(chosen: Mapping[str, Any]) -> str:
    """Say in a line which rows are taken."""
    words = {
        "all": "all rows",
        "predicate": " and ".join(chosen.get("text", [])),
        "bitmap": f"{chosen.get('rows', 0):,} rows by a bitmap of positions",
    }[chosen["kind"]]
    return words + (", in an order of its own" if chosen["order"] else "")
