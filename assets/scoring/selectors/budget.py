"""Budgets, and the beginning of a selector's list that a budget pays for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assets.scoring.selectors.protocol import (
    Candidates,
    SelectionError,
    Selector,
    SelectorNeeds,
)
from assets.scoring.tokens import tokenise, utf8

Unit = Literal["records", "tokens", "bytes", "flops"]
FLOPS_PER_TOKEN = 6  # of a parameter: forward and backward pass, Kaplan et al. 2020, arXiv 2001.08361, section 2.1


@dataclass(frozen=True, slots=True)
class Budget:
    r"""How much may be selected.

    Attributes
    ----------
    amount
        At least 1.
    unit
        ``records``, ``tokens`` (runs of word characters or of other characters, as
        ``\w+|[^\w\s]+`` splits), ``bytes`` (of the text as UTF-8) or ``flops`` of one pass of training, 6 a token and
        parameter.
    parameters
        Of the model that is trained; given where the unit is ``flops``, and only there.
    """

    amount: int
    unit: Unit = "records"
    parameters: float | None = None

    def __post_init__(self) -> None:
        if (self.unit == "flops") != (self.parameters is not None):
            message = "--budget flops=N needs --parameters N, and no other budget takes it"
            raise SelectionError(message)
        if self.parameters is not None and not 1 <= self.parameters < float("inf"):
            message = f"--parameters is {self.parameters}; a model has 1 or more"
            raise SelectionError(message)

    @property
    def each(self) -> float:
        """What one unit of `costs` is worth in the budget's unit: FLOPs a token, else 1."""
        return 1 if self.parameters is None else FLOPS_PER_TOKEN * self.parameters

    @property
    def limit(self) -> int:
        """The amount in units of `costs`."""
        return int(self.amount // self.each)

    @classmethod
    def parse(cls, text: str, parameters: float | None = None) -> Budget:
        """Read ``N`` or ``records=N``, ``tokens=N``, ``bytes=N``, ``flops=X``.

        Raises
        ------
        SelectionError
            It is none of them, or below 1.
        """
        unit, _, number = text.rpartition("=")
        unit = unit.strip() or "records"
        if unit not in get_args(Unit):
            message = f"--budget {text}: {unit!r} is no unit; use records, tokens, bytes or flops"
            raise SelectionError(message)
        try:
            amount = int(float(number)) if unit == "flops" else int(number)
        except (ValueError, OverflowError):
            amount = 0
        if amount < 1:
            message = f"--budget {text}: {number!r} is no whole number above 0"
            raise SelectionError(message)
        return cls(amount, cast("Unit", unit), parameters)

    def costs(self, text: pa.Array | None, rows: int) -> NDArray[np.int64]:
        """Return what each record costs; -1 where that can't be told.

        Parameters
        ----------
        text
            n Arrow strings; needed but for records.
        rows
            n.
        """
        if self.unit == "records":
            return np.ones(rows, dtype=np.int64)
        assert text is not None
        if self.unit in {"tokens", "flops"}:
            counts = np.diff(tokenise(utf8(text)).offsets)
        else:
            counts = pc.binary_length(text).fill_null(0).to_numpy(zero_copy_only=False)
        return np.where(np.asarray(text.is_valid()), counts, -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected.

    Attributes
    ----------
    rows
        Positions of the candidates, best first.
    gains
        What the method ranked by, float64, NaN where it did not.
    spent
        In the unit of the budget.
    eligible
        How many candidates could have been selected.
    left_out
        Why others could not, with counts.
    """

    rows: NDArray[np.int64]
    gains: NDArray[np.float64]
    spent: float
    eligible: int
    left_out: Counter[str]


def select(
    candidates: Candidates,
    selector: Selector,
    budget: Budget,
    *,
    costs: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Selection:
    """Select within a budget.

    Parameters
    ----------
    candidates
        n records.
    selector
        The method.
    budget
        Records are met exactly, while there are enough. Of tokens and bytes the longest beginning
        of the method's list is taken that stays within: nothing is skipped, or a larger budget would
        not contain a smaller one. So what is left is less than the next record's cost.
    costs
        int64, shape (n,), from `Budget.costs`; None where the budget is in records.
    seed
        Key of randomness and ties.

    Raises
    ------
    SelectionError
        No record can be selected.
    """
    each = np.ones(len(candidates), dtype=np.int64) if costs is None else costs
    eligible, left_out = _eligible(candidates, selector.needs, each)
    if not len(eligible):
        told = ", ".join(f"{rows:,} have {why}" for why, rows in left_out.items())
        message = f"--method {selector.name} can select none of {len(candidates):,} records: {told}"
        raise SelectionError(message if left_out else f"--method {selector.name}: no records")
    most = min(budget.limit, len(eligible)) if budget.unit == "records" else len(eligible)
    rows: list[NDArray[np.int64]] = []
    gains: list[NDArray[np.float64]] = []
    spent = 0
    for found, gained in selector.picks(candidates.take(eligible), most, seed):
        chosen = eligible[found]
        fits = spent + np.cumsum(each[chosen]) <= budget.limit
        taken = int(fits.sum())
        rows.append(chosen[:taken])
        gains.append(gained[:taken])
        spent += int(each[chosen[:taken]].sum())
        if taken < len(chosen):
            break
    empty = np.empty(0)
    return Selection(
        np.concatenate([empty.astype(np.int64), *rows]),
        np.concatenate([empty, *gains]),
        spent * budget.each,
        len(eligible),
        left_out,
    )


def _eligible(
    candidates: Candidates, needs: SelectorNeeds, costs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Counter[str]]:
    n = len(candidates)
    lacks: list[tuple[str, Any]] = []
    if SelectorNeeds.VALUE in needs:
        assert candidates.value is not None
        lacks.append(("no score", ~np.isfinite(candidates.value)))
    if SelectorNeeds.EMBEDDING in needs:
        if candidates.embedding is None:
            lacks.append(("no vector", np.ones(n, dtype=bool)))
        else:
            vectors = candidates.embedding
            usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
            lacks.append(("no vector", ~usable))
    if SelectorNeeds.TAGS in needs:
        lengths = None if candidates.tags is None else candidates.tags.list.len().fill_null(0)
        bare = np.ones(n, dtype=bool) if lengths is None else (lengths == 0).to_numpy()
        lacks.append(("no tags", bare))
    lacks.append(("no text to count", costs < 0))
    free = np.ones(n, dtype=bool)
    left_out: Counter[str] = Counter()
    for why, lack in lacks:
        left_out[why] += int((free & lack).sum())
        free &= ~lack
    return np.flatnonzero(free), +left_out


def selection_frame(candidates: Candidates, selection: Selection) -> pl.DataFrame:
    """Return id, rank (0 is the first choice) and gain of what was selected, by rank."""
    return pl.DataFrame(
        {
            "id": candidates.ids.gather(selection.rows),
            "rank": np.arange(len(selection.rows)),
            "gain": pl.Series(selection.gains, nan_to_null=True, dtype=pl.Float64),
        }
    )
