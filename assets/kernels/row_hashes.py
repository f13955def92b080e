"""XXH3 of the rows of a matrix, compiled.

A call of the `xxhash` package a row costs more than all else that is done with a row's vector. Rows of up to 240
bytes, for which XXH3 has other rounds, still go that way. Constants and rounds are those of the published XXH3
specification (64 bits, no seed, the default secret); the tests compare with `xxhash`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, inlined
from assets.kernels.intrinsics import load8

_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
        "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
        "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
        "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ),
    dtype=np.uint8,
)
_LONG = 240
_P32_1, _P32_2, _P32_3 = np.uint64(0x9E3779B1), np.uint64(0x85EBCA77), np.uint64(0xC2B2AE3D)
_P64_1, _P64_2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
_P64_3, _P64_4 = np.uint64(0x165667B19E3779F9), np.uint64(0x85EBCA77C2B2AE63)
_P64_5 = np.uint64(0x27D4EB2F165667C5)
_LOW = np.uint64(0xFFFFFFFF)
_START = np.array([_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1])


def hash_rows(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """Hash the bytes of each row.

    Parameters
    ----------
    rows
        Contiguous, shape (n, d).

    Returns
    -------
    numpy.ndarray
        uint64, shape (n,): ``xxhash.xxh3_64_intdigest(row.tobytes())`` of each.
    """
    width = rows.shape[1] * rows.itemsize
    if width <= _LONG or not len(rows):
        digests = [xxhash.xxh3_64_intdigest(row.tobytes()) for row in rows]
        return np.array(digests, dtype=np.uint64)
    return np.asarray(_hash_long(rows.view(np.uint8).reshape(-1), width))


@compiled
def _hash_long(data: NDArray[np.uint8], width: int) -> NDArray[np.uint64]:
    out = np.empty(len(data) // width, dtype=np.uint64)
    sums = np.empty(8, dtype=np.uint64)
    secret = np.empty(192 - 7, dtype=np.uint64)  # the word at each byte
    for i in range(len(secret)):
        secret[i] = load8(_SECRET, i)
    blocks = (width - 1) // 1024
    for row in range(len(out)):
        first = row * width
        sums[:] = _START
        for block in range(blocks):
            for stripe in range(16):
                _add(data, first + 1024 * block + 64 * stripe, secret, 8 * stripe, sums)
            for k in range(8):
                x = sums[k]
                sums[k] = (x ^ (x >> np.uint64(47)) ^ secret[128 + 8 * k]) * _P32_1
        for stripe in range((width - 1 - 1024 * blocks) // 64):
            _add(data, first + 1024 * blocks + 64 * stripe, secret, 8 * stripe, sums)
        _add(data, first + width - 64, secret, 121, sums)
        x = np.uint64(width) * _P64_1
        for k in range(4):
            left = sums[2 * k] ^ secret[11 + 16 * k]
            x += _folded(left, sums[2 * k + 1] ^ secret[19 + 16 * k])
        x = (x ^ (x >> np.uint64(37))) * np.uint64(0x165667919E3779F9)
        out[row] = x ^ (x >> np.uint64(32))
    return out


@inlined
def _add(
    data: NDArray[np.uint8], at: int, secret: NDArray[np.uint64], key: int, sums: NDArray[np.uint64]
) -> None:  # fmt: skip
    """Mix 64 bytes into the eight sums."""
    for k in range(8):
        word = load8(data, at + 8 * k)
        mixed = word ^ secret[key + 8 * k]
        sums[k ^ 1] += word
        sums[k] += (mixed & _LOW) * (mixed >> np.uint64(32))


@inlined
def _folded(a: Any, b: Any) -> Any:  # noqa: ANN401 numba scalars
    """Return the high word of a 128-bit product, exclusive-or the low one."""
    low_a, high_a, low_b, high_b = a & _LOW, a >> np.uint64(32), b & _LOW, b >> np.uint64(32)
    low, left, right, high = low_a * low_b, high_a * low_b, low_a * high_b, high_a * high_b
    middle = (low >> np.uint64(32)) + (left & _LOW) + right
    top = high + (left >> np.uint64(32)) + (middle >> np.uint64(32))
    return top ^ ((middle << np.uint64(32)) | (low & _LOW))
