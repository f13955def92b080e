"""Group-Shapley: what each group of records adds to a classifier of the target.

The players are the groups, the worth of some of them the accuracy on the target of a ridge classifier fitted on their
records together; a group's value is its Shapley value (`shapley_games`). Values of all groups add up to the accuracy
with all less chance. Up to `exact_groups` groups every coalition is fitted; above that random orders are, truncated
where nothing is left to gain (Ghorbani and Zou 2019).

The classifier is least squares on one-hot labels, because then a group enters by its moments alone: they are summed
on the grid of whole numbers, exactly, and a coalition costs one solve, whatever its records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.kernels.leverage import gram
from assets.kernels.unit_vectors import SCALE, UNIT
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScoreContext,
    ScorerState,
    ScoringError,
    reasons_from,
)
from assets.scoring.samples import NO_LABEL, Arrays, group_hashes, stored_grid, usable
from assets.scoring.shapley_games import Values, exact_shapley, truncated_monte_carlo
from assets.scoring.target_sample import AgainstTarget

MOST_GROUPS = 200


@dataclass(frozen=True)
class GroupShapley(AgainstTarget):
    """What the record's group adds to the accuracy of a classifier on the target.

    Parameters
    ----------
    per
        ``group``: the group's value; ``record``: that divided by the group's records in the sample.
    exact_groups
        Groups up to which all coalitions are enumerated.
    orders
        Random orders above that, each walked from both ends.
    tolerance
        A walk ends where the accuracy is within this of that with all groups.
    penalty
        Of the ridge, as a share of the moments' mean diagonal, above 0.
    sample_rows, target_rows
        Labelled records of either side, at most: those with the smallest hashes.
    """

    per: Literal["group", "record"] = "group"
    exact_groups: int = 8
    orders: int = 100
    tolerance: float = 0.0
    penalty: float = 0.1
    sample_rows: int = 20_000
    target_rows: int = 2_000

    name: ClassVar[str] = "group_shapley"
    version: ClassVar[int] = 1
    labelled: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET | Needs.GROUP
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(coalitions x (dim³ + targets x dim x classes)), then O(rows)"
    source: ClassVar[str] = (
        "Ghorbani and Zou 2019, arXiv 1904.02868, algorithm 1 (groups: section 4)"
    )

    def __post_init__(self) -> None:
        fine = self.orders >= 2 and self.tolerance >= 0 and 0 <= self.exact_groups <= 16
        fine = fine and self.sample_rows >= 2 and self.target_rows >= 1
        if not fine or not self.penalty > 0 or self.per not in {"group", "record"}:
            message = (
                f"group_shapley cannot use {vars(self)}; use per group or record, exact_groups 0 to 16, 2 orders or "
                "more, tolerance 0 or more, a penalty above 0, 2 train records and 1 target record or more"
            )
            raise ScoringError(message)

    def limits(self) -> dict[str, int]:
        """Return how many records of each side are kept."""
        return {"train": self.sample_rows, "target": self.target_rows}

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def finish(self, summary: ScorerState, context: ScoreContext) -> ScorerState:
        """Value the groups.

        Raises
        ------
        ScoringError
            Fewer than two groups, more than 200, labels of one class, or a target without their labels.
        """
        train, target = self.side(summary, "train"), self.side(summary, "target")
        groups = np.unique(train["groups"][train["groups"] != NO_LABEL])
        if not 2 <= len(groups) <= MOST_GROUPS:
            message = (
                f"group_shapley found {len(groups)} groups of labelled train records and values 2 to {MOST_GROUPS}; "
                "name their column with --group COL (in a recipe: the group `language`)"
            )
            raise ScoringError(message)
        worth, order = self._worth(train, target, groups)
        found = self._values(worth, len(groups), context.seed)
        sizes = np.array([(train["groups"] == group).sum() for group in groups[order]])
        back = np.argsort(order)
        values = found.values / sizes if self.per == "record" else found.values
        meta = {
            **summary.meta,
            "groups": len(groups),
            "worth": worth(np.ones(len(groups), dtype=bool)),
            "chance": worth(np.zeros(len(groups), dtype=bool)),
            "largest_error": float(found.errors.max()),
            "coalitions": found.worths,
        }
        arrays: dict[str, NDArray[Any]] = {"groups": groups, "values": values[back]}
        return ScorerState(self.name, self.version, meta, arrays)

    def _values(
        self, worth: Callable[[NDArray[np.bool_]], float], groups: int, seed: int
    ) -> Values:
        if groups <= self.exact_groups:
            return exact_shapley(worth, groups)
        return truncated_monte_carlo(worth, groups, self.orders, self.tolerance, seed)

    def _worth(
        self, train: Arrays, target: Arrays, groups: NDArray[np.uint64]
    ) -> tuple[Callable[[NDArray[np.bool_]], float], NDArray[np.int64]]:
        """Return the game, and the order of groups that its players stand in: by content, not by name."""
        classes = np.unique(train["labels"])
        aims = np.isin(target["labels"], classes)
        if len(classes) < 2 or not aims.any():
            message = (
                "group_shapley: the labels are of one class, or none of the target's is among them; "
                "name another column with --label"
            )
            raise ScoringError(message)
        rows = _with_bias(train["vectors"])
        hot = np.eye(len(classes))[np.searchsorted(classes, train["labels"])]
        inside = [train["groups"] == group for group in groups]
        squares = [gram(rows[own]) for own in inside]
        crosses = [rows[own].T @ hot[own] for own in inside]  # whole numbers: exact
        marks = [
            xxhash.xxh3_64_intdigest(s.tobytes() + np.sort(c, axis=1).tobytes())
            for s, c in zip(squares, crosses, strict=True)
        ]
        order = np.argsort(np.array(marks, dtype=np.uint64), kind="stable")
        square = np.stack([squares[i] for i in order]) / UNIT
        cross = np.stack([crosses[i] for i in order]) / SCALE
        goals = _with_bias(target["vectors"][aims]) / SCALE
        own = np.searchsorted(classes, target["labels"][aims])

        def worth(members: NDArray[np.bool_]) -> float:
            if not members.any():
                return 1.0 / len(classes)
            matrix = square[members].sum(axis=0)
            ridge = self.penalty * np.trace(matrix) / len(matrix)
            weights = np.linalg.solve(
                matrix + ridge * np.eye(len(matrix)), cross[members].sum(axis=0)
            )
            return float(((goals @ weights).argmax(axis=1) == own).mean())

        return worth, order.astype(np.int64)

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Give each row its group's value; null without a vector or a group, or where the group was not valued."""
        n = len(batch)
        values = np.full(n, np.nan)
        groups = state.arrays["groups"]
        own = group_hashes(batch)
        without = ~usable(batch)
        place = np.minimum(np.searchsorted(groups, own), len(groups) - 1)
        known = ~without & (own != NO_LABEL) & (groups[place] == own)
        values[known] = state.arrays["values"][place[known]]
        why = [
            (without, "no embedding"),
            (own == NO_LABEL, "no group"),
            (np.isnan(values), "the group has no labelled train record"),
        ]
        return ScoreColumn(self.name, self.version, values, reasons_from(n, why), "high")


def _with_bias(vectors: NDArray[Any]) -> NDArray[np.float64]:
    grid = stored_grid(vectors).astype(np.float64)
    return np.column_stack([grid, np.full(len(grid), SCALE)])
