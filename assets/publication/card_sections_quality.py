"""Section on quality: scores, pools, records to judge by eye, and where scorers were silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.publication import plots
from assets.publication.card_format import count, number, plural, share
from assets.publication.card_html import (
    Markup,
    Page,
    element,
    foreign,
    joined,
    meter,
    paragraph,
    table,
)
from assets.publication.card_sections_rows import empty

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts

_SAMPLES, _CHARACTERS = 30, 1200


def quality(page: Page, facts: CardFacts) -> None:
    """Add the scores, the pools, a few records to judge by eye, and where scorers were silent."""
    parts: list[object] = []
    filled = {name: frame for name, frame in facts.scores.items() if not frame.is_empty()}
    hollow = [name for name, frame in facts.scores.items() if frame.is_empty()]
    if filled:
        parts += [
            page.figure(
                plots.score_histograms(filled),
                "Scores by scorer",
                f"{plural(len(filled), 'histogram')}, one a scorer; the table below holds the bins.",
                "Each scorer has a scale of its own; the height is relative to the fullest bin. The outermost "
                "bins also hold what lies beyond them.",
            ),
            table(
                "Histogram bins by scorer",
                ("scorer", "from", "to", "rows"),
                [
                    (foreign(name), number(low), number(high), count(rows))
                    for name, frame in filled.items()
                    for low, high, rows in frame.select("low", "high", "rows").iter_rows()
                ],
                numeric=(1, 2, 3),
                most=400,
                collapsed=True,
                elsewhere="scoring/scores",
            ),
        ]
    else:
        parts.append(empty("No scorer gave a score, so there is no quality to show."))
    if hollow:
        parts.append(
            paragraph("Scorers that gave no score at all: ", foreign(", ".join(hollow)), ".")
        )
    parts.append(element("h3", "Quality by pool"))
    if facts.quality_by_pool.is_empty():
        parts.append(empty("The records were not divided into quality pools."))
    else:
        total = int(facts.quality_by_pool["rows"].sum())
        parts += [
            page.figure(
                plots.pool_quality(facts.quality_by_pool),
                "Quality by pool",
                "One bar a pool from the 10th to the 90th percentile of its quality, with the median marked.",
                "Pool 0 is the best. A bar runs from the 10th to the 90th percentile; the blue mark is the "
                "median.",
            ),
            table(
                "Quality by pool",
                ("pool", "10 % below", "median", "10 % above", "rows", "share", ""),
                [
                    (
                        "none" if row["pool"] is None else str(row["pool"]),
                        number(row["low"]),
                        number(row["median"]),
                        number(row["high"]),
                        count(row["rows"]),
                        share(row["rows"] or 0, total),
                        meter(row["rows"] or 0, total),
                    )
                    for row in facts.quality_by_pool.iter_rows(named=True)
                ],
                numeric=(1, 2, 3, 4, 5),
            ),
        ]
    parts += _samples(facts)
    parts.append(element("h3", "Where a scorer was silent"))
    if facts.silences.is_empty():
        parts.append(
            empty("Every scorer that ran gave every record a score.")
            if filled
            else empty("No scorer ran, so none was silent.")
        )
    else:
        parts += [
            paragraph("A rule that does not apply gives no score, rather than a bad one."),
            table(
                "Records without a score, by scorer and reason",
                ("scorer", "reason", "records"),
                [
                    (
                        foreign(row["scorer"] or "—"),
                        foreign(row["reason"] or "—"),
                        count(row["rows"]),
                    )
                    for row in facts.silences.iter_rows(named=True)
                ],
                numeric=(2,),
                most=120,
            ),
        ]
    page.section("quality", "Quality", *parts)


def _samples(facts: CardFacts) -> list[object]:
    parts: list[object] = [element("h3", "Records to judge by eye")]
    if facts.samples.is_empty():
        return [*parts, empty("No record was picked as a sample.")]
    order = {"best": 0, "median": 1, "worst": 2}
    rows = sorted(
        facts.samples.iter_rows(named=True),
        key=lambda row: (
            order.get(row["where"] or "", 3),
            row["where"] or "",
            -(row["quality"] if row["quality"] is not None else -1e308),
            row["record_id"] or "",
        ),
    )
    shown: list[object] = []
    for row in rows[:_SAMPLES]:
        place = "" if row["position"] is None else f"#{row['position']}"
        shown.append(
            element(
                "div",
                paragraph(
                    element("b", row["where"] or "sample"),
                    f" · quality {number(row['quality'])} · ",
                    foreign(f"{row['table'] or '—'}{place}"),
                    " · ",
                    element("code", foreign(row["record_id"] or "—")),
                ),
                _text(row["text"]),
                class_="record",
            )
        )
    left = len(rows) - _SAMPLES
    more = (
        [paragraph(f"{plural(left, 'further sample')} not shown.", class_="note")]
        if left > 0
        else []
    )
    return [*parts, joined(shown, "\n"), *more]


def _text(text: str | None) -> Markup:
    if text is None:
        return paragraph("This record has no text: it holds features or points to a file.")
    if not text.strip():
        return paragraph("The text of this record is blank.")
    cut = text[:_CHARACTERS]
    tail = f"… ({count(len(text))} characters in all)" if len(text) > _CHARACTERS else ""
    return element("div", cut, tail, dir="auto")
