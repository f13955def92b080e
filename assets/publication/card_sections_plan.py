"""Sections on decisions: what the budget is worth spending on, and how groups share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

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
from assets.publication.card_plots_budget import frontier
from assets.publication.card_sections_rows import empty

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts


def budget(page: Page, facts: CardFacts) -> None:
    """Add training curves, candidate plans, where the best one changes, and the warnings."""
    parts: list[object] = []
    if facts.curves.is_empty() and facts.curve_bands.is_empty():
        parts.append(
            empty(
                "There are no training curves: without a budget every surviving record passes once, and "
                "nothing has to be predicted."
            )
        )
    else:
        parts += _curves(page, facts)
    parts.append(element("h3", "Which plan for which budget"))
    if facts.plans.is_empty():
        parts.append(empty("No plans were compared, since the recipe states no budget."))
    else:
        parts += _plans(page, facts)
    parts.append(element("h3", "What the data can't say"))
    if facts.warnings:
        parts += [
            element(
                "div",
                paragraph(
                    element("b", "Warning: "),
                    foreign(one.get("message") or "no message"),
                    " ",
                    element("code", foreign(one.get("code") or "—")),
                ),
                paragraph("Remedy: ", foreign(one.get("remedy") or "none is known")),
                class_="warn",
            )
            for one in sorted(facts.warnings, key=lambda one: sorted(one.items()))[:60]
        ]
        if len(facts.warnings) > 60:
            parts.append(
                paragraph(f"{plural(len(facts.warnings) - 60, 'further warning')} not shown.")
            )
    elif facts.curves.is_empty():
        parts.append(empty("No law was fitted, so nothing was checked."))
    else:
        parts.append(empty("No warning was raised on the curves or the plans."))
    if not facts.curves.is_empty():
        parts.append(
            paragraph(
                "Curves from proxy runs come from models far smaller than the one you will train. They can "
                "tell which pools are worth more than others, how fast repeats lose their worth, and where "
                "the order of plans changes, as far as that order holds from the proxy to your model. They "
                "can't tell the metric that your model will reach; read predicted values as a comparison "
                "of plans. Intervals cover the noise of the runs and the fit, not that step in scale."
            )
        )
    page.section("budget", "The budget", *parts)


def _curves(page: Page, facts: CardFacts) -> list[object]:
    points, bands = facts.curves, facts.curve_bands
    metrics = sorted({str(name) for name in points["metric_name"].drop_nulls()})
    pools = {*points["pool"].drop_nulls(), *bands["pool"].drop_nulls()}
    lawless = "" if bands.height else " No law was fitted, so only what was measured is drawn."
    parts: list[object] = [
        paragraph(
            f"{plural(points.height, 'evaluation')} on {plural(len(pools), 'pool')}"
            + (f", measured as {', '.join(metrics)}." if metrics else ".")
        )
    ]
    # metrics of different kinds share no scale, so each has its own figure
    every: list[str | None] = [*metrics] or [None]
    for metric in every:
        part = points if metric is None else points.filter(pl.col("metric_name") == metric)
        first = metric == every[0]
        parts.append(
            page.figure(
                plots.curve_panels(
                    part,
                    bands if first else bands.clear(),
                    by="pool",
                    predicted="predicted",
                    unit=facts.unit,
                ),
                f"Training curves by pool{'' if metric is None else f': {plain(metric)}'}",
                f"One panel a pool: {plural(part.height, 'measured point')}, the fitted curve and its "
                "80 % band; the table below holds the points.",
                "Circles: measured, with one standard error. Line and band: the fitted law and its 80 % "
                "interval. Grey: the laws of the other pools." + lawless,
            )
        )
    parts.append(
        table(
            "Evaluations by pool",
            (
                "pool",
                "seen",
                "unique",
                "metric",
                "value",
                "se",
                "seed",
                "law",
                "law, low",
                "law, high",
            ),
            [
                (
                    foreign(row["pool"] or "—"),
                    count(row["samples_seen"]),
                    count(row["unique"]),
                    foreign(row["metric_name"] or "—"),
                    *(number(row[name]) for name in ("metric_value", "se")),
                    "—" if row["seed"] is None else str(row["seed"]),
                    *(number(row[name]) for name in ("law_value", "lo80", "hi80")),
                )
                for row in sorted(
                    points.iter_rows(named=True), key=lambda row: natural(row["pool"] or "")
                )
            ],
            numeric=(1, 2, 4, 5, 6, 7, 8, 9),
            most=300,
            elsewhere="filtering/curves",
        )
    )
    return parts


def _plans(page: Page, facts: CardFacts) -> list[object]:
    plans = facts.plans
    best = frontier(plans)
    chosen = plans.filter(pl.col("chosen").fill_null(value=False))
    parts: list[object] = []
    for row in chosen.iter_rows(named=True):
        odds = (
            ""
            if row["p_best"] is None
            else f" It is the best one with probability {number(row['p_best'])}."
        )
        parts.append(
            paragraph(
                f"For {number(row['budget'])} {facts.unit} the chosen plan is ",
                element("b", foreign(row["pools"] or "—")),
                f", with a predicted metric of {number(row['predicted'])} (80 % interval "
                f"{number(row['lo80'])} to {number(row['hi80'])}).{odds}",
            )
        )
    if chosen.is_empty():
        parts.append(paragraph("No plan is marked as the chosen one."))
    parts.append(
        page.figure(
            plots.plan_frontier(plans, facts.switch_points, facts.unit),
            "Predicted metric by budget",
            f"{plural(plans['pools'].n_unique(), 'candidate plan')} at "
            f"{plural(best.height, 'budget')}, the best at each as a heavy line with its 80 % band.",
            "Heavy line: the best candidate at each budget, with its 80 % interval. Star: the chosen plan. "
            "Dotted: budgets at which the best plan changes. Grey: further candidates.",
        )
    )
    winners = set(best.select("budget", "pools").iter_rows())
    ranked = plans.sort(
        ["budget", "regret", "p_best", "pools"],
        descending=[False, False, True, False],
        nulls_last=True,
    )
    parts.append(
        table(
            "Candidate plans by budget, least regret first",
            ("budget", "pools", "predicted", "80 % low", "80 % high", "P(best)", "regret", ""),
            [
                (
                    number(row["budget"]),
                    foreign(row["pools"] or "—"),
                    *(
                        number(row[name])
                        for name in ("predicted", "lo80", "hi80", "p_best", "regret")
                    ),
                    " · ".join(
                        word
                        for word, holds in (
                            ("chosen", bool(row["chosen"])),
                            ("best", (row["budget"], row["pools"]) in winners),
                        )
                        if holds
                    ),
                )
                for row in ranked.iter_rows(named=True)
            ],
            numeric=(2, 3, 4, 5, 6),
            most=240,
            elsewhere="filtering/plan",
        )
    )
    if facts.switch_points.is_empty():
        parts.append(empty("The best plan is the same over all budgets that were compared."))
    else:
        parts.append(
            table(
                "Budgets at which the best plan changes",
                (f"from this many {facts.unit}", "instead of", "take"),
                [
                    (number(row["samples"]), foreign(row["from"] or "—"), foreign(row["to"] or "—"))
                    for row in facts.switch_points.iter_rows(named=True)
                ],
                most=60,
            )
        )
    return parts


def allocation(page: Page, facts: CardFacts) -> None:
    """Add how the budget was divided, on what curves, and who said so."""
    name = facts.group_name or "group"
    parts: list[object] = [_policy(facts)]
    groups = by_group(facts.allocation)
    if groups.is_empty():
        parts.append(
            empty("There is no allocation, so no group was given more or less than it had.")
        )
    else:
        drawn, unique = int(groups["samples"].sum()), int(groups["records"].sum())
        parts += [
            paragraph(
                f"{plural(drawn, facts.unit[:-1])} drawn in all over {plural(groups.height, 'group')}, "
                f"repeats included, from {plural(unique, 'unique record')}."
            ),
            page.figure(
                plots.allocation_bars(facts.allocation, facts.unit),
                f"Available and chosen by {plain(name)}",
                "One bar a group with what is available and what is drawn, and marks for a proportional "
                "and an equal division; the table below holds the numbers.",
                "Two simple rules stand beside the choice: the same total in proportion to what is "
                "available (triangle), and in equal parts (upright line), which may ask for more than there is.",
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
    parts += _group_curves(page, facts, name, groups)
    page.section("allocation", "Allocation between groups", *parts)


def _policy(facts: CardFacts) -> Markup:
    if not facts.policy:
        return paragraph(
            element("b", "No policy stated."),
            " Nobody has named an objective for dividing the budget between groups, so nothing was "
            "reallocated by one.",
        )
    first = [key for key in ("owner", "reason") if key in facts.policy]
    rest = sorted(set(facts.policy) - set(first))
    return joined(
        [
            paragraph(
                "The division of the budget is a decision of people. This one was stated as:"
            ),
            definitions({plain(key): foreign(facts.policy[key]) for key in [*first, *rest]}),
        ]
    )


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
                points, bands, by="group", predicted="performance", unit=facts.unit, chosen=sizes
            ),
            f"Learning curves by {plain(name)}",
            "One panel a group: measured points, the fitted curve with its 80 % band, and the chosen size "
            "marked by a dashed line.",
            "Circles: measured, with one standard error. Line and band: the fitted curve and its 80 % "
            "interval. Dashed: the size that was chosen." + capped,
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
