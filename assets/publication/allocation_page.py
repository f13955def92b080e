"""One page about a stated problem: its policy, its answer, six pictures, what was measured, and what rules ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from assets.allocation.comparisons import (
    aversion_sweep,
    best_attainable,
    out_of_reach,
    overall_and_worst,
    overall_weights,
    rule_points,
    rule_samples,
)
from assets.allocation.curve_evidence import CurveEvidence, curve_evidence
from assets.allocation.problem import records_of
from assets.allocation.results import Results, read_results
from assets.publication import card_sections_fairness as shared
from assets.publication import plots
from assets.publication.allocation_results import GroupMetricsFound, group_metrics_of, measured
from assets.publication.card_format import count, number
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
from assets.publication.clauses import PROBLEM, evidence
from assets.publication.croissant import problem_fields


@dataclass(frozen=True)
class AllocationFacts:
    """All that the page shows; frames are as the functions that make them say."""

    problem: Mapping[str, Any]
    answer: Mapping[str, Any]
    curves: CurveEvidence
    sweep: pl.DataFrame
    points: pl.DataFrame
    rules: pl.DataFrame
    chosen: tuple[float, float] | None
    weighted: str
    best: list[float]
    results: Results | None = None
    metrics: GroupMetricsFound = field(default_factory=GroupMetricsFound)


def gather(
    problem: Mapping[str, Any],
    answer: Mapping[str, Any],
    *,
    evaluations: pl.DataFrame | None = None,
    results: pl.DataFrame | None = None,
) -> AllocationFacts:
    """Compute what the page shows.

    Parameters
    ----------
    problem, answer
        As `assets.allocation.answer.allocate` takes and gives them.
    evaluations
        Measured learning curves; see `assets.allocation.group_curves.fit_group_curves`.
    results
        Of trained models; see `assets.allocation.results.read_results`.

    Raises
    ------
    CurveError, ResultsError
        Evaluations or results can't be read.

    Notes
    -----
    Eleven further solves, and with evaluations 200 draws of the curves.
    """
    spend = float(answer["spend"] if problem.get("budget") is None else problem["budget"])
    weight, weighted = overall_weights([g.get("weight") for g in problem["groups"]])
    counts = rule_samples(problem, spend)
    names = [str(g["name"]) for g in problem["groups"]]
    rules = pl.DataFrame(
        [(r, n, s) for r, by in counts.items() for n, s in zip(names, by, strict=True)],
        schema={"rule": pl.String, "group": pl.String, "samples": pl.Float64},
        orient="row",
    )
    read = None if results is None else read_results(results)
    return AllocationFacts(
        problem=problem,
        answer=answer,
        curves=curve_evidence(problem, answer, evaluations),
        sweep=aversion_sweep(problem, budget=spend),
        points=rule_points(problem, spend),
        rules=rules,
        chosen=overall_and_worst([e["performance"] for e in answer["allocation"]], weight),
        weighted=weighted,
        best=best_attainable(problem),
        results=read,
        metrics=GroupMetricsFound() if read is None else group_metrics_of(read),
    )


def allocation_page(facts: AllocationFacts) -> str:
    """Return the page, complete in one file, for screens light and dark and for paper.

    Notes
    -----
    Nothing is loaded from outside and no script runs. Equal facts give equal bytes.
    """
    page = Page()
    page.section("policy", "Who decided what", *_policy(facts))
    page.section("groups", "The division", *_division(facts))
    page.section("curves", "What more data is worth", *_curves(page, facts))
    page.section(
        "price",
        "Overall and worst group",
        *shared.price(page, facts.sweep, facts.points, facts.chosen, facts.weighted),
    )
    page.section("collect", "Next", *shared.collect(page, _values(facts), "group"))
    page.section("measured", "Before and after", *measured(page, facts.results, facts.metrics))
    fields = problem_fields(facts)
    page.section(
        "rules",
        "For the record",
        *shared.clause_table(evidence(PROBLEM, _found(facts))),
        element("h3", "Croissant-RAI"),
        definitions({key: foreign(value) for key, value in fields.items()}),
        paragraph("Not legal advice.", class_="note"),
    )
    return page.render("Equitable allocation", _header(facts))


def _header(facts: AllocationFacts) -> Markup:
    answer, budget = facts.answer, facts.problem.get("budget")
    known = [e for e in answer["allocation"] if e["performance"] is not None]
    worst = min(known, key=lambda e: e["performance"]) if known else None
    told: list[object] = [
        f"{number(answer['spend'])} is spent"
        + (f" of a budget of {number(budget)}" if budget is not None else ", the least that does")
        + f" on {count(len(answer['allocation']))} groups."
    ]
    if worst is not None:
        told += [
            " The worst-off is ",
            foreign(worst["group"]),
            f" at {number(worst['performance'])}.",
        ]
    if answer["shadow_price"] is not None:
        told.append(
            f" One more unit of budget would add {number(answer['shadow_price'])} to the objective."
        )
    return joined(
        [
            element("h1", "Equitable allocation"),
            paragraph(
                f"objective {number(answer['objective'])} · KKT residual {answer['kkt_residual']:.2g}",
                class_="kicker",
            ),
            paragraph(*told, class_="lead"),
            shared.notes(_notes(facts)),
        ]
    )


def _notes(facts: AllocationFacts) -> list[str]:
    """Return warnings, what can't be told apart, who can't be given anything, and who can't reach the others."""
    told = [str(w) for w in facts.answer["warnings"]]
    for rule, found in facts.curves.rules.items():
        if found["verdict"] == "better":
            continue
        low, high = number(found["gain_lo80"]), number(found["gain_hi80"])
        told.append(
            f"{found['verdict']}: against the rule {rule.replace('_', ' ')} the plan's gain in the objective is "
            f"between {low} and {high} in four of five draws of the measured curves"
            + ("; the simple rule does as well" if found["verdict"] != "same plan" else "")
        )
    for name, status, remedy in facts.curves.without.iter_rows():
        told.append(
            f"unallocatable: group {name} ({status.replace('_', ' ')})"
            + (f"; {remedy}" if remedy else "")
        )
    if facts.problem["objective"]["kind"] in ("max_min", "leximin"):
        told += [
            f"unreachable: group {name} gets to {number(best)} at most, with all of its data, which stays behind every "
            "other group on the stated level. More records of it, or better ones, would be needed"
            for name, best in out_of_reach(facts.problem, facts.answer)
        ]
    return told


def _policy(facts: AllocationFacts) -> list[object]:
    problem = facts.problem
    who = problem.get("policy") or {}
    stated = {k: str(v) for k, v in problem["objective"].items() if v is not None}
    pairs: dict[str, object] = {
        "objective": foreign(", ".join(f"{k} {v}" for k, v in stated.items())),
        "budget": number(problem.get("budget")) if problem.get("budget") is not None else "none",
        "weights": foreign(_by_group(problem, "weight") or "none stated"),
        "costs": foreign(_by_group(problem, "cost") or "by pool"),
        "floors": foreign(_by_group(problem, "floor") or "none stated"),
        "set by": foreign(who.get("owner") or "nobody is named"),
        "reason": foreign(who.get("reason") or "none is given"),
        "decided": foreign(who.get("decided") or "no date is given"),
    }
    parts: list[object] = [
        paragraph("The division of a budget is a decision of people. This one was stated as:"),
        definitions(pairs),
    ]
    if not who:
        parts.append(
            paragraph(
                "Name who decided, why and when in the problem: ",
                element("code", '"policy": {"owner": "…", "reason": "…", "decided": "…"}'),
                ".",
                class_="note",
            )
        )
    return parts


def _by_group(problem: Mapping[str, Any], key: str) -> str:
    known = [(g["name"], g[key]) for g in problem["groups"] if g.get(key)]
    some = ", ".join(f"{name} {number(value)}" for name, value in known[:30])
    return some + (f" and {len(known) - 30} more" if len(known) > 30 else "")


def _allocation(facts: AllocationFacts) -> pl.DataFrame:
    """Return the answer in the columns of the card's allocation, a row a group."""
    entries = facts.answer["allocation"]
    return pl.DataFrame(
        {
            "group": [str(e["group"]) for e in entries],
            "available": [records_of(g) for g in facts.problem["groups"]],
            "samples": [float(e["samples"]) for e in entries],
            "records": [float(e["records"]) for e in entries],
            "marginal_value": [e["marginal_value"] for e in entries],
        },
        schema_overrides={"marginal_value": pl.Float64},
    )


def _values(facts: AllocationFacts) -> pl.DataFrame:
    entries = facts.answer["allocation"]
    return pl.DataFrame(
        {
            "group": [str(e["group"]) for e in entries],
            "marginal_value": [e["marginal_value"] for e in entries],
            "bound": [e["bound"] for e in entries],
        },
        schema={"group": pl.String, "marginal_value": pl.Float64, "bound": pl.String},
    )


def _division(facts: AllocationFacts) -> list[object]:
    entries = facts.answer["allocation"]
    sure = any(entry.get("records_lo80") is not None for entry in entries)
    rows = [
        (
            foreign(entry["group"]),
            *(number(entry[c]) for c in ("samples", "records")),
            *([_between(entry)] if sure else []),
            *(number(entry[c]) for c in ("passes", "performance")),
            number(best),
            entry["bound"],
            number(entry["marginal_value"]),
        )
        for entry, best in zip(entries, facts.best, strict=True)
    ]
    rules = [
        (rule.replace("_", " "), number(found["objective"]), number(found["worst"]))
        for rule, found in facts.answer["baselines"].items()
    ]
    return [
        table(
            "Groups",
            (
                "group",
                "samples",
                "records",
                *(["records, 80 %"] if sure else []),
                "passes",
                "performance",
                "with all its data",
                "bound",
                "marginal value",
            ),
            rows,
            numeric=[n for n in range(1, 8 + sure) if n != 6 + sure],
        ),
        table(
            "The stated objective, and the lowest level, under simple rules",
            ("rule", "objective", "worst"),
            rules,
            numeric=(1, 2),
        ),
    ]


def _between(entry: Mapping[str, Any]) -> str:
    low, high = entry.get("records_lo80"), entry.get("records_hi80")
    return f"{number(low)} to {number(high)}" if low is not None else "—"


def _curves(page: Page, facts: AllocationFacts) -> list[object]:
    bands, points = facts.curves.bands, facts.curves.points
    held = {str(g["name"]): float(g.get("held") or 0.0) for g in facts.problem["groups"]}
    sizes = {
        str(e["group"]): held[str(e["group"])] + float(e["samples"])
        for e in facts.answer["allocation"]
        if held[str(e["group"])] + float(e["samples"]) > 0
    }
    measured_bands = bands["lo80"].null_count() < bands.height
    said = (
        "Band: 80 % of the curves that were fitted to the measured points (circles, with one standard error)."
        if measured_bands
        else "Without measurements no band can be drawn: give them with --evaluations."
    )
    return [
        page.figure(
            plots.allocation_bars(_allocation(facts), "samples", facts.rules),
            "Available, chosen and repeated samples",
            "One bar a group with what is available, drawn once and repeated, and marks for simple rules; "
            "the tables hold the numbers.",
            "Marks: what simple rules would choose for the same budget, within the same caps and floors.",
        ),
        shared.rule_table(facts.rules, "group"),
        page.figure(
            plots.curve_panels(
                points, bands, by="group", predicted="performance", unit="samples", chosen=sizes
            ),
            "Learning curves and the chosen sizes",
            "One panel a group: the stated curve, and the chosen size, with what is held, as a dashed line.",
            f"Line: the stated curve. {said} Dashed: the chosen size.",
        ),
    ]


def _found(facts: AllocationFacts) -> dict[str, int]:
    """Count what is there at each place that the clauses name."""
    problem, answer, who = facts.problem, facts.answer, facts.problem.get("policy") or {}

    def groups(key: str) -> int:
        return sum(g.get(key) is not None for g in problem["groups"])

    found = {
        "problem.objective": len(problem["objective"]),
        "problem.groups.weight": groups("weight"),
        "problem.groups.floor": groups("floor"),
        "problem.groups.available": sum(records_of(g) > 0 for g in problem["groups"]),
        "answer.sweep": facts.sweep.height,
        "answer.baselines": len(answer["baselines"]),
        "answer.marginal_value": sum(e["marginal_value"] is not None for e in answer["allocation"]),
        "evaluations.bands": facts.curves.bands["lo80"].count(),
    }
    found |= {f"problem.policy.{k}": 1 for k in ("owner", "decided") if who.get(k)}
    if facts.results is not None:
        found["results.metric"] = facts.results.change["value"].count()
        found["results.intersections"] = facts.results.cells["value"].count()
        found["results.group_metrics"] = sum(
            m.by_group.height for m in facts.metrics.by_arm.values()
        )
    return {
        place: amount
        for place, amount in found.items()
        if amount or place != "problem.groups.floor"
    }
