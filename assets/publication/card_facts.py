"""The facts that a card shows, with the columns each of their frames must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl


class CardFactsError(ValueError):
    """Facts that a card cannot be drawn from."""


_TEXT, _WHOLE, _REAL, _TRUTH = pl.String, pl.Int64, pl.Float64, pl.Boolean

#: For each frame of `CardFacts`, the columns that it must hold when it holds any. More are welcome.
COLUMNS: Mapping[str, Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "tables": {
        "table": _TEXT,
        "format": _TEXT,
        "rows": _WHOLE,
        "bytes": _WHOLE,
        "columns": _WHOLE,
        "status": _TEXT,
        "error": _TEXT,
    },
    "quarantine": {"table": _TEXT, "position": _WHOLE, "reason": _TEXT},
    "fates": {"fate": _TEXT, "stage": _TEXT, "reason": _TEXT, "rows": _WHOLE},
    "fates_by_group": {"group": _TEXT, "fate": _TEXT, "rows": _WHOLE},
    "survival": {"group": _TEXT, "step": _TEXT, "rows": _WHOLE},
    "edges": {
        "child": _TEXT,
        "parent": _TEXT,
        "containment": _REAL,
        "exact": _TRUTH,
        "child_rows": _WHOLE,
        "parent_rows": _WHOLE,
    },
    "retention": {
        "table": _TEXT,
        "decision": _TEXT,
        "parents": pl.List(pl.String),
        "saving": _REAL,
        "reason": _TEXT,
    },
    "clusters": {"size": _WHOLE, "clusters": _WHOLE, "kind": _TEXT},
    "largest_clusters": {
        "records": _WHOLE,
        "kept": _WHOLE,
        "bytes_saved": _WHOLE,
        "weakest": _REAL,
        "diameter": _WHOLE,
        "similarity": _REAL,
        "text": _TEXT,
        "twin_text": _TEXT,
    },
    "quality_by_pool": {
        "pool": _WHOLE,
        "low": _REAL,
        "median": _REAL,
        "high": _REAL,
        "rows": _WHOLE,
    },
    "samples": {
        "where": _TEXT,
        "record_id": _TEXT,
        "table": _TEXT,
        "position": _WHOLE,
        "quality": _REAL,
        "text": _TEXT,
    },
    "silences": {"scorer": _TEXT, "reason": _TEXT, "rows": _WHOLE},
    "curves": {
        "pool": _TEXT,
        "samples_seen": _WHOLE,
        "unique": _WHOLE,
        "metric_name": _TEXT,
        "metric_value": _REAL,
        "se": _REAL,
        "seed": _WHOLE,
        "law_value": _REAL,
        "lo80": _REAL,
        "hi80": _REAL,
    },
    "curve_bands": {
        "pool": _TEXT,
        "samples": _REAL,
        "predicted": _REAL,
        "lo80": _REAL,
        "hi80": _REAL,
    },
    "plans": {
        "budget": _REAL,
        "pools": _TEXT,
        "predicted": _REAL,
        "lo80": _REAL,
        "hi80": _REAL,
        "p_best": _REAL,
        "regret": _REAL,
        "chosen": _TRUTH,
    },
    "switch_points": {"samples": _REAL, "from": _TEXT, "to": _TEXT},
    "group_curves": {"group": _TEXT, "samples_seen": _WHOLE, "metric_value": _REAL, "se": _REAL},
    "group_bands": {
        "group": _TEXT,
        "samples": _REAL,
        "performance": _REAL,
        "lo80": _REAL,
        "hi80": _REAL,
    },
    "allocation": {
        "group": _TEXT,
        "pool": _WHOLE,
        "available": _WHOLE,
        "samples": _WHOLE,
        "records": _WHOLE,
        "passes": _REAL,
        "sampling_prob": _REAL,
        "marginal_value": _REAL,
    },
    "sweep": {"aversion": _REAL, "overall": _REAL, "worst": _REAL},
    "rule_points": {"rule": _TEXT, "overall": _REAL, "worst": _REAL},
    "rules": {"rule": _TEXT, "group": _TEXT, "samples": _REAL},
    "intersections": {
        "attribute": _TEXT,
        "down": _TEXT,
        "across": _TEXT,
        "rows": _WHOLE,
        "value": _REAL,
        "suppressed": _TRUTH,
    },
    "clauses": {
        "clause": _TEXT,
        "asks": _TEXT,
        "artefact": _TEXT,
        "place": _TEXT,
        "state": _TEXT,
    },
}

_HISTOGRAM: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "low": _REAL,
    "high": _REAL,
    "rows": _WHOLE,
}


def empty(frame: str) -> pl.DataFrame:
    """Make the frame of a fact that is absent: its columns and no rows."""
    return pl.DataFrame(schema=dict(COLUMNS[frame]))


def _none(frame: str) -> pl.DataFrame:
    return field(default_factory=lambda: empty(frame))


@dataclass(frozen=True, eq=False)
class CardFacts:
    """Hold all that one release's card shows; what is left out is said to be absent.

    Parameters
    ----------
    title
        Heading of the page, as a rule the recipe's name.
    release, run_id, recipe_hash, code_version, time
        Which release this is. `time` is printed as given; a card reads no clock.
    unit
        What a budget counts: ``"records"`` or ``"tokens"``. Budgets of `plans` and sizes of
        `switch_points` are in it; curves and the allocation always count records.
    output
        Root of the recipe's tables, as a path or URI.
    note
        What a reader must know of this release before anything else, such as that it is of a sample.
    versions
        Version of each table that the release names, by its path below `output`.
    tables, quarantine
        What was found in the lake, and which files and rows could not be read. A further column
        `read` (bool) says which tables a rule of the recipe reads.
    fates
        Rows by fate, stage and reason: the one frame that must account for every row.
    calibration
        What became of the calibration in this release.
    group_name, fates_by_group, survival
        The same by the group that allocation divides by. Steps of `survival` are ``read``,
        ``unique``, ``kept``, ``offered`` (less what is held out), ``planned`` and ``published``.
    edges, retention
        Which tables are held by which others, and what could be retired.
    clusters
        Clusters of twins by size and kind; a further column `bytes` is summed when present.
    largest_clusters
        The largest of them, with how far each reaches and how two of its records begin.
    scores, quality_by_pool, samples, silences
        A histogram a scorer (its outermost bins also hold what lies beyond them), the 10th, 50th and
        90th percentile of quality a pool, a few records as text, and how many records a scorer said
        nothing about.
    curves, curve_bands
        Evaluations of training runs by pool or mixture, and the law fitted to them on a grid. Where
        evaluations have several metrics, `curve_bands` says by a further column `metric_name` which
        one it predicts; without it no band is drawn then.
    plans, switch_points, warnings
        Candidate plans by budget, where the best one changes, and what the data can't say
        (``code``, ``message``, ``remedy``). Further columns of `plans`: `published` (bool), the
        one that the release follows; `tie` (bool), not told apart from the best prediction.
    mixture_check, merging
        How the mixture rule did on mixtures kept out of the fit, as in `sluice laws --json`; how far
        estimates by averaged weights were from trained mixtures, a sentence, empty where none were made.
    group_curves, group_bands, allocation, policy
        Learning curves by group (`lo80` and `hi80` of a group's band hold four of five single runs),
        the plan that was followed, and who set its objective and why. A further column `bound` of `allocation` says
        where all of a cell is taken.
    sweep, rule_points, rules, chosen, weighted
        Predicted overall and worst performance by aversion and under simple rules, what these would draw, the same of
        the plan (overall, worst), and how overall averages.
    intersections
        Published records by the allocation's group and another, small cells suppressed.
    clauses
        Which artefacts of this release speak to which clause, and whether they were found.

    Raises
    ------
    CardFactsError
        If a frame that is not empty lacks a column, or `unit` is unknown.
    """

    title: str = "Training set"
    release: int = 0
    run_id: str = ""
    recipe_hash: str = ""
    code_version: str = ""
    time: str = ""
    unit: str = "records"
    output: str = ""
    calibration: str = ""
    note: str = ""
    versions: dict[str, int] = field(default_factory=dict)
    tables: pl.DataFrame = _none("tables")
    quarantine: pl.DataFrame = _none("quarantine")
    fates: pl.DataFrame = _none("fates")
    group_name: str | None = None
    fates_by_group: pl.DataFrame = _none("fates_by_group")
    survival: pl.DataFrame = _none("survival")
    edges: pl.DataFrame = _none("edges")
    retention: pl.DataFrame = _none("retention")
    clusters: pl.DataFrame = _none("clusters")
    largest_clusters: pl.DataFrame = _none("largest_clusters")
    scores: dict[str, pl.DataFrame] = field(default_factory=dict)
    quality_by_pool: pl.DataFrame = _none("quality_by_pool")
    samples: pl.DataFrame = _none("samples")
    silences: pl.DataFrame = _none("silences")
    curves: pl.DataFrame = _none("curves")
    curve_bands: pl.DataFrame = _none("curve_bands")
    plans: pl.DataFrame = _none("plans")
    switch_points: pl.DataFrame = _none("switch_points")
    warnings: list[dict[str, str]] = field(default_factory=list)
    mixture_check: dict[str, Any] = field(default_factory=dict)
    merging: str = ""
    group_curves: pl.DataFrame = _none("group_curves")
    group_bands: pl.DataFrame = _none("group_bands")
    allocation: pl.DataFrame = _none("allocation")
    policy: dict[str, str] = field(default_factory=dict)
    sweep: pl.DataFrame = _none("sweep")
    rule_points: pl.DataFrame = _none("rule_points")
    rules: pl.DataFrame = _none("rules")
    chosen: tuple[float, float] | None = None
    weighted: str = ""
    intersections: pl.DataFrame = _none("intersections")
    clauses: pl.DataFrame = _none("clauses")

    def __post_init__(self) -> None:
        if self.unit not in {"records", "tokens"}:
            message = f"unit is {self.unit!r}; a budget counts 'records' or 'tokens'"
            raise CardFactsError(message)
        for name, columns in COLUMNS.items():
            object.__setattr__(self, name, _checked(getattr(self, name), name, columns))
        histograms = {
            scorer: _checked(self.scores[scorer], f"scores[{scorer!r}]", _HISTOGRAM)
            for scorer in sorted(self.scores)
        }
        object.__setattr__(self, "scores", histograms)


def _checked(
    frame: pl.DataFrame, name: str, columns: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """Return the frame with the declared types and one fixed order of rows."""
    if frame.is_empty() and frame.width == 0:
        return pl.DataFrame(schema=dict(columns))
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        message = (
            f"the card's {name} lacks the columns {missing}; it has {frame.columns}. "
            f"Give all of {list(columns)}, with nulls for what is unknown."
        )
        raise CardFactsError(message)
    try:
        typed = frame.with_columns(pl.col(column).cast(kind) for column, kind in columns.items())
    except pl.exceptions.PolarsError as error:
        message = f"the card's {name} holds a value of another type than declared: {error}"
        raise CardFactsError(message) from error
    # frames come from hash joins and group-bys, whose order of rows is not fixed
    keys = [column for column, kind in columns.items() if kind != pl.List(pl.String)]
    return typed.sort(keys, nulls_last=True, maintain_order=True)
