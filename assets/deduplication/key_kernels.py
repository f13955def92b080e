"""Compiled loops over columns of keys: read hexadecimal digits, place keys in a table, find repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.wide_loads import U8, U32
from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import load8

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

_0, _1, _4, _6, _8, _16, _32, _63 = (np.uint64(v) for v in (0, 1, 4, 6, 8, 16, 32, 63))
_EACH = 0x0101010101010101
_HIGH, _ONES, _LOW4 = (np.uint64(v * _EACH) for v in (0x80, 1, 15))
_OF_2, _OF_4, _OF_8 = (np.uint64(v) for v in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF))
# adding one of these to eight ASCII bytes sets the high bit of each byte from that letter on
_FROM_0, _FROM_COLON, _FROM_A, _FROM_G = (np.uint64((0x80 - ord(c)) * _EACH) for c in "0:ag")


@compiled
def read_digits(data: U8, start: int, high: U64, low: U64) -> int:
    """Read keys of 32 lower-case hexadecimal digits that lie one after another from `start`.

    Returns the first key with another character, or -1.
    """
    for row in range(high.size):
        halves = _0
        for word in range(4):
            eight = load8(data, start + 32 * row + 8 * word)
            digits = (eight + _FROM_0) & ~(eight + _FROM_COLON)
            digits |= (eight + _FROM_A) & ~(eight + _FROM_G)
            if digits & ~eight & _HIGH != _HIGH:
                return row
            value = (eight & _LOW4) + np.uint64(9) * ((eight >> _6) & _ONES)
            value = ((value << _4) | (value >> _8)) & _OF_2
            value = ((value << _8) | (value >> _16)) & _OF_4
            value = ((value << _16) | (value >> _32)) & _OF_8
            halves = (halves << _32) | value
            if word == 1:
                high[row] = halves
            if word == 3:
                low[row] = halves
    return -1


@compiled
def write_digits(high: U64, low: U64, data: U8) -> None:
    """Write keys as 32 hexadecimal digits each, one after another."""
    for row in range(high.size):
        for half in range(2):
            value = low[row] if half else high[row]
            for digit in range(16):
                four = np.uint8((value >> np.uint64(60 - 4 * digit)) & np.uint64(15))
                letter = np.uint8(87) if four > 9 else np.uint8(48)  # a - 10, 0
                data[32 * row + 16 * half + digit] = four + letter


@compiled
def may_repeat(keys: U32) -> I64:
    """Return the places of all keys that occur twice, and of a few (1 in 16) that do not.

    Keys have to be hashes: their low bits choose one of 16 n bits.
    """
    bits = 64
    while bits < 16 * keys.size:
        bits *= 2
    once, twice = np.zeros(bits >> 6, np.uint64), np.zeros(bits >> 6, np.uint64)
    mask = np.uint64(bits - 1)
    for place in range(keys.size):
        key = np.uint64(keys[place]) & mask
        word, bit = key >> _6, _1 << (key & _63)
        twice[word] |= once[word] & bit
        once[word] |= bit
    found = np.empty(keys.size, np.int64)
    count: Any = 0
    for place in range(keys.size):
        key = np.uint64(keys[place]) & mask
        found[count] = place
        count += np.int64((twice[key >> _6] >> (key & _63)) & _1)
    return found[:count].copy()


@compiled
def fill_table(mixed: U64, high: U64, low: U64, slots: U32) -> int:
    """Put the keys' places + 1 into a table of open addresses; its size is a power of two above theirs.

    Returns the first key that came before, or -1.
    """
    mask = np.uint64(slots.size - 1)
    for row in range(high.size):
        slot = mixed[row] & mask
        while slots[slot]:
            held = np.int64(slots[slot]) - 1
            if high[held] == high[row] and low[held] == low[row]:
                return row
            slot = (slot + _1) & mask
        slots[slot] = np.uint32(row + 1)
    return -1


@compiled
def look_up(
    mixed: U64, high: U64, low: U64, slots: U32, held_high: U64, held_low: U64, places: I64
) -> None:
    """Fill `places` with where each key is among those of the table, or -1."""
    mask = np.uint64(slots.size - 1)
    for row in range(high.size):
        slot = mixed[row] & mask
        places[row] = -1
        while slots[slot]:
            held = np.int64(slots[slot]) - 1
            if held_high[held] == high[row] and held_low[held] == low[row]:
                places[row] = held
                break
            slot = (slot + _1) & mask
