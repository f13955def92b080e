"""Find what the curves cannot say, name it, and say which run would cure it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assets.filtering.curves import Curves
from assets.filtering.decay import Array
from assets.filtering.predict import FAR, FAR_REPEATS, LARGER

WARM_UP = 0.95
RISE = 0.02


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


def _names(curves: Curves, pools: list[int]) -> str:
    shown = ", ".join(curves.pools[p] for p in pools[:5])
    return shown + (f" and {len(pools) - 5} more" if len(pools) > 5 else "")


def diagnose(curves: Curves) -> Diagnosis:
    """Check curves before they are fitted.

    Returns
    -------
    Diagnosis
        ``keep`` leaves out evaluations above chance, in warm-up (within 5 % of chance) and in the
        rising part of an overfitted curve: no law here describes them. A pool never loses all of
        its evaluations.
    """
    found = Diagnosis(keep=np.ones(len(curves), dtype=bool))
    _unknown_members(curves, found)
    _chance(curves, found)
    _rising(curves, found)
    _restore(curves, found)
    _coverage(curves, found)
    _dependence(curves, found)
    _identical(curves, found)
    _repeated(curves, found)
    return found


def _unknown_members(curves: Curves, found: Diagnosis) -> None:
    """Warn where a pool is named like a mixture of which a part has no curves."""
    for name in curves.pools:
        parts = [part.strip() for part in name.split("+")]
        unknown = [part for part in parts if part not in curves.pools]
        if len(parts) > 1 and all(parts) and unknown:
            found.add(
                "unknown_mixture_member",
                f"pool {name!r} is read as a pool of its own, because {unknown[0]!r} has no curves "
                f"(first: row {int(curves.row[curves.pool == curves.pools.index(name)].min())}); a plan "
                "may count its data twice",
                f"if it is a mixture, add curves of {unknown[0]!r} alone or drop its rows; if it is a "
                "pool, name it without '+'",
            )


def _restore(curves: Curves, found: Diagnosis) -> None:
    """Keep the evaluations of a pool that would lose them all, and say so."""
    lost = []
    for pool in range(len(curves.pools)):
        rows = curves.pool == pool
        if rows.any() and not (found.keep & rows).any():
            found.keep |= rows
            lost.append(pool)
    if lost:
        found.add(
            "only_unusable",
            f"all evaluations of {_names(curves, lost)} are in warm-up or worse than chance; they are "
            "fitted nevertheless, because the pool has no others",
            "train these pools longer before evaluating, or drop their rows",
            widen=True,
        )


def _chance(curves: Curves, found: Diagnosis) -> None:
    if curves.chance_error is None:
        return
    above = curves.error > curves.chance_error
    warm = ~above & (curves.error >= WARM_UP * curves.chance_error)
    if above.any():
        found.add(
            "above_chance",
            f"{int(above.sum())} evaluations are worse than chance (first: row "
            f"{int(curves.row[above].min())}); "
            "left out of the fit",
            "check direction and chance_level; train longer before evaluating",
            widen=True,
        )
    if warm.any():
        found.add(
            "warm_up",
            f"{int(warm.sum())} evaluations are within 5 % of chance (first: row "
            f"{int(curves.row[warm].min())}); "
            "power laws fail there; left out of the fit",
            "add evaluations at more samples",
            widen=True,
        )
    found.keep &= ~(above | warm)


def _rising(curves: Curves, found: Diagnosis) -> None:
    pools = []
    for pool in range(len(curves.pools)):
        for unique in np.unique(curves.unique[curves.pool == pool]):
            cell = (curves.pool == pool) & (curves.unique == unique)
            for size in np.unique(np.nan_to_num(curves.model_size[cell], nan=-1.0)):
                rows = np.flatnonzero(cell & (np.nan_to_num(curves.model_size, nan=-1.0) == size))
                cap = _overfit_at(curves, rows)
                if cap is None:
                    continue
                name = curves.pools[pool]
                found.caps[name] = min(found.caps.get(name, np.inf), cap[1])
                found.keep[cap[0]] = False
                pools.append(pool)
    if pools:
        unique_pools = sorted(set(pools))
        detail = ", ".join(
            f"{curves.pools[p]} after {found.caps[curves.pools[p]]:.3g} passes"
            for p in unique_pools[:5]
        )
        found.add(
            "rising_error",
            f"error rises with more samples ({detail}): overfitting, which no law here "
            f"describes; the rising part "
            "is left out, and plans stop at those passes",
            "use fewer passes or more regularisation, or add unique data",
            widen=True,
        )


def _overfit_at(
    curves: Curves, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], float] | None:
    """Return the rows of the rising part and the passes at the minimum, or None."""
    budgets = np.unique(curves.samples[rows])
    if budgets.size < 3:
        return None
    groups = [rows[curves.samples[rows] == n] for n in budgets]
    means = np.array([float(np.mean(curves.error[g])) for g in groups])
    deviations = np.concatenate([curves.error[g] - m for g, m in zip(groups, means, strict=True)])
    spare = len(rows) - len(groups)
    noise = float(np.sqrt(np.sum(deviations**2) / spare)) if spare >= 2 else 0.0
    known = curves.se[rows][np.isfinite(curves.se[rows])]
    noise = max(noise, float(np.median(known)) if known.size else 0.0)
    least = int(np.argmin(means))
    limit = means[least] + max(2.5 * noise, RISE * abs(means[least]))
    if least == len(budgets) - 1 or means[-1] <= limit or budgets[-1] <= curves.unique[rows[0]]:
        return None
    late = np.concatenate(
        [
            g
            for g, m in zip(groups[least + 1 :], means[least + 1 :], strict=True)
            if m > means[least]
        ]
    )
    return late, float(max(budgets[least] / curves.unique[rows[0]], 1.0))


def _coverage(curves: Curves, found: Diagnosis) -> None:
    few, one_size, unrepeated = [], [], []
    for pool in range(len(curves.pools)):
        rows = (curves.pool == pool) & found.keep
        points = np.unique(np.stack([curves.samples[rows], curves.unique[rows]]), axis=1).shape[1]
        if points < 4:
            few.append(pool)
        if np.unique(curves.unique[rows]).size < 2 and curves.passes[rows].max(initial=0.0) > 1.0:
            one_size.append(pool)
        if curves.passes[rows].max(initial=0.0) <= 2.0:
            unrepeated.append(pool)
    if few:
        found.add(
            "too_few_points",
            f"fewer than four usable evaluations for {_names(curves, few)}",
            "evaluate at four or more sample counts, spread by factors of two to four",
            widen=True,
        )
    if one_size:
        found.add(
            "single_pool_size",
            f"only one pool size for {_names(curves, one_size)}: the floor and the decay by "
            f"repetition cannot be "
            "told apart, so mixtures and long runs may be mispredicted although the fit looks good",
            "add runs on random parts of the pool (a quarter, a sixteenth) at equal samples_seen",
        )
    if unrepeated:
        found.add(
            "no_repeats",
            f"no evaluation above two passes for {_names(curves, unrepeated)}: the half-life is "
            f"the prior's "
            "(ln tau ~ N(ln 5, 1)), not the data's",
            "train one run of eight passes over a small part of the pool",
        )
    if len(curves.pools) == 1:
        found.add(
            "one_pool",
            "only one pool: there is nothing to choose, the plan states how often to repeat it",
            "add curves of other pools",
        )


def _dependence(curves: Curves, found: Diagnosis) -> None:
    middle = ~curves.annealed
    if middle.any():
        found.add(
            "mid_schedule",
            f"{int(middle.sum())} evaluations were taken in the middle of a learning-rate "
            f"schedule: their error is "
            "too high, most of all early",
            "end each run with a short decay of the learning rate, or branch a cooldown off one "
            "trunk",
            widen=True,
        )
    runs, counts = np.unique(curves.run, return_counts=True)
    many = runs[counts > 1]
    if many.size and runs.size < len(curves):
        found.add(
            "dependent_points",
            f"{many.size} runs give several evaluations each: {len(curves)} evaluations, "
            f"{runs.size} independent runs",
            "give a separate run, with its own seed, for each sample count",
        )


def _repeated(curves: Curves, found: Diagnosis) -> None:
    """Warn where one run has the same evaluation twice."""
    same = np.stack([curves.run, curves.samples, curves.unique, curves.error], axis=1)
    first = np.unique(same, axis=0, return_index=True)[1]
    again = np.setdiff1d(np.arange(len(curves)), first)
    if again.size:
        found.add(
            "duplicated_rows",
            f"{again.size} evaluations stand in the table twice (first: row "
            f"{int(curves.row[again].min())}); each counts, so the intervals are too narrow",
            "drop the copies, or give repeated runs their own seed or run_id",
            widen=True,
        )


def _identical(curves: Curves, found: Diagnosis) -> None:
    def content(pool: int) -> tuple[tuple[float, float], ...]:
        rows = curves.pool == pool
        return tuple(
            sorted(zip(curves.samples[rows].tolist(), curves.error[rows].tolist(), strict=True))
        )

    seen: dict[tuple[tuple[float, float], ...], int] = {}
    for pool in range(len(curves.pools)):
        first = seen.setdefault(content(pool), pool)
        if first != pool:
            found.add(
                "identical_pools",
                f"pools {curves.pools[first]!r} and {curves.pools[pool]!r} have identical "
                f"evaluations",
                "check whether one table was read twice; keep one of them, or merge them with "
                "their joint size",
            )


def diagnose_reach(
    curves: Curves, samples: Array, passes: Array, what: str, diagnosis: Diagnosis
) -> None:
    """Add warnings where ``samples`` or ``passes`` of a plan or point lie far beyond the data."""
    most = float(curves.samples.max())
    if samples.size and samples.max() > FAR * most * (1 + 1e-9):
        diagnosis.add(
            "extrapolation",
            f"{what} reaches {samples.max() / most:.3g} times the largest samples_seen "
            f"({most:.4g}); beyond 10 "
            "times nothing checks the law",
            f"add a run of at least {samples.max() / FAR:.4g} samples",
        )
    repeats = float(curves.passes.max())
    if passes.size and passes.max() > max(FAR_REPEATS * repeats, 4.0):
        diagnosis.add(
            "extrapolated_repeats",
            f"{what} repeats data {passes.max():.3g} times; the curves show at most "
            f"{repeats:.3g} passes",
            "add a run with more passes over a small part of the pool, or cap the passes",
        )


def diagnose_sizes(
    curves: Curves, weights: Array, unique: Array, passes: Array, diagnosis: Diagnosis
) -> None:
    """Warn where points repeat a pool that is larger than any that was trained on.

    ``weights`` and ``unique``: shape (points, pools); ``passes``: shape (points,).
    """
    ratio = np.where(weights > 0, unique / curves.pool_sizes, 0.0).max(axis=1)
    over = (ratio > LARGER) & (passes > 1.0)
    if over.any():
        diagnosis.add(
            "extrapolated_pool_size",
            f"a point repeats a pool {ratio[over].max():.3g} times as large as the largest that was "
            "trained on: how its half-life grows with size is an assumption",
            "add a run of two or more passes over a larger part of the pool",
        )
