"""Sections on rows: the summary, what became of each, what was read and what was set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, natural, plural, share, size
from assets.publication.card_html import (
    Markup,
    Page,
    element,
    foreign,
    joined,
    meter,
    paragraph,
    swatch,
    table,
)
from assets.publication.card_palette import FATES, fate_token
from assets.publication.card_plots_rows import fate_rows

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts


def empty(text: str) -> Markup:
    """Return the sentence that stands where there is nothing to show."""
    return paragraph(text, class_="empty")


def header(facts: CardFacts) -> Markup:
    """Return the heading with the one sentence and the numbers that matter most."""
    pairs = fate_rows(facts.fates)
    total = sum(rows for _, rows in pairs)
    published = dict(pairs).get("published", 0)
    stamp = [f"Release {facts.release}"]
    stamp += [f"run {facts.run_id}"] if facts.run_id else []
    stamp += [facts.time] if facts.time else []
    tiles = {
        "rows accounted for": count(total),
        "rows published": count(published),
        "of the rows": share(published, total),
        "tables found": count(facts.tables.height),
        "rows set aside as unreadable": count(dict(pairs).get("quarantined", 0)),
        "tables that could be retired": count(retired(facts).height),
    }
    return joined(
        [
            element("h1", foreign(facts.title)),
            paragraph(" · ".join(stamp), class_="kicker"),
            *([paragraph(element("b", foreign(facts.note)))] if facts.note else []),
            paragraph(_summary(pairs, total, published), class_="lead"),
            element(
                "dl",
                *(
                    element("div", element("dt", name), element("dd", value))
                    for name, value in tiles.items()
                ),
                class_="tiles",
            ),
        ],
        "\n",
    )


def retired(facts: CardFacts) -> pl.DataFrame:
    """Return the tables that the retention plan could retire."""
    return facts.retention.filter(pl.col("decision") == "retire")


def _summary(pairs: list[tuple[str, int]], total: int, published: int) -> str:
    if not total:
        return "No row is accounted for in this release: the ledger is empty, so there is nothing to show."
    others = sorted(
        ((fate, rows) for fate, rows in pairs if fate != "published" and rows),
        key=lambda pair: (-pair[1], pair[0]),
    )
    verb = "is" if published == 1 else "are"
    first = (
        f"Of {plural(total, 'row')}, {count(published)} ({share(published, total)}) "
        f"{verb} in the training set."
    )
    if not others:
        return f"{first} None was left out."
    named = [f"{words(fate)} ({count(rows)})" for fate, rows in others[:3]]
    if len(others) > 3:
        named.append(plural(len(others) - 3, "smaller one"))
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{first} Each other row is listed with one reason: {listed}."


def words(fate: str) -> str:
    """Return a fate as it is said."""
    return fate.replace("_", " ")


def fates(page: Page, facts: CardFacts) -> None:
    """Add what became of every row: one bar, and a table with every fate, stage and reason."""
    pairs = fate_rows(facts.fates)
    total = sum(rows for _, rows in pairs)
    if not pairs:
        page.section(
            "fates",
            "What became of every row",
            empty("Nothing was counted: the ledger of this release holds no line."),
        )
        return
    parts = "; ".join(f"{words(fate)} {share(rows, total)}" for fate, rows in pairs)
    legend: list[tuple[object, ...]] = [
        (
            joined([swatch(fate_token(fate)), foreign(fate)]),
            FATES.get(fate, "a fate that this page has no words for"),
            count(rows),
            share(rows, total),
            meter(rows, total, fate_token(fate)),
        )
        for fate, rows in pairs
    ]
    legend.append(("all", "every row that was found, once", count(total), share(total, total), ""))
    reasons = [
        (foreign(fate), foreign(stage or "—"), foreign(reason or "—"), count(rows))
        for fate, stage, reason, rows in facts.fates.sort(
            "rows",
            "fate",
            "stage",
            "reason",
            descending=[True, False, False, False],
            nulls_last=True,
        )
        .select("fate", "stage", "reason", "rows")
        .iter_rows()
    ]
    page.section(
        "fates",
        "What became of every row",
        page.figure(
            plots.fates_bar(facts.fates),
            "All rows by fate",
            f"One bar of {plural(total, 'row')}: {parts}.",
            "Every row has one fate, named by the first stage that dropped it. The table names all parts.",
        ),
        table(
            "Rows by fate",
            ("fate", "what it means", "rows", "share", ""),
            legend,
            numeric=(2, 3),
            collapsed=False,
        ),
        table(
            "Rows by fate, stage and reason",
            ("fate", "stage", "reason", "rows"),
            reasons,
            numeric=(3,),
            elsewhere="publication/ledger",
            collapsed=True,
        ),
    )


def _unread(tables: pl.DataFrame) -> str:
    """Say how many rows no rule reads, so that the counts of both sections can be set side by side."""
    if "read" not in tables.columns:
        return (
            "Tables that no rule of the recipe matches are listed here, and have no rows in the counts "
            "above."
        )
    left = tables.filter(~pl.col("read").fill_null(value=True))
    if left.is_empty():
        return "A rule of the recipe reads each of them."
    rows = plural(int(left["rows"].sum()), "row")
    return (
        f"No rule of the recipe reads {plural(left.height, 'table')} of these, with {rows}; they are "
        "not in the counts above."
    )


def read(page: Page, facts: CardFacts) -> None:
    """Add what was read and what was set aside."""
    parts: list[object] = []
    if facts.tables.is_empty():
        parts.append(empty("No table was found in the lake, so none was read."))
    else:
        by_format = facts.tables.group_by("format").agg(
            tables=pl.len(),
            rows=pl.col("rows").sum(),
            bytes=pl.col("bytes").sum(),
            failed=pl.col("error").is_not_null().sum(),
        )
        parts += [
            paragraph(
                f"{plural(facts.tables.height, 'table')} with "
                f"{plural(int(facts.tables['rows'].sum()), 'row')} in "
                f"{size(int(facts.tables['bytes'].sum()))}. {_unread(facts.tables)}"
            ),
            table(
                "Tables by format",
                ("format", "tables", "rows", "size", "with an error"),
                [
                    (
                        foreign(row["format"] or "—"),
                        count(row["tables"]),
                        count(row["rows"]),
                        size(row["bytes"]),
                        count(row["failed"]),
                    )
                    for row in by_format.sort("format", nulls_last=True).iter_rows(named=True)
                ],
                numeric=(1, 2, 3, 4),
                collapsed=False,
            ),
            table(
                "Tables",
                ("table", "format", "rows", "size", "columns", "status", "error"),
                [
                    (
                        foreign(row["table"] or "—"),
                        foreign(row["format"] or "—"),
                        count(row["rows"]),
                        size(row["bytes"]),
                        count(row["columns"]),
                        foreign(row["status"] or "—"),
                        foreign(row["error"] or "—"),
                    )
                    for row in sorted(
                        facts.tables.iter_rows(named=True),
                        key=lambda row: natural(row["table"] or ""),
                    )
                ],
                numeric=(2, 3, 4),
                elsewhere="ingestion/tables",
            ),
        ]
    parts.append(element("h3", "Set aside because it could not be read"))
    if facts.quarantine.is_empty():
        parts.append(
            empty("Nothing: every file and every row of the lake could be read.")
            if facts.tables.height
            else empty("Nothing was read, so nothing was set aside.")
        )
    else:
        parts.append(
            table(
                "Files and rows set aside, by place",
                ("table or file", "position", "reason"),
                [
                    (
                        foreign(row["table"] or "—"),
                        "whole file" if row["position"] is None else count(row["position"]),
                        foreign(row["reason"] or "—"),
                    )
                    for row in facts.quarantine.iter_rows(named=True)
                ],
                numeric=(1,),
                elsewhere="ingestion/quarantine",
            )
        )
    page.section("read", "What was read and set aside", *parts)
