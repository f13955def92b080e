"""Which artefacts answer which clause of data-governance rules, and whether they are really there.

The clauses are paraphrased from Article 10 of the EU AI Act; nothing here says that an artefact suffices, and none of
it is legal advice. `evidence` computes the state of each row from counts of what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Asked:
    """One artefact that answers a clause: what it is, and where it should be.

    `place` is ``table.column`` of a release, the name of a file beside the card, or a part of a stated problem,
    its answer, or its results.
    """

    clause: str
    asks: str
    artefact: str
    place: str


_DESIGN = "EU AI Act, Article 10(2)", "governance: design choices"
_COLLECTION = "EU AI Act, Article 10(2)", "governance: collection and origin"
_PREPARATION = "EU AI Act, Article 10(2)", "governance: preparation"
_BIAS = "EU AI Act, Article 10(2)", "governance: bias examined and mitigated"
_GAPS = "EU AI Act, Article 10(2)", "governance: gaps"
_REPRESENTATIVE = (
    "EU AI Act, Article 10(3)",
    "relevant, sufficiently representative, as far as possible free of errors and complete, with "
    "appropriate statistical properties for the groups concerned",
)
_SETTING = (
    "EU AI Act, Article 10(4)",
    "the geographical, contextual, behavioural or functional setting",
)
_SPECIAL = (
    "EU AI Act, Article 10(5)",
    "special categories of data only if strictly necessary, with safeguards",
)

RELEASE: tuple[Asked, ...] = (
    Asked(
        *_DESIGN,
        "objective, level, weights, costs and floors, with owner and reason",
        "allocation/report.policy",
    ),
    Asked(*_DESIGN, "the solution's account", "allocation/report.summary"),
    Asked(
        *_COLLECTION,
        "every table that was found, with format and version",
        "ingestion/tables.version",
    ),
    Asked(
        *_COLLECTION,
        "which source row each record comes from",
        "publication/training_set.source_version",
    ),
    Asked(*_PREPARATION, "what became of every row, and why", "publication/ledger.reason"),
    Asked(*_PREPARATION, "which records were judged twins", "deduplication/fates.reason"),
    Asked(
        *_BIAS,
        "learning curves by group, measured on held-out records",
        "allocation/group_curves.metric_value",
    ),
    Asked(
        *_BIAS,
        "predicted overall and worst group, by aversion and under simple rules",
        "allocation/report.prospects",
    ),
    Asked(*_BIAS, "a group metric before and after, with intervals", "results.metric"),
    Asked(
        *_GAPS,
        "what one more unit of budget would add in each group",
        "allocation/plan.marginal_value",
    ),
    Asked(*_GAPS, "what the data can't say, with remedies", "allocation/report.warnings"),
    Asked(
        *_REPRESENTATIVE,
        "records by group that there are and that are chosen",
        "allocation/plan.available",
    ),
    Asked(*_REPRESENTATIVE, "80 % intervals of what is chosen", "allocation/plan.records_lo80"),
    Asked(
        *_REPRESENTATIVE,
        "rows that could not be read, with the reason",
        "ingestion/quarantine.reason",
    ),
    Asked(*_SETTING, "the group of every record, by the recipe's rules", "filtering/pools.group"),
    Asked(
        *_SPECIAL,
        "groups as columns of their own, that can be dropped",
        "publication/training_set.{by}",
    ),
    Asked(*_SPECIAL, "machine-readable account of the data set", "{croissant}"),
)
"""What a release should hold. `{by}` is the allocation's group, `{croissant}` the file beside the card."""

PROBLEM: tuple[Asked, ...] = (
    Asked(*_DESIGN, "objective and level", "problem.objective"),
    Asked(*_DESIGN, "who stated them", "problem.policy.owner"),
    Asked(*_DESIGN, "when they were stated", "problem.policy.decided"),
    Asked(*_DESIGN, "weights of the groups", "problem.groups.weight"),
    Asked(*_DESIGN, "floors of the groups", "problem.groups.floor"),
    Asked(*_BIAS, "overall and worst group by aversion", "answer.sweep"),
    Asked(*_BIAS, "simple rules beside the plan", "answer.baselines"),
    Asked(*_BIAS, "a group metric before and after, with intervals", "results.metric"),
    Asked(*_BIAS, "group metrics with differences and ratios", "results.group_metrics"),
    Asked(*_BIAS, "intersections of the groups with another attribute", "results.intersections"),
    Asked(*_GAPS, "what one more unit of budget would add in each group", "answer.marginal_value"),
    Asked(*_REPRESENTATIVE, "records by group that there are", "problem.groups.available"),
    Asked(*_REPRESENTATIVE, "learning curves with their 80 % bands", "evaluations.bands"),
)
"""What a stated problem, its answer and its results should hold."""


def evidence(asked: Sequence[Asked], found: Mapping[str, int], **names: str) -> pl.DataFrame:
    """Say for each artefact whether it is there.

    Parameters
    ----------
    asked
        Rows to check.
    found
        How many values (rows with a value, parts) were counted at each place; a place that is not in it was not
        found at all.
    **names
        What stands for `{by}` and `{croissant}` in a place.

    Returns
    -------
    polars.DataFrame
        clause, asks, artefact, place, state: ``there (12 values)``, ``missing``, or ``empty``, where the place
        exists but holds nothing.
    """
    rows = []
    for one in asked:
        place = one.place.format(**names) if "{" in one.place else one.place
        amount = found.get(place)
        if amount is None:
            state = "missing"
        elif amount <= 0:
            state = "empty"
        else:
            state = f"there ({amount:,} {'value' if amount == 1 else 'values'})"
        rows.append((one.clause, one.asks, one.artefact, place, state))
    return pl.DataFrame(rows, schema=["clause", "asks", "artefact", "place", "state"], orient="row")


def places(
    asked: Sequence[Asked], tables: Mapping[str, pl.LazyFrame], **names: str
) -> dict[str, int]:
    """Count the values at every ``table.column`` that is asked for.

    Parameters
    ----------
    asked
        As `evidence` takes them.
    tables
        The tables that are there, by name; each is read once, and only the columns that are asked for.
    **names
        As in `evidence`.

    Returns
    -------
    dict
        Number of values by place, nulls and empty texts not counted; no entry where table or column is not there.
    """
    wanted: dict[str, list[str]] = {}
    for one in asked:
        place = one.place.format(**names) if "{" in one.place else one.place
        table, _, column = place.partition(".")
        if table in tables:
            wanted.setdefault(table, []).append(column)
    found: dict[str, int] = {}
    for table, columns in wanted.items():
        schema = tables[table].collect_schema()
        there = {
            column: pl.col(column) != ""
            if schema[column] == pl.String
            else pl.col(column).is_not_null()
            for column in columns
            if column in schema
        }
        if there:
            counted = tables[table].select(
                value.fill_null(value=False).sum().alias(column) for column, value in there.items()
            )
            row = counted.collect().row(0, named=True)
            found |= {f"{table}.{column}": int(amount) for column, amount in row.items()}
    return found
