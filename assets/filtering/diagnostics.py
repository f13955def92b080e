"""Find what the curves cannot say, name it, and say which run would cure it."""

from __future__ import annotations

import numpy as np

from assets.filtering.curves import Curves
from assets.filtering.notices import Diagnosis, pool_names
from assets.filtering.overfitting import find_rising

WARM_UP = 0.95


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
    find_rising(curves, found)
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
            f"all evaluations of {pool_names(curves, lost)} are in warm-up or worse than chance; they are "
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
            f"fewer than four usable evaluations for {pool_names(curves, few)}",
            "evaluate at four or more sample counts, spread by factors of two to four",
            widen=True,
        )
    if one_size:
        found.add(
            "single_pool_size",
            f"only one pool size for {pool_names(curves, one_size)}: the floor and the decay by "
            f"repetition cannot be "
            "told apart, so mixtures and long runs may be mispredicted although the fit looks good",
            "add runs on random parts of the pool (a quarter, a sixteenth) at equal samples_seen",
        )
    if unrepeated:
        found.add(
            "no_repeats",
            f"no evaluation above two passes for {pool_names(curves, unrepeated)}: the half-life is "
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
