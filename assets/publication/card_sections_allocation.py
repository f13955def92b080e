"""Section on the allocation: how groups share the budget, on what curves, and who said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from assets.publication import card_sections_fairness as shared
from assets.publication import plots
from assets.publication.card_format import count, natural, number, plain, plural, share
from assets.publication.card_html import (
    Markup,
    Page,
    definitions,
    element,
    foreign,
    joined,
    paragraph,
    table,
)
from assets.publication.card_plots_allocation import by_group
from assets.publication.card_sections_rows import empty
from assets.publication.frames import LEAST, marginal_values

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts

#: Codes of warnings that are told beside the division as well.
DIVISION = frozenset({"not_distinguishable", "no_curve", "unallocatable", "unreachable"})


def allocation(page: Page, facts: CardFacts) -> None:
    """Add how the budget was divided, on what curves, and who said so."""
    name = facts.group_name or "group"
    parts: list[object] = [_policy(facts), shared.notes(_honest(facts))]
    groups = by_group(facts.allocation)
    if groups.is_empty():
        parts.append(
            empty("There is no allocation, so no group was given more or less than it had.")
        )
    else:
        drawn, unique = int(groups["samples"].sum()), int(groups["records"].sum())
        parts += [
            paragraph(
                f"{plural(drawn, 'record')} drawn in all over {plural(groups.height, 'group')}, "
                f"repeats included, from {plural(unique, 'unique record')}."
            ),
            page.figure(
                plots.allocation_bars(facts.allocation, "records", facts.rules),
                f"Available and chosen by {plain(name)}",
                "One bar a group with what is available and what is drawn, and marks for a proportional "
                "and an equal division; the table below holds the numbers.",
                "Two simple rules stand beside the choice: the same total in proportion to what is "
                "available (triangle), and in equal parts (upright line), which may ask for more than there is."
                if facts.rules.is_empty()
                else "Marks: what simple rules would draw for the same budget, within the same caps and floors.",
            ),
            table(
                f"Allocation by {plain(name)}",
                (
                    name,
                    "available",
                    "drawn",
                    "unique",
                    "passes",
                    "share",
                    "proportional",
                    "equal",
                    "marginal value",
                ),
                [
                    (
                        foreign(row["group"]),
                        count(row["available"]),
                        count(row["samples"]),
                        count(row["records"]),
                        number(row["passes"]),
                        share(row["samples"] or 0, drawn),
                        count(round(row["proportional"] or 0)),
                        count(round(row["equal"] or 0)),
                        number(row["marginal_value"]),
                    )
                    for row in groups.iter_rows(named=True)
                ],
                numeric=range(1, 9),
            ),
            _cells(facts, name),
        ]
    if not facts.rules.is_empty():
        parts.append(shared.rule_table(facts.rules, name))
    parts += _group_curves(page, facts, name, groups)
    if facts.policy:
        parts += shared.price(
            page,
            facts.sweep,
            facts.rule_points,
            facts.chosen,
            facts.weighted or "a mean over groups",
        )
        parts += shared.collect(page, marginal_values(facts.allocation), name)
        parts.append(
            paragraph(
                "A release trains nothing, so a group's metric before and after is not here: train on it, "
                "evaluate, and give the results to ",
                element("code", "sluice allocate PROBLEM.json --report FILE --results RESULTS"),
                ".",
                class_="note",
            )
        )
    if not facts.intersections.is_empty():
        parts += shared.cells(
            page, facts.intersections, name, "records", LEAST, caption="Published records. "
        )
    if not facts.clauses.is_empty():
        parts += shared.clause_table(facts.clauses)
    page.section("allocation", "Allocation between groups", *parts)


def _policy(facts: CardFacts) -> Markup:
    if not facts.policy:
        return paragraph(
            element("b", "No policy stated."),
            " Nobody has named an objective for dividing the budget between groups, so nothing was "
            "reallocated by one.",
        )
    first = [key for key in ("owner", "reason", "decided") if key in facts.policy]
    rest = sorted(set(facts.policy) - set(first))
    return joined(
        [
            paragraph(
                "The division of the budget is a decision of people. This one was stated as:"
            ),
            definitions({plain(key): foreign(facts.policy[key]) for key in [*first, *rest]}),
        ]
    )


def _honest(facts: CardFacts) -> list[str]:
    """Return the warnings that are of the division: what can't be told apart, who has no curve, who can't reach."""
    return [
        f"{one['message']}; {one['remedy']}" if one.get("remedy") else one["message"]
        for one in facts.warnings
        if one.get("code") in DIVISION
    ]


def _cells(facts: CardFacts, name: str) -> Markup:
    return table(
        f"Allocation by {plain(name)} and pool",
        (name, "pool", "available", "drawn", "unique", "passes", "probability", "marginal value"),
        [
            (
                foreign(row["group"] or "(no group)"),
                "—" if row["pool"] is None else str(row["pool"]),
                *(count(row[key]) for key in ("available", "samples", "records")),
                *(number(row[key]) for key in ("passes", "sampling_prob", "marginal_value")),
            )
            for row in sorted(
                facts.allocation.iter_rows(named=True), key=lambda row: natural(row["group"] or "")
            )
        ],
        numeric=range(2, 8),
        most=400,
        collapsed=True,
        elsewhere="allocation/plan",
    )


def _group_curves(page: Page, facts: CardFacts, name: str, groups: pl.DataFrame) -> list[object]:
    parts: list[object] = [element("h3", "What more data is worth to each group")]
    points, bands = facts.group_curves, facts.group_bands
    if points.is_empty() and bands.is_empty():
        return [*parts, empty("No learning curves were measured by group.")]
    sizes = {
        str(group): float(samples)
        for group, samples in groups.select("group", "samples").drop_nulls().iter_rows()
        if samples > 0
    }
    measured = {*points["group"].drop_nulls(), *bands["group"].drop_nulls()}
    blind = sorted(set(groups["group"]) - measured, key=natural)
    if blind:
        some = ", ".join(blind[:20]) + (" …" if len(blind) > 20 else "")
        parts.append(paragraph("Groups without a curve of their own: ", foreign(some), "."))
    drawn = min(60, len(measured))
    capped = f" {drawn} of {len(measured)} groups are drawn." if drawn < len(measured) else ""
    parts += [
        page.figure(
            plots.curve_panels(
                points, bands, by="group", predicted="performance", unit="records", chosen=sizes
            ),
            f"Learning curves by {plain(name)}",
            "One panel a group: measured points, the fitted curve, the band in which four of five runs "
            "fall, and the chosen size marked by a dashed line.",
            "Circles: measured, with one standard error. Line: the fitted curve. Band: where four of five "
            "single runs fall if they scatter as those that were measured; it does not say how uncertain "
            "the curve is beyond them. Dashed: the size that was chosen, repeats included; a repeat is "
            "worth at most what a fresh record is." + capped,
        ),
        table(
            f"Evaluations by {plain(name)}",
            (name, "seen", "value", "se"),
            [
                (
                    foreign(row["group"] or "(none)"),
                    count(row["samples_seen"]),
                    number(row["metric_value"]),
                    number(row["se"]),
                )
                for row in sorted(
                    points.iter_rows(named=True), key=lambda row: natural(row["group"] or "")
                )
            ],
            numeric=(1, 2, 3),
            most=300,
            collapsed=True,
            elsewhere="allocation/group_curves",
        ),
    ]
    return parts
