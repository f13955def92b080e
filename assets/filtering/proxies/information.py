"""Say what a further run is worth: how much less the chosen plan is expected to lose once it has been measured.

Draws of the fitted laws give, for every budget, the joint spread of the plans' errors, and with the
same draws what each possible run would measure. Taken as jointly normal, a run of noise s moves the
expected errors of the plans along c / sqrt(v + s^2), where c is their covariance with the run and v
the run's variance. The plan with the lowest expected error is then taken, so the expected gain is
min(m) - E[min(m + shift Z)], Z standard normal: the knowledge gradient for correlated beliefs
(Frazier, Powell and Dayanik 2009). It is never negative, and 0 where no result could change the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.filtering.decay import Array

REPLICATES = (1, 2, 4)
#: what counts as open: the loss that is exceeded with this probability
TAIL = 0.1


@dataclass(frozen=True)
class Pick:
    """Hold a chosen run: its place among the candidates, seeds to train it with, gain and work."""

    candidate: int
    replicates: int
    gain: float
    work: float


def open_loss(draws: Array, chosen: int) -> float:
    """Return what ``chosen`` loses to its worst rival with probability 10 %, at least 0.

    Parameters
    ----------
    draws
        Errors of the plans of one budget, shape (draws, plans).
    chosen
        The plan that is followed.

    Returns
    -------
    float
        In the metric. Small where the choice is clear and where it does not matter.
    """
    loss = np.quantile(draws[:, [chosen]] - draws, 1.0 - TAIL, axis=0)
    return float(max(loss.max(), 0.0))


def expected_gain(mean: Array, shift: Array) -> Array:
    """Return min(mean) - E[min(mean + shift Z)] for each row of ``shift``.

    Parameters
    ----------
    mean
        Expected errors of the plans, shape (plans,).
    shift
        How a standard result moves them, shape (runs, plans).

    Returns
    -------
    ndarray
        Shape (runs,), at least 0. Exact integral: the minimum of lines is integrated between the
        points where it changes.
    """
    return np.array([_line_gain(mean, row) for row in shift])


def _line_gain(mean: Array, shift: Array) -> float:
    """Integrate the lower envelope of the lines mean + shift z against the normal density."""
    from scipy.special import ndtr

    order = np.lexsort((mean, -shift))
    a, b = mean[order], shift[order]
    keep = np.concatenate([[True], np.diff(b) != 0.0])  # of equal slopes the lowest is first
    a, b = a[keep], b[keep]
    hull: list[int] = []
    starts: list[float] = []
    for i in range(len(a)):
        start = -np.inf
        while hull:
            j = hull[-1]
            start = (a[i] - a[j]) / (b[j] - b[i])
            if start > starts[-1]:
                break
            hull.pop()
            starts.pop()
            start = -np.inf
        hull.append(i)
        starts.append(start)
    low = np.array(starts)
    high = np.append(low[1:], np.inf)
    part = ndtr(high) - ndtr(low)
    density = np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)
    expected = np.sum(a[hull] * part + b[hull] * density / np.sqrt(2.0 * np.pi))
    return float(max(mean.min() - expected, 0.0))


def choose_runs(
    plans: Sequence[Array],
    runs: Array,
    work: Array,
    *,
    noise: float,
    allowed: float,
    most: int,
    least_gain: float,
) -> list[Pick]:
    """Choose runs one after another, each by the gain a unit of work, given those chosen before.

    Parameters
    ----------
    plans
        For each budget that is still open, draws of the plans' errors, shape (draws, plans).
    runs
        What each candidate would measure without noise, by the same draws, shape (draws, runs).
    work
        Cost of one training of each candidate, shape (runs,).
    noise
        Standard deviation of one evaluation.
    allowed, most
        Work and number of trainings that may still be spent.
    least_gain
        A choice that gains less, summed over the budgets, is not worth a run.

    Returns
    -------
    list of Pick
        Maybe empty. A candidate is trained with 1, 2 or 4 seeds, whichever gains most a unit of
        work, since one noisy run may be unable to change a plan that four can. Deterministic; ties
        go to the first candidate. Cost: O(picks x budgets x runs x plans log plans).
    """
    sizes = [part.shape[1] for part in plans]
    joint = np.concatenate([*plans, runs], axis=1)
    mean = joint.mean(axis=0)
    covariance = np.cov(joint, rowvar=False).reshape(joint.shape[1], joint.shape[1])
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if sizes else 0
    out: list[Pick] = []
    while total and most > 0:
        variance = np.maximum(np.diag(covariance)[total:], 0.0)
        best: Pick | None = None
        for replicates in REPLICATES:
            if replicates > most:
                continue
            scale = np.sqrt(variance + noise**2 / replicates) + 1e-300
            shift = covariance[total:, :total] / scale[:, None]
            gain = np.zeros(len(work))
            for start, end in zip(ends - sizes, ends, strict=True):
                gain += expected_gain(mean[start:end], shift[:, start:end])
            cost = work * replicates
            rate = np.where((cost <= allowed) & (gain >= least_gain), gain / cost, -1.0)
            at = int(np.argmax(rate))
            if rate[at] > 0 and (best is None or rate[at] > best.gain / best.work * (1 + 1e-9)):
                best = Pick(at, replicates, float(gain[at]), float(cost[at]))
        if best is None:
            break
        out.append(best)
        allowed -= best.work
        most -= best.replicates
        row = covariance[total + best.candidate]
        known = row[total + best.candidate] + noise**2 / best.replicates
        covariance = covariance - np.outer(row, row) / known
    return out
