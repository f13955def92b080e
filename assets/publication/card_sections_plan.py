"""Section on the budget: training curves, candidate plans, and what the data can't say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, natural, number, plain, plural
from assets.publication.card_html import (
    Page,
    element,
    foreign,
    paragraph,
    table,
)
from assets.publication.card_mixtures import held_out_mixtures
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
    parts += held_out_mixtures(facts.mixture_check)
    if facts.merging:
        parts.append(paragraph(f"Modular merging: {facts.merging}."))
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
        law = _law_of(bands, metric, alone=len(every) == 1)
        parts.append(
            page.figure(
                plots.curve_panels(
                    part,
                    law,
                    by="pool",
                    predicted="predicted",
                    unit="records",
                ),
                f"Training curves by pool{'' if metric is None else f': {plain(metric)}'}",
                f"One panel a pool: {plural(part.height, 'measured point')}, the fitted curve and its "
                "80 % band; the table below holds the points.",
                "Circles: measured, with one standard error. Line and band: the fitted law and its 80 % "
                "interval. Grey: the laws of the other pools."
                + (
                    ""
                    if law.height
                    else " No law is known for this metric, so only points are drawn."
                ),
            )
        )
    # the law at each point is optional, and columns of dashes would only be noise
    law_columns = [
        (column, title)
        for column, title in (("law_value", "law"), ("lo80", "law, low"), ("hi80", "law, high"))
        if points[column].null_count() < points.height
    ]
    parts.append(
        table(
            "Evaluations by pool",
            (
                *("pool", "seen", "unique", "metric", "value", "se", "seed"),
                *(title for _, title in law_columns),
            ),
            [
                (
                    foreign(row["pool"] or "—"),
                    count(row["samples_seen"]),
                    count(row["unique"]),
                    foreign(row["metric_name"] or "—"),
                    *(number(row[name]) for name in ("metric_value", "se")),
                    "—" if row["seed"] is None else str(row["seed"]),
                    *(number(row[column]) for column, _ in law_columns),
                )
                for row in sorted(
                    points.iter_rows(named=True), key=lambda row: natural(row["pool"] or "")
                )
            ],
            numeric=(1, 2, 4, 5, *range(6, 7 + len(law_columns))),
            most=300,
            elsewhere="filtering/curves",
        )
    )
    return parts


def _instead(row: dict[str, Any], best: pl.DataFrame) -> tuple[object, ...]:
    """Say which plan has the least regret where another was chosen, and why, as far as it is known."""
    least = next(
        (one for one in best.iter_rows(named=True) if one["budget"] == row["budget"]), None
    )
    if least is None or least["regret"] is None or least["pools"] == row["pools"]:
        return ()
    odds = "" if least["p_best"] is None else f", best with probability {number(least['p_best'])}"
    why = (
        "; both are within half the noise of one run of the best prediction, which counts as a tie, and "
        "of tied plans the one that repeats its records least is taken."
        if row.get("tie") and least.get("tie")
        else "."
    )
    return (
        " The least expected regret is that of ",
        element("b", foreign(least["pools"] or "—")),
        f" (predicted {number(least['predicted'])}{odds}){why}",
    )


def _law_of(bands: pl.DataFrame, metric: str | None, *, alone: bool) -> pl.DataFrame:
    """Return the law that predicts a metric; none where it is not said which one it predicts."""
    if "metric_name" in bands.columns:
        return bands.filter(pl.col("metric_name") == metric)
    return bands if alone else bands.clear()


def _plans(page: Page, facts: CardFacts) -> list[object]:
    plans = facts.plans
    best = frontier(plans)
    chosen = plans.filter(pl.col("chosen").fill_null(value=False))
    parts: list[object] = []
    for row in chosen.iter_rows(named=True):
        odds = (
            ""
            if row["p_best"] is None
            else f" It is the best one with probability {number(row['p_best'])}, and costs "
            f"{number(row['regret'])} of the metric against the best on average."
        )
        parts.append(
            paragraph(
                f"For {number(row['budget'])} {facts.unit} the chosen plan is ",
                element("b", foreign(row["pools"] or "—")),
                f", with a predicted metric of {number(row['predicted'])} (80 % interval "
                f"{number(row['lo80'])} to {number(row['hi80'])}).{odds}",
                *_instead(row, best),
                " This release follows it." if row.get("published") else "",
            )
        )
    if chosen.is_empty():
        parts.append(paragraph("No plan is marked as the chosen one."))
    parts.append(
        page.figure(
            plots.plan_frontier(plans, facts.switch_points, facts.unit),
            "Predicted metric by budget",
            f"{plural(plans['pools'].n_unique(), 'candidate plan')} at "
            f"{plural(best.height, 'budget')}, that of least regret at each as a heavy line with its 80 % band.",
            "Heavy line: the candidate of least expected regret at each budget, with its 80 % "
            "interval. Star: the chosen plan. "
            "Dotted: budgets at which the best plan changes; those far off are in the table only. Grey: "
            "further candidates.",
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
                            ("least regret", (row["budget"], row["pools"]) in winners),
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
