"""Section on lineage: where a release comes from, and how to read it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from assets.publication.card_format import count, escape, natural, plain
from assets.publication.card_html import (
    Markup,
    Page,
    code,
    definitions,
    element,
    foreign,
    paragraph,
    table,
)

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts
from assets.publication.card_sections_rows import empty


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
    asking = f"sluice trace {example} --output {shlex.quote(root)} --release {facts.release}"
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
                "calibration": facts.calibration or "—",
                "time": facts.time or "—",
                "a budget counts": facts.unit,
                "tables lie in": code(facts.output or "—"),
            }
        ),
        element("h3", "Read the training set"),
        Markup(f"<pre><code>{escape(lines)}</code></pre>"),
        element("h3", "Ask what became of a row"),
        Markup(f"<pre><code>{escape(asking)}</code></pre>"),
        paragraph(
            "It takes a record id, or a table and a position in it, written TABLE#POSITION, and answers "
            "for rows that were dropped too.",
            class_="note",
        ),
        element("h3", "Versions"),
        versions,
    )
