"""LAVA: how a labelled record moves the data toward the target or away from it, its label being part of the distance.

The calibrated gradient of the transport cost between the records and the target (see `got_d`), where a record x with
label y is at ``1 - cos(x, x') + label_weight * W(y, y')`` from a target record x' with label y', and W is the
distance between the clouds of records that carry the labels (`label_distances`; Just et al. 2023, section 3.1). So a
mislabelled record comes out high though it looks like the target, and labels may be named otherwise on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assets.scoring.got_d import GotD
from assets.scoring.label_distances import label_distances
from assets.scoring.protocol import Needs, ScoreBatch, ScoringError
from assets.scoring.samples import NO_LABEL, Arrays, label_hashes, stored_grid

TELL_ERROR = 1e-2  # of a scaling: label_eps times that in units of the cost


@dataclass(frozen=True)
class Lava(GotD):
    """Calibrated gradient, in a labelled record's mass, of the transport cost to the labelled target.

    Parameters
    ----------
    label_weight
        What a unit of distance between labels costs, at least 0; at 0 it is `got_d` on the labelled records.
    label_rows
        Records that stand for a label on either side, at most.
    label_eps
        Regularisation of the distances between labels, at least 0.02.
    eps, sample_rows, target_rows, rounds
        As of `got_d`.
    """

    label_weight: float = 1.0
    label_rows: int = 50
    label_eps: float = 0.1

    name: ClassVar[str] = "lava"
    version: ClassVar[int] = 3
    labelled: ClassVar[bool] = True
    needs: ClassVar[Needs] = Needs.EMBEDDING | Needs.LABEL | Needs.TARGET
    cost: ClassVar[str] = (
        "O(rows x targets x dim), Sinkhorn on a sample of both and on all pairs of labels"
    )
    source: ClassVar[str] = "Just et al. 2023, arXiv 2305.00054, theorem 1 and equation 4"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.label_weight < np.inf) or self.label_rows < 1 or self.label_eps < 0.02:
            message = (
                f"lava cannot use label_weight={self.label_weight}, label_rows={self.label_rows}, "
                f"label_eps={self.label_eps}; use a weight of 0 or more, 1 row or more, and 0.02 or more"
            )
            raise ScoringError(message)

    def label_costs(self, train: Arrays, target: Arrays) -> dict[str, NDArray[Any]]:
        """Measure how far each train label is from each target record's label."""
        sides = []
        for side in (train, target):
            classes, first = np.unique(side["labels"]), stored_grid(side["vectors"])
            clouds = [first[side["labels"] == label][: self.label_rows] for label in classes]
            sides.append((classes, clouds))
        found, error = label_distances(sides[0][1], sides[1][1], self.label_eps)
        place = np.searchsorted(sides[1][0], target["labels"])
        costs = self.label_weight * found[:, place]
        return {"classes": sides[0][0], "label_costs": costs, "label_error": np.array(error)}

    def label_warnings(self, arrays: dict[str, NDArray[Any]]) -> list[str]:
        """Say how far distances between labels are from their end, where they are."""
        error = float(arrays["label_error"])
        if error < TELL_ERROR:
            return []
        return [
            f"a distance between labels still changed by {error:.2g} of itself in its last round "
            f"(wanted: {TELL_ERROR:g}); raise lava.label_eps (now {self.label_eps:g})"
        ]

    def train_costs(
        self, train: Arrays, arrays: dict[str, NDArray[Any]]
    ) -> NDArray[np.float64] | None:
        """Return what the labels of the sample cost."""
        place = np.searchsorted(arrays["classes"], train["labels"])
        return np.asarray(arrays["label_costs"][place])

    def own_costs(
        self, batch: ScoreBatch, arrays: dict[str, NDArray[Any]]
    ) -> tuple[NDArray[np.int64] | None, list[tuple[NDArray[np.bool_], str]]]:
        """Return each row's place in the table of label costs, and which rows have no label that is known."""
        classes, labels = arrays["classes"], label_hashes(batch)
        place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        unknown = classes[place] != labels
        why = [
            (labels == NO_LABEL, "no label"),
            (unknown, "the label is not among those of the train records"),
        ]
        return place.astype(np.int64), why
