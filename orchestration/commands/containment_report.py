"""What `sluice containment` tells people: what could go and what that saves, then what is held in part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from assets.containment.folder import FolderSearch
from assets.containment.savings import droppable_tables

MOST_OF_A_GROUP = 4

Row = Mapping[str, Any]


def report(
    lake: object,
    found: FolderSearch,
    *,
    equality: str,
    min_containment: float,
    limit: int,
    overlaps: bool = False,
) -> Iterator[str]:
    """Write the report of a search line by line.

    Parameters
    ----------
    lake
        What was searched, as the user named it.
    found
        What was found.
    equality, min_containment
        What was asked for.
    limit
        Most groups or tables a section, and with it a few lines a group; 0 for all.
    overlaps
        Whether to say of parts what share of the parent they are, and their Jaccard similarity.

    Yields
    ------
    str
        A line.
    """
    edges, sizes = found.edges, found.bytes
    total = sum(sizes.values())
    yield f"{lake}: {len(sizes):,} tables, {size_told(total)}, compared by {equality}"
    drop = droppable_tables(edges, sizes).join(
        edges.select("column_map", table="child", kept="parent"),
        on=["table", "kept"],
        how="left",
        maintain_order="left",
    )
    copies = drop.filter(pl.col("kind") == "duplicate")
    yield from _section("Duplicates", "with the same rows as another", copies, limit)
    held = drop.filter(pl.col("kind") == "contained")
    yield from _section("Contained", "whose every row is in another", held, limit)
    yield ""
    yield from _saving(drop, total)
    yield from _unions(found.unions, limit)
    yield from _likely(edges.filter(~pl.col("exact")), limit)
    counted = edges.filter("exact")
    yield from _parts(counted, drop, min_containment, limit, overlaps=overlaps)


def _unions(unions: pl.DataFrame, limit: int) -> Iterator[str]:
    """Tell which tables several others hold together."""
    if unions.is_empty():
        return
    yield ""
    yield f"Held by several together: {_tables(unions.height)}"
    for row in (unions.head(limit) if limit else unions).iter_rows(named=True):
        yield (
            f"  {row['child']} ({row['child_rows']:,} rows) in {' + '.join(row['parents'])}, "
            f"{row['multiset_containment']:.6f} with repeated rows counted"
        )
    yield from _more(unions.height, limit)


def _likely(edges: pl.DataFrame, limit: int) -> Iterator[str]:
    """Tell what a sample says, which is no proof."""
    if edges.is_empty():
        return
    yield ""
    yield f"Contained by a sample, not by all rows: {edges.height:,} pairs"
    order = edges.sort("containment", "child", "parent", descending=[True, False, False])
    for row in (order.head(limit) if limit else order).iter_rows(named=True):
        yield (
            f"  {row['containment']:.6f}  {row['child']} ({row['child_rows']:,} rows) in {row['parent']} "
            f"({row['parent_rows']:,} rows), between {row['low']:.6f} and {row['high']:.6f}"
        )
    yield from _more(edges.height, limit)


def _more(total: int, limit: int) -> Iterator[str]:
    if limit and total > limit:
        yield f"  … and {total - limit:,} more; --limit 0 shows all"


def _saving(drop: pl.DataFrame, total: int) -> Iterator[str]:
    if drop.is_empty():
        yield "Nothing could be dropped."
        return
    saved = int(drop["bytes"].sum())
    share = f" ({saved / total:.1%})" if total else ""
    these = "this" if drop.height == 1 else "these"
    yield (
        f"Dropping {these} {_tables(drop.height)} would save {size_told(saved)} of "
        f"{size_told(total)}{share}. Nothing was changed."
    )
    repeated = drop.filter(pl.col("multiset_containment") < 1).height
    if repeated:
        yield (
            f"{repeated:,} of them repeat{'s' if repeated == 1 else ''} rows more often than the table "
            "that holds them: the rows are there, not as often."
        )


def _tables(count: int) -> str:
    return "1 table" if count == 1 else f"{count:,} tables"


def _section(title: str, what: str, drop: pl.DataFrame, limit: int) -> Iterator[str]:
    yield ""
    if drop.is_empty():
        yield f"{title}: none"
        return
    groups = sorted(
        drop.partition_by("group"), key=lambda own: (-int(own["bytes"].sum()), own["kept"][0])
    )
    yield (
        f"{title}: {_tables(drop.height)} {what} (under the one that stays; groups: {len(groups):,}, "
        f"{size_told(int(drop['bytes'].sum()))})"
    )
    for own in groups[:limit] if limit else groups:
        yield f"  {own['kept'][0]} ({own['kept_rows'][0]:,} rows)"
        yield from _members(own.sort("bytes", "table", descending=[True, False]), limit)
    rest = groups[limit:] if limit else []
    if rest:
        tables, saved = sum(own.height for own in rest), sum(int(o["bytes"].sum()) for o in rest)
        yield (
            f"  … and {len(rest):,} more groups, {tables:,} tables, {size_told(saved)}; "
            "--limit 0 shows all"
        )


def _members(own: pl.DataFrame, limit: int) -> Iterator[str]:
    # one line more costs no more room than saying that there is one more
    most = own.height if not limit or own.height <= MOST_OF_A_GROUP + 1 else MOST_OF_A_GROUP
    for row in own.head(most).iter_rows(named=True):
        yield (
            f"    {size_told(row['bytes']):>9}  {row['rows']:>11,} rows  {row['table']}{_by(row)}"
        )
    if own.height > most:
        saved = size_told(int(own["bytes"][most:].sum()))
        yield f"    {saved:>9}  … {own.height - most:,} more tables"


def _parts(
    edges: pl.DataFrame, drop: pl.DataFrame, min_containment: float, limit: int, *, overlaps: bool
) -> Iterator[str]:
    """Tell the nearest holder of each table that stays; what else there is is only counted."""
    stays = edges.filter(
        (pl.col("containment") < 1) & ~pl.col("child").is_in(drop["table"].to_list())
    ).sort("child", "containment", "parent", descending=[False, True, False])
    nearest = (
        stays.filter(~pl.col("parent").is_in(drop["table"].to_list()))
        .group_by("child", maintain_order=True)
        .first()
        .sort("containment", "child", descending=[True, False])
    )
    yield ""
    if nearest.is_empty():
        yield f"Contained in part, {min_containment:g} or more: none of the tables that stay"
    else:
        yield (
            f"Contained in part, {min_containment:g} or more: {nearest.height:,} of the tables that stay, "
            "each with what holds most of it (rows counted from 0)"
        )
    shown = nearest.head(limit) if limit else nearest
    for row in shown.iter_rows(named=True):
        yield f"  {row['containment']:.6f}  {row['child']} ({row['child_rows']:,} rows)"
        yield f"            in {row['parent']} ({row['parent_rows']:,} rows){_by(row)}{_lacks(row)}"
        if overlaps and row["jaccard"] is not None:
            yield f"            holds {row['parent_containment']:.6f} of the parent, Jaccard {row['jaccard']:.6f}"
    yield from _more(nearest.height, limit)
    told = drop.height + nearest.height
    if edges.height > told:
        yield ""
        yield f"{edges.height - told:,} further pairs add nothing to these; --json lists all {edges.height:,}."


def _by(row: Row) -> str:
    """Say how rows are equal where types differ, and which columns go by other names."""
    told = "" if row["equality"] == "typed" else f", equal by {row['equality']}"
    columns: Mapping[str, str] = json.loads(row["column_map"])
    renamed = [f"{mine} as {theirs}" for mine, theirs in columns.items() if mine != theirs]
    return told + "".join(f", {name}" for name in renamed)


def _lacks(row: Row) -> str:
    lacks = "" if row["witness"] is None else f"; it lacks row {row['witness']:,} among others"
    if row["multiset_containment"] in (None, row["containment"]):
        return lacks
    return f"; {row['multiset_containment']:.6f} with repeated rows counted{lacks}"


def size_told(count: int) -> str:
    """Write a number of bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
