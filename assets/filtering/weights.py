"""Search sampling shares that are not in proportion to size.

The predicted error of a mixture is neither convex nor smooth in its shares (a pass begins, and with
kappa > 0 a small share repeats longer), so the search is a pattern search from several starts: all
moves of a fixed share from one pool to another are tried at once, the best is made, and where none
helps the share is halved. Deterministic; the result is never worse than its start.
"""

from __future__ import annotations

import numpy as np

from assets.filtering.candidates import Candidates
from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble

FIRST_STEP, LAST_STEP = 0.2, 0.0125
#: a pool below this share is left out: the laws know nothing of traces
LEAST_SHARE = 0.02
MOST_STEPS = 60


def search_shares(
    ensemble: Ensemble,
    plans: Candidates,
    starts: Array,
    budget: float,
    *,
    model_size: float | None = None,
) -> tuple[Array, Array]:
    """Improve sampling shares at one budget.

    Parameters
    ----------
    ensemble
        Fitted laws; the objective is their weighted mean prediction.
    plans
        Sizes and caps; a share that would break a cap leaves budget unspent.
    starts
        Shape (starts, pools), rows sum to one.
    budget
        Samples, repeats included.
    model_size
        The size to predict for; None: the largest.

    Returns
    -------
    tuple of ndarray
        Shares (starts, pools) and their predicted errors (starts,). Cost: at most 60 batches of
        starts x pools^2 predictions.
    """
    pools = starts.shape[1]
    giver, taker = (
        np.array([(i, j) for i in range(pools) for j in range(pools) if i != j], dtype=np.int64)
        .reshape(-1, 2)
        .T
    )

    def error(shares: Array) -> Array:
        rows = Candidates(shares > 0, plans.unique, plans.caps, shares)
        unique = np.broadcast_to(plans.unique, shares.shape)
        return ensemble.predict(rows.spend(budget), shares, unique, model_size=model_size)

    shares = starts.copy()
    value = error(shares)
    step = np.full(len(shares), FIRST_STEP)
    for _ in range(MOST_STEPS):
        busy = np.flatnonzero(step >= LAST_STEP)
        if not busy.size or not giver.size:
            break
        moves = np.repeat(shares[busy, None, :], len(giver), axis=1)
        at = np.arange(len(giver))
        amount = np.minimum(moves[:, at, giver], step[busy, None])
        moves[:, at, giver] -= amount
        moves[:, at, taker] += amount
        moves = _without_traces(moves)
        found = error(moves.reshape(-1, pools)).reshape(len(busy), -1)
        best = np.argmin(found, axis=1)
        gained = found[np.arange(len(busy)), best]
        better = gained < value[busy] - 1e-12
        improved = busy[better]
        shares[improved] = moves[better, best[better]]
        value[improved] = gained[better]
        step[busy[~better]] /= 2.0
    return shares, value


def _without_traces(shares: Array) -> Array:
    kept = np.where(shares < LEAST_SHARE, 0.0, shares)
    return np.asarray(kept / kept.sum(axis=-1, keepdims=True))
