"""Refute containment from metadata alone, never against a true edge.

Second stage of R2D2, with intervals in place of trusted bounds, and further necessary conditions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from assets.containment.bounds import ColumnBounds, FileStatistics, TableStatistics


def refute(
    child: TableStatistics,
    parent: TableStatistics,
    *,
    equality: Literal["typed", "value", "text"] = "value",
    multiset: bool = False,
) -> str | None:
    """Say why a child can't be contained in a parent, if metadata proves it.

    Parameters
    ----------
    child, parent : TableStatistics
        What is known of both; the child's columns are the parent's too.
    equality : {"typed", "value", "text"}, default "value"
        Under ``text`` NULL equals the empty string, which weakens two conditions.
    multiset : bool, default False
        Whether each row must be there as often as in the child. Set containment, which the edges
        state, allows the child more rows than the parent has.

    Returns
    -------
    str or None
        The reason, naming the column; None if containment is possible. A reason refutes full
        containment only: the fraction may still be anything below 1.

    Notes
    -----
    Guarantee: if all intervals hold, no true edge is refuted. Conditions, each necessary: the
    child's minimum and maximum lie within the parent's (per table); a child with NULL needs a
    parent with NULL; the minimum and maximum of each file of the child are values, so they lie
    within some file of the parent (for partition columns this compares the sets of values);
    a parent without rows holds nothing. Cost: O(columns), and O(columns x (f + g) log g) for f
    and g files.
    """
    if child.rows == 0:
        return None
    if parent.rows == 0 and (child.rows or 0) > 0:
        return "the parent has no rows"
    if multiset and child.rows is not None and parent.rows is not None and child.rows > parent.rows:
        return f"the child has {child.rows} rows, the parent {parent.rows}"
    for name in sorted(child.columns.keys() & parent.columns.keys()):
        reason = _refute_column(child.columns[name], parent.columns[name], equality)
        if reason is not None:
            return f"column {name!r}: {reason}"
    return _refute_points(child, parent, equality)


def disjoint(child: TableStatistics, parent: TableStatistics, columns: Iterable[str]) -> str | None:
    """Name a column in which the two tables have no value in common, if metadata proves it.

    Parameters
    ----------
    child, parent : TableStatistics
        What is known of both.
    columns : iterable of str
        The columns to look at; none with NaN in it, which bounds leave out.

    Returns
    -------
    str or None
        The column: the child has no NULL there and the ranges do not meet, so that no row is shared.
    """
    for name in columns:
        ours, theirs = child.columns.get(name), parent.columns.get(name)
        if ours is None or theirs is None or ours.family != theirs.family or ours.nulls != 0:
            continue
        if _below(theirs.hi_max, ours.lo_min) or _below(ours.hi_max, theirs.lo_min):
            return name
    return None


def _empty_text_matters(bounds: ColumnBounds, equality: str) -> bool:
    return equality == "text" and bounds.family == "string"


def _refute_column(child: ColumnBounds, parent: ColumnBounds, equality: str) -> str | None:
    reason = range_reason(child, parent, equality)
    if reason is not None or child.family != parent.family:
        return reason
    text = _empty_text_matters(child, equality)
    if not text and child.tight and (child.nulls or 0) > 0 and parent.nulls == 0:
        return "the child has NULL, the parent has none"
    return None


def range_reason(child: ColumnBounds, parent: ColumnBounds, equality: str) -> str | None:
    """Say which end of a child's range lies outside of the parent's, if metadata proves it.

    Parameters
    ----------
    child, parent : ColumnBounds
        Of one column in both tables.
    equality : {"typed", "value", "text"}
        As in `refute`.
    """
    if child.family != parent.family:
        return None
    text = _empty_text_matters(child, equality)
    # an empty text of the child may be a NULL of the parent, which its bounds don't show
    if (not text or bool(child.lo_min)) and _below(child.lo_max, parent.lo_min):
        return "the child's minimum is below the parent's"
    if (not text or bool(child.hi_min)) and _below(parent.hi_max, child.hi_min):
        return "the child's maximum is above the parent's"
    return None


def _below(low: Any, high: Any) -> bool:  # noqa: ANN401 - bounds of one family, in its own type
    return low is not None and high is not None and bool(low < high)


def _refute_points(child: TableStatistics, parent: TableStatistics, equality: str) -> str | None:
    """Look for a bound of one of the child's files that lies in no file of the parent."""
    if not child.files or not parent.files:
        return None
    for name in sorted(child.columns.keys() & parent.columns.keys()):
        if _empty_text_matters(child.columns[name], equality):
            continue
        spans = _spans(parent.files, name, child.columns[name].family)
        if spans is None:
            continue
        for part in child.files:
            bounds = part.columns.get(name)
            if bounds is None or not bounds.tight or part.deleted:
                continue
            for low, high in ((bounds.lo_min, bounds.lo_max), (bounds.hi_min, bounds.hi_max)):
                if low is not None and high is not None and not _meets(spans, low, high):
                    return f"column {name!r}: a bound of file {part.path!r} is in no parent file"
    return None


def _spans(
    files: tuple[FileStatistics, ...], name: str, family: str
) -> list[tuple[Any, Any]] | None:
    """List the outer intervals of the parent's files, merged; None if a file's is unknown."""
    spans: list[tuple[Any, Any]] = []
    for part in files:
        if part.rows == 0 and not part.deleted:
            continue
        bounds = part.columns.get(name)
        if bounds is not None and part.rows is not None and bounds.nulls == part.rows:
            continue  # nothing but NULL
        if bounds is None or bounds.family != family or None in (bounds.lo_min, bounds.hi_max):
            return None
        spans.append((bounds.lo_min, bounds.hi_max))
    merged: list[tuple[Any, Any]] = []
    for low, high in sorted(spans, key=lambda span: span[0]):
        if merged and not _below(merged[-1][1], low):
            merged[-1] = (merged[-1][0], high if _below(merged[-1][1], high) else merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def _meets(spans: list[tuple[object, object]], low: object, high: object) -> bool:
    """Tell whether [low, high] meets one of the disjoint, sorted spans."""
    left, right = 0, len(spans)
    while left < right:
        middle = (left + right) // 2
        if _below(spans[middle][1], low):
            left = middle + 1
        else:
            right = middle
    return left < len(spans) and not _below(high, spans[left][0])
