"""Add the cell hashes of Parquet pages to row sums without making arrays of the cells; compiled.

Reading a column into Arrow costs more than hashing it: each value of a dictionary is copied to every row that has it,
only to be hashed there. Here a dictionary is hashed once, and a row takes its hash by its index.

Pages are as the format states them (Apache Parquet, encodings PLAIN, RLE and RLE_DICTIONARY, data pages of both
versions, of columns that are neither nested nor repeated). Nothing in a page is trusted: whatever does not add up ends
in a status other than `DONE`, before any sum is changed, and no byte outside the page is looked at.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.kernels.compiled import compiled
from assets.kernels.intrinsics import load4, load8
from assets.kernels.xxh64 import Hashes, hash_floats, hash_slice, hash_words, take_hashes

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]

DONE, DAMAGED, LONG_WAY = 0, 1, 2
"""What became of a page; `LONG_WAY` has a number whose hash needs its text."""

INT32, INT64, FLOAT, DOUBLE, SLICES, BITS = range(6)
"""How values are stored one after the other."""

KIND, START, STORED, PLAIN_BYTES, VALUES, ENCODING, LEVELS, COMPRESSED, LEVEL_ENCODING = range(9)
"""The columns of `list_pages`: page type, where its content starts, bytes as stored and uncompressed, values, encoding,
bytes of levels before what is compressed (second version), whether it is compressed, encoding of the levels."""

_COLUMNS = 9
_DEEPEST = 8
_WIDTHS = np.array([4, 8, 4, 8, 4, 0], np.int64)


@compiled
def _varint(raw: Bytes, at: int) -> tuple[np.uint64, int]:
    """Read a number of seven bits a byte; the place is -1 if it has no end."""
    value = np.uint64(0)
    for shift in range(0, 64, 7):
        if at >= raw.size:
            return value, -1
        byte = np.uint64(raw[at])
        at += 1
        value |= (byte & np.uint64(127)) << np.uint64(shift)
        if byte < 128:
            return value, at
    return value, -1


@compiled
def _zigzag(value: np.uint64) -> int:
    return int(np.int64(value >> np.uint64(1))) ^ -int(np.int64(value & np.uint64(1)))


@compiled
def _note(page: Integers, depth: int, holder: int, field: int, value: int) -> None:
    if depth == 0:
        if field == 1:
            page[KIND] = value
        elif field == 2:
            page[PLAIN_BYTES] = value
        elif field == 3:
            page[STORED] = value
    elif depth == 1 and holder in (5, 7, 8):
        second = holder == 8
        if field == 1:
            page[VALUES] = value
        elif field == (4 if second else 2):
            page[ENCODING] = value
        elif field == 3 and holder == 5:
            page[LEVEL_ENCODING] = value
        elif second and field == 5:
            page[LEVELS] = value
        elif second and field == 6 and value != 0:
            page[LEVELS] = -1  # only repeated columns have those
        elif second and field == 7:
            page[COMPRESSED] = value


@compiled
def _header(raw: Bytes, at: int, page: Integers) -> int:
    """Read one page header (Thrift's compact protocol); returns where its page starts, -1 if it is none."""
    last = np.zeros(_DEEPEST, np.int64)
    depth = holder = 0
    page[:] = 0
    page[COMPRESSED] = 1
    page[LEVEL_ENCODING] = 3
    while True:
        if at < 0 or at >= raw.size:
            return -1
        byte = int(np.int64(raw[at]))
        at += 1
        if byte == 0:
            if depth == 0:
                return at
            depth -= 1
            continue
        kind = byte & 15
        if byte >> 4:
            last[depth] += byte >> 4
        else:
            value, at = _varint(raw, at)
            last[depth] = _zigzag(value)
        field = last[depth]
        if kind in (1, 2):
            _note(page, depth, holder, field, int(np.int64(kind == 1)))
        elif kind == 3:
            at += 1
        elif kind in (4, 5, 6):
            value, at = _varint(raw, at)
            _note(page, depth, holder, field, _zigzag(value))
        elif kind == 7:
            at += 8
        elif kind == 8:
            value, at = _varint(raw, at)
            if at < 0 or value > np.uint64(raw.size - at):
                return -1
            at += int(np.int64(value))
        elif kind == 12 and depth + 1 < _DEEPEST:
            if depth == 0:
                holder = field
            depth += 1
            last[depth] = 0
        else:
            return -1


@compiled
def list_pages(raw: Bytes, rows: int) -> Integers:
    """Find the pages of a column chunk.

    Parameters
    ----------
    raw : np.ndarray
        The chunk as stored, uint8.
    rows : int
        Its rows; what comes after those is not looked at.

    Returns
    -------
    np.ndarray
        n pages by 9 numbers (`KIND` to `LEVEL_ENCODING`), int64; up to the first that is no page.
    """
    pages = np.empty((16, _COLUMNS), np.int64)
    count, at, found = 0, 0, 0
    while found < rows:
        if count == pages.shape[0]:
            more = np.empty((2 * count, _COLUMNS), np.int64)
            more[:count] = pages
            pages = more
        page = pages[count]
        at = _header(raw, at, page)
        if at < 0 or page[STORED] < 0 or page[PLAIN_BYTES] < 0 or page[STORED] > raw.size - at:
            break
        page[START] = at
        at += page[STORED]
        if page[KIND] in (0, 3):
            if page[VALUES] < 0 or page[VALUES] > rows - found:
                break
            found += page[VALUES]
        count += 1
    return pages[:count]


@compiled
def _unpack_groups(
    raw: Bytes, at: int, width: int, out: Places, first: int, groups: int
) -> np.uint64:
    """Read groups of eight numbers of `width` bits, after which there are a word's bytes; returns any's bits."""
    wide, byte = np.uint64(width), np.uint64(at)
    mask = (np.uint64(1) << wide) - np.uint64(1)
    some = np.uint64(0)
    for group in range(groups):
        start = byte + np.uint64(group) * wide
        for k in range(8):
            bit = np.uint64(k) * wide
            word = load8(raw, start + (bit >> np.uint64(3)))
            value = (word >> (bit & np.uint64(7))) & mask
            out[first + 8 * group + k] = np.uint32(value)
            some |= value
    return some


@compiled
def _unpack(
    raw: Bytes, at: int, end: int, width: int, out: Places, count: int
) -> tuple[bool, np.uint64]:
    """Read `count` numbers of `width` bits in runs and packed groups; returns whether they are there, and any's bits.

    `out` has room for seven more.
    """
    bytes_of_one = (width + 7) // 8
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    tail = np.zeros(64, np.uint8)
    done = 0
    some = np.uint64(0)
    while done < count:
        head, at = _varint(raw[:end], at)
        if at < 0 or head >= np.uint64(1) << np.uint64(40):
            return False, some
        if head & np.uint64(1):
            groups = int(np.int64(head >> np.uint64(1)))
            if groups * width > end - at:
                return False, some
            groups = min(groups, (count - done + 7) // 8)
            safe = groups
            if at + groups * width + 8 > raw.size:
                safe = max((raw.size - 8 - at) // width, 0) if width else 0
            some |= _unpack_groups(raw, at, width, out, done, safe)
            at += safe * width
            for group in range(safe, groups):
                tail[: raw.size - at] = raw[at:]
                some |= _unpack_groups(tail, 0, width, out, done + 8 * group, 1)
                at += width
            done += 8 * groups
        else:
            run = min(int(np.int64(head >> np.uint64(1))), count - done)
            if bytes_of_one > end - at or run == 0:
                return False, some
            value = np.uint64(0)
            for i in range(bytes_of_one):
                value |= np.uint64(raw[at + i]) << np.uint64(8 * i)
            some |= value & mask
            out[done : done + run] = np.uint32(value & mask)
            at += bytes_of_one
            done += run
    return True, some


@compiled
def _present(levels: Bytes, at: int, end: int, rows: int) -> tuple[Places, int]:
    """Return 1 for each row that has a value, and how many have; -1 if the levels are damaged."""
    there = np.empty(rows + 7, np.uint32)
    sound, _ = _unpack(levels, at, end, 1, there, rows)
    values = 0
    for row in range(rows):
        values += int(np.int64(there[row]))
    return there, values if sound else -1


@compiled
def plain_hashes(
    page: Bytes, at: int, kind: int, count: int, whole_seed: np.uint64, seed: np.uint64
) -> tuple[Hashes, int]:
    """Hash values that are stored one after the other.

    Parameters
    ----------
    page : np.ndarray
        Uncompressed, uint8.
    at : int
        Where the values start.
    kind : int
        `INT32` to `BITS`.
    count : int
        How many there are.
    whole_seed, seed : np.uint64
        Seeds of whole numbers among floats, and of all other cells.

    Returns
    -------
    tuple
        `count` hashes and `DONE`, or nothing and why.
    """
    nothing = np.empty(0, np.uint64)
    size = (count + 7) // 8 if kind == BITS else count * _WIDTHS[kind]
    if count < 0 or at < 0 or size > page.size - at:
        return nothing, DAMAGED
    if kind == SLICES:
        out = np.empty(count, np.uint64)
        for i in range(count):
            if page.size - at < 4:
                return nothing, DAMAGED
            length = int(np.int64(load4(page, at)))
            at += 4
            if length > page.size - at:
                return nothing, DAMAGED
            out[i] = hash_slice(page, at, at + length, seed)
            at += length
        return out, DONE
    if kind == BITS:
        index = np.empty(count, np.int32)
        for i in range(count):
            index[i] = (page[at + (i >> 3)] >> np.uint8(i & 7)) & np.uint8(1)
        return take_hashes(hash_words(np.arange(2).astype(np.uint64), seed), index), DONE
    # word by word: a copy of bytes takes longer than hashing them
    words = np.empty(count, np.uint64)
    if kind in (INT64, DOUBLE):
        for i in range(count):
            words[i] = load8(page, at + 8 * i)
    elif kind == INT32:
        for i in range(count):
            words[i] = np.uint64(np.int64(np.int32(load4(page, at + 4 * i))))
    if kind in (INT64, INT32):
        return hash_words(words, seed), DONE
    floats = words.view(np.float64)
    if kind == FLOAT:
        narrow = np.empty(count, np.uint32)
        for i in range(count):
            narrow[i] = np.uint32(load4(page, at + 4 * i))
        floats[:] = narrow.view(np.float32)
    hashes, fit = hash_floats(floats, whole_seed, seed)
    return hashes, DONE if fit else LONG_WAY


@compiled
def _levels(page: Bytes, levels: Bytes, rows: int, highest: int) -> tuple[Places, int, int]:
    """Return which rows have a value, how many, and where the values start; -1 values if that is damaged.

    `levels` is empty where they stand before the values, as in the first version.
    """
    if highest == 0:
        return np.empty(0, np.uint32), rows, 0
    if levels.size:
        there, values = _present(levels, 0, levels.size, rows)
        return there, values, 0
    if page.size < 4:
        return np.empty(0, np.uint32), -1, 0
    end = 4 + int(np.int64(load4(page, 0)))
    if end > page.size:
        return np.empty(0, np.uint32), -1, 0
    there, values = _present(page, 4, end, rows)
    return there, values, end


@compiled
def add_plain(
    page: Bytes,
    levels: Bytes,
    highest: int,
    kind: int,
    whole_seed: np.uint64,
    seed: np.uint64,
    null: np.uint64,
    sums: Hashes,
) -> int:
    """Add the hashes of a page whose values are stored one after the other.

    Parameters
    ----------
    page : np.ndarray
        Uncompressed, uint8.
    levels : np.ndarray
        Its definition levels where they are stored apart, else empty.
    highest : int
        The highest level: 1, or 0 where no row can be without a value and none are stored.
    kind, whole_seed, seed
        As of `plain_hashes`.
    null : np.uint64
        The hash of a row without a value.
    sums : np.ndarray
        One for each row of the page, changed in place.

    Returns
    -------
    int
        `DONE`, or why no sum was changed.
    """
    there, values, at = _levels(page, levels, sums.size, highest)
    hashes, status = plain_hashes(page, at, kind, values, whole_seed, seed)
    if status != DONE:
        return status
    if values == sums.size:
        for row in range(values):
            sums[row] += hashes[row]
        return DONE
    place = 0
    for row in range(sums.size):
        if there[row]:
            sums[row] += hashes[place]
            place += 1
        else:
            sums[row] += null
    return DONE


@compiled
def add_indexed(
    page: Bytes, levels: Bytes, highest: int, hashes: Hashes, null: np.uint64, sums: Hashes
) -> int:
    """Add the hashes of a page of places in a dictionary.

    Parameters
    ----------
    page, levels, highest, null, sums
        As of `add_plain`.
    hashes : np.ndarray
        Those of the dictionary's values.

    Returns
    -------
    int
        `DONE`, or why no sum was changed.
    """
    there, values, at = _levels(page, levels, sums.size, highest)
    if values < 0:
        return DAMAGED
    if values == 0:
        sums += null
        return DONE
    if at >= page.size or page[at] > 31:
        return DAMAGED
    index = np.empty(values + 8, np.uint32)
    sound, bits = _unpack(page, at + 1, page.size, int(np.int64(page[at])), index, values)
    if not sound:
        return DAMAGED
    size = np.uint64(hashes.size)
    if bits >= size:
        for place in range(values):
            if index[place] >= size:
                return DAMAGED
    if values == sums.size:
        for row in range(values):
            sums[row] += hashes[np.uint64(index[row])]
        return DONE
    index[values] = 0  # read, and not taken, after the last value
    at_value = np.uint64(0)
    for row in range(sums.size):  # no branch on what can't be foreseen
        cell = hashes[np.uint64(index[at_value])]
        sums[row] += cell if there[row] else null
        at_value += np.uint64(there[row])
    return DONE
