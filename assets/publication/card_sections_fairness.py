"""Parts on fairness that the card and the report of a stated problem share, each a figure with its table."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from assets.publication import plots
from assets.publication.card_format import count, natural, number, plain
from assets.publication.card_html import Markup, Page, element, foreign, joined, paragraph, table
from assets.publication.card_plots_marginal import CAPPED, ranked
from assets.publication.card_sections_rows import empty

Overall = tuple[float, float]


def price(
    page: Page, sweep: pl.DataFrame, points: pl.DataFrame, chosen: Overall | None, weighted: str
) -> list[object]:
    """Return overall against worst group over the aversion, with simple rules and the plan."""
    parts: list[object] = [element("h3", "What fairness costs")]
    if sweep.is_empty() and points.is_empty():
        return [*parts, empty("No group's performance can be predicted, so no price can be shown.")]
    rows = [
        *(
            (f"aversion {number(e)}", number(o), number(w))
            for e, o, w in sweep.sort("aversion").iter_rows()
        ),
        *((foreign(f"rule {rule}"), number(o), number(w)) for rule, o, w in points.iter_rows()),
        *([("the plan", number(chosen[0]), number(chosen[1]))] if chosen else []),
    ]
    return [
        *parts,
        page.figure(
            plots.price_of_fairness(sweep, points, chosen),
            "Overall against worst group as the aversion to inequality rises",
            "A line of optimal plans from aversion 0 to 20, simple rules as marks, and the plan as a star; "
            "the table below holds the numbers.",
            f"All spend the same budget. Performance is predicted from the curves; overall is {weighted}. To "
            "the right the worst group is better off; the fall of the line is what that costs the rest.",
        ),
        table(
            "Predicted overall and worst performance",
            ("choice", "overall", "worst group"),
            rows,
            numeric=(1, 2),
            collapsed=True,
        ),
    ]


def collect(page: Page, values: pl.DataFrame, name: str) -> list[object]:
    """Return where one more unit of budget is worth most."""
    parts: list[object] = [element("h3", "Where to collect next")]
    rows = ranked(values)
    if rows.is_empty():
        return [
            *parts,
            empty("No marginal values: no group has a curve, or no objective is stated."),
        ]
    return [
        *parts,
        page.figure(
            plots.where_to_collect(rows),
            f"Worth of one more unit of budget by {plain(name)}",
            "A bar a group, largest first; hatched where all of the group's data is taken. The table below "
            "holds the numbers.",
            "At an optimum the groups that no bound holds have the same worth. Longer bars are held back by a "
            "cap: there new data would help most; shorter ones are held up by a floor or get nothing.",
        ),
        table(
            f"Marginal value by {plain(name)}",
            (name, "gain of one more unit", "all taken"),
            [
                (
                    foreign(row["group"]),
                    number(row["marginal_value"]),
                    "yes" if row["bound"] == CAPPED else "no",
                )
                for row in rows.iter_rows(named=True)
            ],
            numeric=(1,),
            collapsed=True,
        ),
    ]


def rule_table(rules: pl.DataFrame, name: str) -> Markup:
    """Return what simple rules would draw, a row a group."""
    names = rules["rule"].unique(maintain_order=True).sort().to_list()
    wide = rules.pivot(on="rule", index="group", values="samples", maintain_order=True)
    rows = sorted(wide.iter_rows(named=True), key=lambda row: natural(row["group"] or ""))
    return table(
        "What simple rules would draw for the same budget, within the same caps and floors",
        (name, *(foreign(rule) for rule in names)),
        [
            (foreign(row["group"] or "(no group)"), *(number(row[rule]) for rule in names))
            for row in rows
        ],
        numeric=range(1, 1 + len(names)),
        most=400,
        collapsed=True,
        elsewhere="allocation/report",
    )


def cells(
    page: Page, crossed: pl.DataFrame, down: str, value: str, least: int, *, caption: str = ""
) -> list[object]:
    """Return a value by the group and one further attribute, a figure an attribute."""
    parts: list[object] = [element("h3", "Intersections")]
    if crossed.is_empty():
        return [*parts, empty("The groups are crossed with no further attribute.")]
    for attribute in sorted(crossed["attribute"].unique().to_list(), key=natural):
        part = crossed.filter(pl.col("attribute") == attribute)
        hidden = int(part["suppressed"].sum())
        parts += [
            page.figure(
                plots.intersections(part, down, attribute, value),
                f"{plain(value)} by {plain(down)} and {plain(attribute)}",
                "A shaded cell a pair with its number, hatched where too few rows fall into it; the table "
                "below holds the numbers.",
                f"{caption}Cells of fewer than {least} rows are suppressed, and where a row or column would "
                "have one such cell, the next smallest in it too, since a total would give it away: "
                f"{hidden} of {part.height}. A pair that nothing falls into is blank.",
            ),
            table(
                f"{plain(value)} by {plain(down)} and {plain(attribute)}",
                (down, attribute, *(("rows",) if value != "records" else ()), value),
                [
                    (
                        foreign(row["down"]),
                        foreign(row["across"]),
                        *(
                            ("suppressed",) * (1 + (value != "records"))
                            if row["suppressed"]
                            else (
                                *((count(row["rows"]),) if value != "records" else ()),
                                number(row["value"]),
                            )
                        ),
                    )
                    for row in part.sort("down", "across").iter_rows(named=True)
                ],
                numeric=(2, 3) if value != "records" else (2,),
                collapsed=True,
            ),
        ]
    return parts


def clause_table(evidence: pl.DataFrame) -> list[object]:
    """Return the table from clauses to artefacts, with what was found."""
    missing = evidence.filter(~pl.col("state").str.starts_with("there"))
    return [
        element("h3", "Clauses and artefacts"),
        paragraph(
            "Which artefact speaks to which clause, and whether it was found when this page was written: "
            f"{evidence.height - missing.height} of {evidence.height} were. Clauses are paraphrased. That an "
            "artefact is there does not say that it suffices; that is for a lawyer to say."
        ),
        table(
            "Clauses of data-governance rules and the artefacts that speak to them",
            ("clause", "asks for", "artefact", "place", "found"),
            [
                (
                    row["clause"],
                    row["asks"],
                    row["artefact"],
                    element("code", foreign(row["place"])),
                    element("b", row["state"])
                    if not row["state"].startswith("there")
                    else row["state"],
                )
                for row in evidence.iter_rows(named=True)
            ],
            most=60,
            collapsed=False,
        ),
    ]


def notes(texts: Sequence[str]) -> object:
    """Return what a reader must know before the pictures, a paragraph each."""
    return joined(element("div", paragraph(foreign(text)), class_="warn") for text in texts)
