"""Sections on redundancy: tables held by other tables, and twins among rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, natural, number, plural, share, size
from assets.publication.card_graph import layout
from assets.publication.card_html import (
    Page,
    element,
    foreign,
    paragraph,
    table,
)
from assets.publication.card_sections_rows import empty, retired

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts


def redundancy(page: Page, facts: CardFacts) -> None:
    """Add which tables are held by others and what retiring them would save."""
    parts: list[object] = []
    if facts.edges.is_empty():
        parts.append(
            empty("No table was found to be held by another, so none is redundant as a whole.")
        )
    else:
        graph = layout(facts.edges)
        gone = frozenset(retired(facts)["table"].drop_nulls().to_list())
        copies = [node for node in graph.nodes if len(node) > 1]
        parts += [
            paragraph(
                f"{plural(facts.edges.height, 'time')} a table's rows were found inside another table. "
                + (
                    f"{plural(len(copies), 'set')} of tables hold each other in whole, that is, are copies."
                    if copies
                    else "No two tables are copies of each other."
                )
            ),
            page.figure(
                plots.containment_graph(facts.edges, gone),
                "Which tables are held by which",
                f"A graph of {len(graph.nodes)} nodes and {len(graph.edges)} arrows from held to holding "
                "table; the table below lists every edge.",
                _GRAPH if graph.legible else _PANELS,
            ),
            table(
                "Containment edges",
                ("table", "is held by", "share held", "proven", "its rows", "rows of the holder"),
                [
                    (
                        foreign(row["child"] or "—"),
                        foreign(row["parent"] or "—"),
                        _percent(row["containment"]),
                        {True: "yes", False: "no"}.get(row["exact"], "—"),
                        count(row["child_rows"]),
                        count(row["parent_rows"]),
                    )
                    for row in facts.edges.iter_rows(named=True)
                ],
                numeric=(2, 4, 5),
                elsewhere="containment/edges",
            ),
        ]
    parts += _retention(facts)
    page.section("redundancy", "Redundant tables", *parts)


_GRAPH = (
    "An arrow runs from a table to one that holds its rows. Solid: all of them, proven. "
    "Dashed: a part, with its share, or not proven; only the largest is drawn, for tables that "
    "nothing holds in whole. Copies are one box. A dashed frame could be retired. Arrows that "
    "follow from two others are not drawn."
)
_PANELS = (
    "One panel a group of tables that hold each other in whole, the largest groups first. A dot is a table or a "
    "set of copies; lines run from held (left) to holding. Ringed dots could be retired. What is not drawn is "
    "counted below the panels and listed in the table."
)


def _percent(value: float | None) -> str:
    return "—" if value is None else share(value, 1.0)


def _retention(facts: CardFacts) -> list[object]:
    if facts.retention.is_empty():
        return [empty("No retention plan was made.")]
    known = dict(facts.tables.select("table", "bytes").iter_rows())
    gone = retired(facts)
    freed = sum(known.get(name) or 0 for name in gone["table"])
    ranked = facts.retention.sort(
        pl.col("decision") != "retire",
        pl.col("saving").fill_null(-1.0),
        "table",
        descending=[False, True, False],
    )
    return [
        element("h3", "What could be retired"),
        paragraph(
            f"{plural(gone.height, 'table')} of {count(facts.retention.height)} could be retired and "
            f"rebuilt from what holds them, {size(freed)} in all. This is advice: Sluice deletes nothing.",
        ),
        table(
            "Tables by saving, those that could be retired first",
            ("table", "decision", "size", "saving", "rebuilt from", "reason"),
            [
                (
                    foreign(row["table"] or "—"),
                    foreign(row["decision"] or "—"),
                    size(known.get(row["table"])),
                    number(row["saving"]),
                    foreign(", ".join(sorted(row["parents"] or [], key=natural)) or "—"),
                    foreign(row["reason"] or "—"),
                )
                for row in ranked.iter_rows(named=True)
            ],
            numeric=(2, 3),
            most=60,
            elsewhere="containment/retention",
        ),
    ]


def duplicates(page: Page, facts: CardFacts) -> None:
    """Add how many twins there are, and of what kind."""
    title = "Twins among the rows"
    frame = facts.clusters
    if frame.is_empty():
        page.section(
            "duplicates", title, empty("No row has a twin: nothing was dropped as a duplicate.")
        )
        return
    surplus = pl.col("clusters") * (pl.col("size") - 1)
    by_kind = frame.group_by("kind").agg(
        clusters=pl.col("clusters").sum(),
        rows=(pl.col("clusters") * pl.col("size")).sum(),
        surplus=surplus.sum(),
        largest=pl.col("size").max(),
        **({"bytes": pl.col("bytes").sum()} if "bytes" in frame.columns else {}),
    )
    weighed = "bytes" in frame.columns
    page.section(
        "duplicates",
        title,
        paragraph(
            f"{plural(int(frame['clusters'].sum()), 'cluster')} of twins; "
            f"{plural(int(frame.select(surplus).to_series().sum()), 'row')} beyond the first of each. "
            "Exact twins have equal content; near ones were each compared in whole with the one that stays."
        ),
        page.figure(
            plots.cluster_sizes(frame),
            "Clusters of twins by size",
            "One panel a kind: number of clusters, on a logarithmic scale, by rows in the cluster.",
            "Of a cluster of n rows at most one is kept, so that large clusters weigh more than they look.",
        ),
        table(
            "Twins by kind",
            (
                "kind",
                "clusters",
                "rows in them",
                "beyond the first",
                "largest",
                *(("size",) if weighed else ()),
            ),
            [
                (
                    foreign(row["kind"] or "—"),
                    count(row["clusters"]),
                    count(row["rows"]),
                    count(row["surplus"]),
                    count(row["largest"]),
                    *((size(row["bytes"]),) if weighed else ()),
                )
                for row in by_kind.sort("kind", nulls_last=True).iter_rows(named=True)
            ],
            numeric=(1, 2, 3, 4, 5),
            collapsed=False,
        ),
        table(
            "Clusters by size",
            ("rows in the cluster", "kind", "clusters"),
            [
                (count(row["size"]), foreign(row["kind"] or "—"), count(row["clusters"]))
                for row in frame.iter_rows(named=True)
            ],
            numeric=(2,),
            collapsed=True,
            elsewhere="deduplication/duplicates",
        ),
        *_side_by_side(facts.largest_clusters),
    )


def _side_by_side(largest: pl.DataFrame) -> list[object]:
    """Show the largest clusters, each by a record that is kept and the least similar one dropped for it."""
    if largest.is_empty():
        return []
    return [
        table(
            "The largest clusters, and in each the row that is kept beside the one least like it",
            (
                "rows",
                "kept",
                "saved",
                "weakest pair",
                "diameter",
                "kept row",
                "dropped row",
                "alike",
            ),
            [
                (
                    count(row["records"]),
                    count(row["kept"]),
                    size(row["bytes_saved"]),
                    number(row["weakest"]),
                    count(row["diameter"]),
                    foreign(row["text"] or "—"),
                    foreign(row["twin_text"] or "—"),
                    "not compared" if row["similarity"] is None else number(row["similarity"]),
                )
                for row in largest.iter_rows(named=True)
            ],
            numeric=(1, 2, 3, 4, 7),
            collapsed=True,
            elsewhere="deduplication/clusters",
        )
    ]
