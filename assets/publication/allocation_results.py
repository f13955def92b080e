"""Parts on what trained models did to the groups: before and after, gaps, levelling down, group metrics, cells."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from assets.allocation import group_metrics as fairlearn_metrics
from assets.allocation.group_metrics import GroupMetrics, default_metrics, group_metrics
from assets.allocation.results import Results
from assets.publication import card_sections_fairness as shared
from assets.publication import plots
from assets.publication.card_format import count, number, plain
from assets.publication.card_html import Markup, Page, element, foreign, paragraph, table
from assets.publication.card_plots_change import MOST_ARMS
from assets.publication.card_sections_rows import empty

DRAWS = 100
_SAID = {
    "overall": "overall",
    "worst": "worst group",
    "gap": "gap, best less worst",
    "ratio": "ratio, worst to best",
    "equity_scaled": "equity-scaled, by absolute differences",
    "equity_scaled_sd": "equity-scaled, by standard deviation",
}


@dataclass(frozen=True)
class GroupMetricsFound:
    """Group metrics of every arm, or why there are none."""

    by_arm: dict[str, GroupMetrics] = field(default_factory=dict)
    why_not: str = "No predictions were given."


def group_metrics_of(results: Results) -> GroupMetricsFound:
    """Return group metrics of each arm's first seed, where results are predictions and Fairlearn is there."""
    rows = results.predictions
    if rows is None:
        return GroupMetricsFound(
            why_not="The results hold one metric a group, not predictions. Give a row a prediction (group, arm, seed, "
            "truth, predicted) for further metrics."
        )
    if not fairlearn_metrics.available():
        return GroupMetricsFound(why_not=f"Not computed: {fairlearn_metrics.REMEDY}.")
    found = {}
    for arm in results.arms:
        one = rows.filter(pl.col("arm") == arm)
        one = one.filter(pl.col("seed") == one["seed"].min())
        truth, predicted = one["truth"].to_list(), one["predicted"].to_list()
        found[arm] = group_metrics(
            default_metrics(rows["truth"].to_list()),
            truth,
            predicted,
            one["group"].to_list(),
            draws=DRAWS,
            least=results.least,
        )
    return GroupMetricsFound(found, "")


def measured(page: Page, results: Results | None, metrics: GroupMetricsFound) -> list[object]:
    """Return the parts on results; without any, how to give them."""
    if results is None:
        return [
            empty(
                "No results of training were given, so what the division did is not known. Train and evaluate, then "
                "give --results FILE with group, arm, seed and metric, or with predictions."
            )
        ]
    name = plain(results.metric)
    runs = "one seed, so without intervals" if results.seeds == 1 else f"{results.seeds} seeds"
    return [
        paragraph(
            f"{len(results.arms)} arms, each trained and evaluated with {runs}. All are compared with ",
            element("b", foreign(results.arms[0])),
            ", seed by seed; intervals are 95 % of Student's t over the seeds.",
        ),
        shared.notes(results.warnings),
        *([] if results.warnings or results.seeds == 1 else [_no_level_down()]),
        page.figure(
            plots.before_and_after(results.change.filter(~pl.col("suppressed")), results.metric),
            f"{name} by group before and after",
            "A row a group, a dot an arm with its 95 % interval; the table below holds the numbers.",
            "Grey: what the others are compared with."
            + (
                f" The first {MOST_ARMS} of {len(results.arms)} arms are drawn."
                if len(results.arms) > MOST_ARMS
                else ""
            ),
        ),
        _changes(results),
        _measures(results),
        *_metric_tables(metrics),
        *shared.cells(
            page,
            results.cells,
            "group",
            results.metric,
            results.least,
            caption=f"Of {plain(results.arms[-1])}, its first seed. ",
        ),
    ]


def _no_level_down() -> Markup:
    return paragraph(
        "No levelling down: no arm closed the gap by making groups worse beyond their intervals.",
        class_="note",
    )


def _changes(results: Results) -> Markup:
    rows = []
    for row in results.change.iter_rows(named=True):
        if row["suppressed"]:
            rows.append((foreign(row["group"]), foreign(row["arm"]), *("suppressed",) * 4))
            continue
        first = row["arm"] == results.arms[0]
        verdict = {True: "told apart", False: "not distinguishable", None: "—"}[row["told_apart"]]
        rows.append(
            (
                foreign(row["group"]),
                foreign(row["arm"]),
                count(row["rows"]),
                _ranged(row["value"], row["lo95"], row["hi95"]),
                "—" if first else _ranged(row["gain"], row["gain_lo95"], row["gain_hi95"]),
                "—" if first else verdict,
            )
        )
    return table(
        f"{plain(results.metric)} by group and arm, with 95 % intervals",
        ("group", "arm", "rows", "value", "change", "from the first arm"),
        rows,
        numeric=(2, 3, 4),
        most=400,
        collapsed=len(rows) > 24,
    )


def _measures(results: Results) -> Markup:
    by = {(row["arm"], row["measure"]): row for row in results.measures.iter_rows(named=True)}
    weighed = "weighted by rows" if results.weighted else "each group once"
    return table(
        f"Arms as wholes, with 95 % intervals; overall is the mean over groups, {weighed}. Equity-scaled scores "
        "depend on how many groups there are and compare no two groupings",
        ("measure", *(foreign(arm) for arm in results.arms)),
        [
            (
                said,
                *(
                    _ranged(*(by[arm, measure][c] for c in ("value", "lo95", "hi95")))
                    for arm in results.arms
                    if (arm, measure) in by
                ),
            )
            for measure, said in _SAID.items()
            if (results.arms[0], measure) in by
        ],
        numeric=range(1, len(results.arms) + 1),
        collapsed=False,
    )


def _ranged(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return number(value)
    digits = 3 if max(abs(value), high - low) < 10 else 1
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", "−")


def _metric_tables(metrics: GroupMetricsFound) -> list[object]:
    parts: list[object] = [element("h3", "Group metrics")]
    if not metrics.by_arm:
        return [*parts, empty(metrics.why_not)]
    parts.append(
        paragraph(
            f"Through Fairlearn's MetricFrame, of each arm's first seed; intervals are 95 % over {DRAWS} bootstrap "
            "draws of rows. Suppressed groups are in no gap."
        )
    )
    for arm, found in metrics.by_arm.items():
        names = found.gaps["metric"].to_list() or [
            c for c in found.by_group.columns if f"{c}_lo95" in found.by_group.columns
        ]
        parts.append(
            table(
                f"Metrics by group: {plain(arm)}",
                ("group", "rows", *names),
                [
                    (foreign(row["group"]), *("suppressed",) * (1 + len(names)))
                    if row["suppressed"]
                    else (
                        foreign(row["group"]),
                        count(row["rows"]),
                        *(_ranged(row[n], row[f"{n}_lo95"], row[f"{n}_hi95"]) for n in names),
                    )
                    for row in found.by_group.iter_rows(named=True)
                ],
                numeric=range(1, 2 + len(names)),
            )
        )
        parts.append(
            table(
                f"Gaps between groups: {plain(arm)}",
                ("metric", "overall", "lowest", "highest", "difference", "ratio"),
                [
                    (
                        row["metric"],
                        *(
                            _ranged(row[p], row[f"{p}_lo95"], row[f"{p}_hi95"])
                            for p in ("overall", "group_min", "group_max", "difference", "ratio")
                        ),
                    )
                    for row in found.gaps.iter_rows(named=True)
                ],
                numeric=range(1, 6),
            )
        )
    return parts
