"""Hold what table statistics really prove: intervals for the true minimum and maximum.

Published bounds are not exact in general. Strings are cut (after 32 or 64 characters, or as
configured) and the cut maximum is bumped; the Delta log keeps milliseconds, and its floor; after
deletion vectors the bounds may belong to deleted rows; NaN is left out; only the first columns
have statistics at all. So a bound is an interval, and a missing one proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

INSTANT_SLACK_MICROSECONDS = 60_000_000
"""Logs keep milliseconds, rounded in more than one way, and some old writers are off by up to
59 s in zones with odd offsets; no lake is pruned less for a minute."""

Value = int | float | bool | str | bytes
"""A comparable value: text as UTF-8 bytes, dates as days, instants as microseconds."""


@dataclass(frozen=True)
class ColumnBounds:
    """What is known of one column of a file or table.

    The true minimum lies in [lo_min, lo_max], the true maximum in [hi_min, hi_max]; NULL and NaN
    do not count. None is "not known". `lo_max` and `hi_min` also say that there is a value at all.

    Parameters
    ----------
    family : str
        The family of the type (`assets.kernels.logical_types.type_family`); bounds of different
        families are never compared.
    lo_min, lo_max, hi_min, hi_max : int, float, bool, bytes or None
        The interval ends.
    nulls : int or None
        The exact number of NULL, or None.
    tight : bool
        Whether the bounds belong to rows that are there (False after deletion vectors).
    """

    family: str
    lo_min: Any = None
    lo_max: Any = None
    hi_min: Any = None
    hi_max: Any = None
    nulls: int | None = None
    tight: bool = True

    @classmethod
    def exact(
        cls, family: str, low: Value | None, high: Value | None, nulls: int | None = None
    ) -> ColumnBounds:
        """Build bounds from a true minimum and maximum, as a summary of all values has them.

        Parameters
        ----------
        family : str
            The family of the type.
        low, high : value or None
            Minimum and maximum; None where there is no value.
        nulls : int, optional
            The number of NULL.

        Returns
        -------
        ColumnBounds
            Bounds of width zero, -0.0 as 0.0; unknown where a bound is NaN.
        """
        ends = [_plain_value(low), _plain_value(high)]
        if any(isinstance(end, float) and end != end for end in ends):
            ends = [None, None]
        return cls(family, ends[0], ends[0], ends[1], ends[1], nulls)

    @classmethod
    def published(
        cls, family: str, low: Value | None, high: Value | None, nulls: int | None = None
    ) -> ColumnBounds:
        """Build bounds from statistics of which it is not known whether they are exact.

        Parameters
        ----------
        family : str
            The family of the type.
        low, high : value or None
            Minimum and maximum as published.
        nulls : int, optional
            The number of NULL.

        Returns
        -------
        ColumnBounds
            Intervals wide enough for cut and bumped text, for instants of reduced precision
            (`INSTANT_SLACK_MICROSECONDS`) and for fractions that went through text.
        """
        if family in ("string", "binary"):
            ends = [_plain_value(low), _plain_value(high)]
            return string_bounds(family, ends[0], ends[1], nulls)
        lows, highs = _around(family, low), _around(family, high)
        return cls(family, lows[0], lows[1], highs[0], highs[1], nulls)

    def wide(self) -> ColumnBounds:
        """Forget what need not hold once rows were deleted without renewing the bounds.

        Returns
        -------
        ColumnBounds
            Outer ends only; of the NULL count only a zero is kept.
        """
        nulls = 0 if self.nulls == 0 else None
        return replace(self, lo_max=None, hi_min=None, nulls=nulls, tight=False)


@dataclass(frozen=True)
class FileStatistics:
    """What is known of one data file: rows (None is not known), and bounds by column."""

    rows: int | None
    columns: Mapping[str, ColumnBounds]
    path: str = ""
    deleted: bool = False  # has a deletion vector


@dataclass(frozen=True)
class TableStatistics:
    """What is known of a table: rows, bounds by column, and its files."""

    rows: int | None
    columns: Mapping[str, ColumnBounds]
    files: tuple[FileStatistics, ...] = ()


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - any comparable
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float):
        return value + 0.0  # -0.0 + 0.0 is 0.0
    return value


def _around(family: str, value: Any) -> tuple[Any, Any]:  # noqa: ANN401 - any comparable
    """Enclose the true bound that a published one stands for; not a number encloses nothing."""
    if value is None:
        return None, None
    if family == "timestamp":
        return value - INSTANT_SLACK_MICROSECONDS, value + INSTANT_SLACK_MICROSECONDS
    if isinstance(value, float):
        if not math.isfinite(value):
            return None, None
        low = high = value
        for _ in range(4):
            low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
        return low, high
    return value, value


def string_bounds(
    family: str, low: bytes | None, high: bytes | None, nulls: int | None
) -> ColumnBounds:
    """Build bounds from text or binary bounds that may have been cut.

    Parameters
    ----------
    family : str
        ``string`` or ``binary``.
    low, high : bytes or None
        The published bounds. How long a writer's cut is, is a setting of that writer, so none is
        taken for whole: the true minimum begins with `low`; the true maximum begins with `high`,
        or (bumped) with all but its last character.
    nulls : int or None
        The exact number of NULL.

    Returns
    -------
    ColumnBounds
        Intervals that hold whether the bounds were cut or not.
    """
    return ColumnBounds(
        family,
        low,
        None if low is None else _last_with_prefix(low, family),
        None if high is None else _all_but_last(high, family),
        None if high is None else _last_with_prefix(high, family),
        nulls,
    )


def _last_with_prefix(prefix: bytes, family: str) -> bytes | None:
    """Bound from above all that begins with `prefix` (None: there is no such bound)."""
    if family == "string":
        return prefix + b"\xff"  # UTF-8 has no such byte
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def _all_but_last(text: bytes, family: str) -> bytes:
    """Drop the last character, which a writer may have bumped."""
    if family != "string":
        return text[:-1]
    try:
        return text.decode()[:-1].encode()
    except UnicodeDecodeError:  # cut or bumped within a character
        return text[:-4]


def merge(files: Iterable[FileStatistics], rows: int | None = None) -> TableStatistics:
    """Merge the statistics of a table's files to those of the table.

    Parameters
    ----------
    files : iterable of FileStatistics
        The statistics of ALL data files, in any order.
    rows : int, optional
        Rows of the table; default the sum over the files where all are known.

    Returns
    -------
    TableStatistics
        An outer end is known only if every file that can hold a value has it; an inner end if
        any file has it.
    """
    parts = tuple(sorted(files, key=lambda part: part.path))
    live = [part for part in parts if part.rows != 0 or part.deleted]
    names = sorted({name for part in live for name in part.columns})
    merged = {name: _merge_column(name, live) for name in names}
    if rows is None and all(part.rows is not None and not part.deleted for part in parts):
        rows = sum(part.rows or 0 for part in parts)
    return TableStatistics(rows, {k: v for k, v in merged.items() if v is not None}, parts)


def _merge_column(name: str, files: list[FileStatistics]) -> ColumnBounds | None:
    known = [part.columns.get(name, ColumnBounds("")) for part in files]
    families = {bounds.family for bounds in known if bounds.family}
    if len(families) != 1:
        return None
    counts = [bounds.nulls for bounds in known]
    valued = [
        bounds
        for bounds, part in zip(known, files, strict=True)
        if bounds.nulls is None or bounds.nulls != part.rows  # else nothing but NULL
    ]

    def ends(end: str, *, all_needed: bool) -> list[Any]:
        found = [getattr(bounds, end) for bounds in valued if getattr(bounds, end) is not None]
        return [] if all_needed and len(found) < len(valued) else found

    return ColumnBounds(
        families.pop(),
        min(ends("lo_min", all_needed=True), default=None),
        min(ends("lo_max", all_needed=False), default=None),
        max(ends("hi_min", all_needed=False), default=None),
        max(ends("hi_max", all_needed=True), default=None),
        None if None in counts else sum(count or 0 for count in counts),
        all(bounds.tight for bounds in known),
    )
