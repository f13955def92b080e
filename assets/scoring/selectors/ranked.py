"""Selection by one number a record: the best, a uniform or a weighted sample, and both within strata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.kernels.keyed_random import uniform
from assets.kernels.topk import gumbel_keys, top_k
from assets.scoring.protocol import Direction
from assets.scoring.selectors.protocol import (
    Candidates,
    Picks,
    SelectionError,
    SelectorNeeds,
    tie_order,
)


def _by_key(
    candidates: Candidates, keys: NDArray[np.float64], most: int, seed: int
) -> NDArray[np.int64]:
    """Return the positions of the largest keys, ties by a hash of the id."""
    found = top_k(keys, candidates.ids, most, seed).select("id")
    places = pl.DataFrame({"id": candidates.ids, "row": np.arange(len(candidates))})
    joined = found.join(places, on="id", how="left", maintain_order="left")
    return joined["row"].to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Top:
    """The records with the best score.

    Parameters
    ----------
    direction
        ``high`` or ``low``: which scores are better.
    """

    direction: Direction = "high"

    name: ClassVar[str] = "top"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "copies have one score, so they stand beside each other",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.VALUE
    cost: ClassVar[str] = "O(rows)"
    source: ClassVar[str] = "a threshold on the score"

    def __post_init__(self) -> None:
        if self.direction not in {"high", "low"}:
            message = f"--direction is {self.direction!r}; high or low scores are better"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield the best scores first; the gain is the score."""
        assert candidates.value is not None
        keys = candidates.value if self.direction == "high" else -candidates.value
        rows = _by_key(candidates, keys, most, seed)
        yield rows, candidates.value[rows]


@dataclass(frozen=True)
class RandomSelection:
    """A uniform sample without replacement, the baseline that a method must beat."""

    name: ClassVar[str] = "random"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "a draw does not look at what a record says",
        "direction": "a draw prefers no record to another",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.NONE
    cost: ClassVar[str] = "O(rows)"
    source: ClassVar[str] = "baseline"

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield rows by a draw keyed by id; the gain is the draw."""
        draw = uniform(candidates.ids, seed, "random selection")
        rows = _by_key(candidates, draw, most, seed)
        yield rows, draw[rows]


@dataclass(frozen=True)
class Gumbel:
    """A sample without replacement with weights exp(score / temperature).

    Parameters
    ----------
    temperature
        Above 0; 1 takes the scores as log weights.
    """

    temperature: float = 1.0

    name: ClassVar[str] = "gumbel"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "each copy is drawn by itself, whatever it says",
        "direction": "it is a sample, where the best is likely and not certain",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.VALUE
    cost: ClassVar[str] = "O(rows)"
    source: ClassVar[str] = "Xie et al. 2023, arXiv 2302.03169; Kool et al. 2019, arXiv 1903.06059"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            message = f"--temperature is {self.temperature}; it must be above 0 and finite"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield rows in the order drawn; the gain is the perturbed log weight."""
        assert candidates.value is not None
        keys = gumbel_keys(
            candidates.value, candidates.ids, seed, "gumbel selection", self.temperature
        )
        rows = _by_key(candidates, keys, most, seed)
        yield rows, keys[rows]


@dataclass(frozen=True)
class Stratified:
    """A uniform sample from each stratum, in proportion to its size."""

    name: ClassVar[str] = "stratified"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "a draw does not look at what a record says",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.STRATUM
    cost: ClassVar[str] = "O(rows log rows)"
    source: ClassVar[str] = "apportionment after Webster and Sainte-Laguë"

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield rows so that every beginning of the list is in proportion.

        The j-th of n rows of a stratum, by a keyed hash, has the key (j - 1/2) / n and the smallest
        keys come first: the divisor method of Webster, which is monotone in the budget, as the largest
        remainder is not. The gain is the key.
        """
        keys = _seats(candidates, tie_order(candidates.ids, seed, "stratified selection"))
        rows = _by_key(candidates, -keys, most, seed)
        yield rows, keys[rows]


@dataclass(frozen=True)
class StratifiedTop:
    """The records with the best score of each stratum, in proportion to its size.

    Parameters
    ----------
    direction
        ``high`` or ``low``: which scores are better.
    """

    direction: Direction = "high"

    name: ClassVar[str] = "stratified_top"
    exempt: ClassVar[dict[str, str]] = {
        "copy": "copies have one score, so they stand beside each other",
    }
    version: ClassVar[int] = 1
    needs: ClassVar[SelectorNeeds] = SelectorNeeds.VALUE | SelectorNeeds.STRATUM
    cost: ClassVar[str] = "O(rows log rows)"
    source: ClassVar[str] = "a threshold on the score in each stratum; Webster and Sainte-Laguë"

    def __post_init__(self) -> None:
        if self.direction not in {"high", "low"}:
            message = f"--direction is {self.direction!r}; high or low scores are better"
            raise SelectionError(message)

    def picks(self, candidates: Candidates, most: int, seed: int) -> Iterator[Picks]:
        """Yield rows so that every beginning of the list is in proportion, the best of each stratum first.

        As `Stratified`, with the rows of a stratum in the order of their scores; the gain is the score.
        """
        assert candidates.value is not None
        worth = candidates.value if self.direction == "high" else -candidates.value
        ties = tie_order(candidates.ids, seed, "stratified top ties")
        best_first = ties[np.argsort(-worth[ties], kind="stable")]
        rows = _by_key(candidates, -_seats(candidates, best_first), most, seed)
        yield rows, candidates.value[rows]


def _seats(candidates: Candidates, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``(j - 1/2) / n`` for the j-th, in the given order, of the n rows of each stratum."""
    assert candidates.stratum is not None
    ordered = pl.DataFrame({"stratum": candidates.stratum.gather(order), "row": order})
    place = (2 * pl.int_range(1, pl.len() + 1) - 1) / (2 * pl.len())
    keyed = ordered.with_columns(key=place.over("stratum")).sort("row")
    return keyed["key"].to_numpy()
