"""Section on groups: how each fared through the stages, and by which fates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, natural, plain, plural, share
from assets.publication.card_html import (
    Page,
    foreign,
    paragraph,
    table,
)
from assets.publication.card_plots_rows import fate_rows, group_rows

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts
from assets.publication.card_sections_rows import empty, words


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
        parts += [
            paragraph(
                f"Rows left after each step, for {plural(len(held), 'value')} of ",
                foreign(name),
                ". ",
                _explained(steps),
                *_worst(held, steps),
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


_MEANING = {
    "unique": "after twins and evaluation rows are gone",
    "kept": "after the quality cut",
    "offered": "what the plan could choose from, without the rows held out for measuring",
    "planned": "what the plan asks for",
}


def _explained(steps: list[str]) -> str:
    known = [f"“{step}” is {_MEANING[step]}" for step in steps if step in _MEANING]
    return f"{'; '.join(known)}." if known else ""


def _worst(held: dict[str, dict[str, int]], steps: list[str]) -> tuple[object, ...]:
    if len(held) == 1:
        return ()
    lost = min(held, key=lambda one: (_ratio(held[one], steps), natural(one)))
    return (
        f" The smallest share from {steps[0]} to {steps[-1]} is that of ",
        foreign(lost),
        f": {share(held[lost][steps[-1]], held[lost][steps[0]])}.",
    )


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
            (name, *(words(fate) for fate in fates_), "all"),
            cells,
            numeric=range(1, len(fates_) + 2),
        ),
    ]
