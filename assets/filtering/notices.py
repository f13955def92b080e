"""Hold what is told about curves: warnings, what is left out, how far to widen."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assets.filtering.curves import Curves


@dataclass(frozen=True)
class Notice:
    """Hold one warning: a stable code, what is wrong, and the run or setting that would cure it."""

    code: str
    message: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """Return the warning as in the JSON output."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


@dataclass
class Diagnosis:
    """Hold warnings, what may be fitted, how far to widen intervals, caps on passes.

    ``inflate`` multiplies the spread of every interval: 1.25 for each finding whose effect the
    draws cannot see (mid-schedule evaluations, rising error, fewer than four points, evaluations in
    warm-up or above chance). A single pool size and missing repeats widen the draws themselves, and
    reach beyond the curves is priced point by point (``predict.widening``). ``caps`` maps
    a pool to the passes after which its error was seen to rise.
    """

    notices: list[Notice] = field(default_factory=list)
    keep: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    inflate: float = 1.0
    caps: dict[str, float] = field(default_factory=dict)

    def add(self, code: str, message: str, remedy: str, *, widen: bool = False) -> None:
        """Record a warning."""
        self.notices.append(Notice(code, message, remedy))
        if widen:
            self.inflate *= 1.25


def pool_names(curves: Curves, pools: list[int]) -> str:
    """Return the names of pools, at most five, for a message."""
    shown = ", ".join(curves.pools[p] for p in pools[:5])
    return shown + (f" and {len(pools) - 5} more" if len(pools) > 5 else "")
