"""Sections on rows: the summary, what was read and set aside, survival by group, and lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, escape, natural, plain, plural, share, size
from assets.publication.card_html import (
    Markup,
    Page,
    code,
    definitions,
    element,
    foreign,
    joined,
    meter,
    paragraph,
    swatch,
    table,
)
from assets.publication.card_palette import FATES, fate_token
from assets.publication.card_plots_rows import fate_rows, group_rows

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
        "unreadable rows and files": count(facts.quarantine.height),
        "tables that could be retired": count(retired(facts).height),
    }
    return joined(
        [
            element("h1", foreign(facts.title)),
            paragraph(" · ".join(stamp), class_="kicker"),
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
    named = [f"{_words(fate)} ({count(rows)})" for fate, rows in others[:3]]
    if len(others) > 3:
        named.append(plural(len(others) - 3, "smaller one"))
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"{first} Each other row is listed with one reason: {listed}."


def _words(fate: str) -> str:
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
    words = "; ".join(f"{_words(fate)} {share(rows, total)}" for fate, rows in pairs)
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
            f"One bar of {plural(total, 'row')}: {words}.",
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
                f"{size(facts.tables['bytes'].sum())}. Tables that no rule of the recipe matches are "
                "listed here, and have no rows in the counts above."
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


def groups(page: Page, facts: CardFacts) -> None:
    """Add how each group fared through the stages."""
    title = "Groups through the stages"
    name = facts.group_name or "group"
    parts: list[object] = []
    if facts.survival.is_empty() and facts.fates_by_group.is_empty():
        why = (
            f"The records carry the group {name!r}, but no row of it was counted."
            if facts.group_name
            else "The recipe names no group, so rows were not counted by one."
        )
        page.section("groups", title, empty(why))
        return
    if not facts.survival.is_empty():
        held = group_rows(facts.survival)
        steps = list(next(iter(held.values())))
        lost = min(held, key=lambda one: (_ratio(held[one], steps), natural(one)))
        parts += [
            paragraph(
                f"Rows left after each step, for {plural(len(held), 'value')} of ",
                foreign(name),
                f". “unique” is after twins are gone, “kept” after the quality cut, “planned” after the "
                f"allocation. The smallest share from {steps[0]} to {steps[-1]} is that of ",
                foreign(lost),
                f": {share(held[lost][steps[-1]], held[lost][steps[0]])}.",
            ),
            page.figure(
                plots.survival_panels(facts.survival),
                f"Rows left after each step, by {plain(name)}",
                f"One panel a group with a bar a step, as a share of the rows at {steps[0]}; "
                "the table below holds the counts.",
                f"The number at the upper right of a panel is its rows at the step “{plain(steps[0])}”."
                + _capped(len(held)),
            ),
            table(
                f"Rows by {plain(name)} and step",
                (name, *steps, "left"),
                [
                    (
                        foreign(group),
                        *(count(value) for value in rows.values()),
                        share(rows[steps[-1]], rows[steps[0]]),
                    )
                    for group, rows in held.items()
                ],
                numeric=range(1, len(steps) + 2),
            ),
        ]
    if not facts.fates_by_group.is_empty():
        parts += _fates_by_group(page, facts.fates_by_group, name)
    page.section("groups", title, *parts)


def _ratio(rows: dict[str, int], steps: list[str]) -> float:
    return rows[steps[-1]] / rows[steps[0]] if rows[steps[0]] else 1.0


def _capped(amount: int, most: int = 60) -> str:
    return f" The {most} largest of {amount} groups are drawn." if amount > most else ""


def _fates_by_group(page: Page, frame: pl.DataFrame, name: str) -> list[object]:
    by_group: dict[str, pl.DataFrame] = {
        str(key[0]): part
        for key, part in frame.with_columns(pl.col("group").fill_null("(no group)"))
        .partition_by("group", as_dict=True, maintain_order=True)
        .items()
    }
    fates_ = [fate for fate, _ in fate_rows(frame)]
    cells = []
    for group in sorted(by_group, key=natural):
        rows = dict(fate_rows(by_group[group]))
        cells.append(
            (
                foreign(group),
                *(count(rows.get(fate, 0)) for fate in fates_),
                count(sum(rows.values())),
            )
        )
    return [
        page.figure(
            plots.fates_by_group_bars(frame),
            f"Fates by {plain(name)}",
            "One bar a group, all of one length, split by fate; the table below holds the counts.",
            "Parts are shares of the group's own rows, which stand at the right."
            + _capped(len(by_group)),
        ),
        table(
            f"Rows by {plain(name)} and fate",
            (name, *(_words(fate) for fate in fates_), "all"),
            cells,
            numeric=range(1, len(fates_) + 2),
        ),
    ]


def lineage(page: Page, facts: CardFacts) -> None:
    """Add where this comes from, and how to read it and ask about a row."""
    root = plain(facts.output or "OUTPUT").rstrip("/")
    version = next(
        (
            facts.versions[name]
            for name in sorted(facts.versions)
            if name == "publication/training_set" or name.endswith("/training_set")
        ),
        None,
    )
    pinned = "" if version is None else f", version={version}"
    lines = (
        f"import polars as pl\nrows = pl.read_delta({root + '/publication/training_set'!r}{pinned})"
    )
    known = facts.samples["record_id"].drop_nulls()
    example = plain(known[0]) if len(known) else "RECORD_ID"
    versions: object = empty("The release names no table versions.")
    if facts.versions:
        versions = table(
            "Tables of this release",
            ("table", "version"),
            [
                (foreign(name), count(facts.versions[name]))
                for name in sorted(facts.versions, key=natural)
            ],
            numeric=(1,),
            most=120,
            elsewhere="publication/releases",
        )
    page.section(
        "lineage",
        "Lineage, and how to read it",
        paragraph(
            "The release pins one version of every table; only these are promised to fit together."
        ),
        definitions(
            {
                "release": count(facts.release),
                "run": code(facts.run_id or "—"),
                "recipe hash": code(facts.recipe_hash or "—"),
                "code version": code(facts.code_version or "—"),
                "time": facts.time or "—",
                "a budget counts": facts.unit,
                "tables lie in": code(facts.output or "—"),
            }
        ),
        element("h3", "Read the training set"),
        Markup(f"<pre><code>{escape(lines)}</code></pre>"),
        element("h3", "Ask what became of a row"),
        Markup(f"<pre><code>{escape(f'sluice trace {example} --recipe RECIPE')}</code></pre>"),
        paragraph(
            "It takes a record id, or a table and a position in it, written TABLE#POSITION, and answers "
            "for rows that were dropped too.",
            class_="note",
        ),
        element("h3", "Versions"),
        versions,
    )
