"""Groups that no row names: only each bag's shares of the groups are known.

A row's features come from its group's Gaussian with a covariance that all groups share, and within a
bag the groups' shares are given; expectation maximisation from the bags' means gives each row's
membership. That is identified only where the bags differ enough: the matrix of shares must have full
column rank, and its conditioning is part of the answer. Memberships are used in sums; no method
hands out a row's. Source: mixtures with known bag weights (learning from label proportions; Quadrianto
et al. 2009 for the means by bags).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assets.allocation.errors import AllocationError
from assets.allocation.roots import Floats

LEAST_SPREAD = 0.05
_ROUNDS = 200


class AlikeBagsError(AllocationError):
    """The bags' shares don't tell the groups apart."""


@dataclass(frozen=True, eq=False)
class Memberships:
    """What is known of groups without a label on any row.

    `counts` soft rows per group sum(P), `effective` their worth (sum P)^2 / sum(P^2), `spread` the
    least singular value of the shares by the largest (1 where every bag is pure), `calibration` the
    mean absolute error of the shares that the fit finds in bags it was not shown.
    """

    groups: tuple[str, ...]
    counts: Floats
    effective: Floats
    spread: float
    calibration: float
    _soft: Floats

    def __repr__(self) -> str:
        """Show sums only."""
        return f"Memberships({dict(zip(self.groups, self.counts.round(1).tolist(), strict=True))})"

    def mean(self, values: Floats) -> Floats:
        """Return the mean of a value per row (a loss, say) in each group, shape (G,).

        By regression on the memberships: their weighted mean would pull groups that overlap
        towards each other.
        """
        return np.asarray(np.linalg.lstsq(self._soft, values, rcond=None)[0])


def check_spread(shares: Floats, groups: Sequence[str]) -> float:
    """Return the least singular value of `shares` (bags, G) by the largest.

    Raises
    ------
    AlikeBagsError
        Fewer bags than groups, or bags so alike that the groups can't be told apart.
    """
    rows, count = shares.shape
    if count != len(groups) or (shares < 0).any() or not np.allclose(shares.sum(axis=1), 1.0):
        msg = f"shares: {count} columns for {len(groups)} groups; each bag's shares must sum to 1"
        raise AllocationError(msg)
    if rows < count:
        msg = f"{rows} bags can't tell {count} groups apart; at least {count} bags are needed"
        raise AlikeBagsError(msg)
    values = np.linalg.svd(shares, compute_uv=False)
    spread = float(values[-1] / values[0])
    if spread < LEAST_SPREAD:
        msg = (
            f"the bags are too alike to tell groups {list(groups)} apart: the least singular value "
            f"of their shares is {spread:.3g} of the largest, {LEAST_SPREAD} is needed; add bags "
            "with other shares, or label some rows"
        )
        raise AlikeBagsError(msg)
    return spread


def learn_memberships(
    features: Floats,
    bag: np.ndarray,
    shares: Floats,
    groups: Sequence[str],
    *,
    dimensions: int = 16,
) -> Memberships:
    """Learn soft memberships from bags' shares.

    Parameters
    ----------
    features
        Rows by features, shape (n, d); reduced to at most `dimensions` principal axes.
    bag
        Each row's bag, a position in `shares`, shape (n,).
    shares
        Shares of the groups in each bag, shape (bags, G), rows sum to 1.
    groups
        Names.
    dimensions
        Most axes kept.

    Raises
    ------
    AlikeBagsError
        See `check_spread`.
    """
    spread = check_spread(shares, groups)
    x = _reduce(np.asarray(features, float), dimensions)
    soft = _fit(x, bag, shares)[2]
    counts = soft.sum(axis=0)
    effective = counts**2 / np.maximum((soft**2).sum(axis=0), 1e-300)
    calibration = _left_out(x, bag, shares, groups)
    return Memberships(tuple(groups), counts, effective, spread, calibration, soft)


def _reduce(x: Floats, dimensions: int) -> Floats:
    x = x - x.mean(axis=0)
    _, scale, axes = np.linalg.svd(x, full_matrices=False)
    kept = min(dimensions, int((scale > 1e-9 * scale[0]).sum()))
    return np.asarray(x @ axes[:kept].T)


def _bag_means(x: Floats, bag: np.ndarray, bags: int) -> tuple[Floats, Floats]:
    counts = np.bincount(bag, minlength=bags).astype(float)
    sums = np.stack([np.bincount(bag, column, minlength=bags) for column in x.T], axis=1)
    return sums / np.maximum(counts, 1.0)[:, None], counts


def _fit(x: Floats, bag: np.ndarray, shares: Floats) -> tuple[Floats, Floats, Floats]:
    """Return (means, shared covariance, memberships) by expectation maximisation."""
    means, counts = _bag_means(x, bag, len(shares))
    weight = np.sqrt(counts)[:, None]
    centre: Floats = np.linalg.lstsq(shares * weight, means * weight, rcond=None)[0].astype(float)
    prior = np.log(np.maximum(shares, 1e-12))[bag]
    covariance: Floats = np.cov(x.T).reshape(x.shape[1], x.shape[1]).astype(np.float64)
    before = -np.inf
    for _ in range(_ROUNDS):
        soft, likelihood = _posterior(x, centre, covariance, prior)
        if likelihood - before < 1e-7 * abs(likelihood):
            break
        before = likelihood
        total = np.maximum(soft.sum(axis=0), 1e-9)
        centre = (soft.T @ x) / total[:, None]
        spread = x.T @ x - (centre.T * total) @ centre
        covariance = spread / len(x) + 1e-6 * np.eye(x.shape[1]) * np.trace(spread) / len(x)
    return centre, covariance, soft


def _shares_of(x: Floats, centre: Floats, covariance: Floats) -> Floats:
    """Return the most likely shares of one bag under fitted groups."""
    shares = np.full(len(centre), 1.0 / len(centre))
    for _ in range(_ROUNDS):
        soft, _ = _posterior(x, centre, covariance, np.log(np.maximum(shares, 1e-12)))
        shares = soft.mean(axis=0)
    return shares


def _posterior(
    x: Floats, centre: Floats, covariance: Floats, prior: Floats
) -> tuple[Floats, float]:
    inverse = np.linalg.inv(covariance)
    scores = x @ inverse @ centre.T - 0.5 * np.einsum("gd,de,ge->g", centre, inverse, centre)
    own = -0.5 * np.einsum("nd,de,ne->n", x, inverse, x) - 0.5 * np.linalg.slogdet(covariance)[1]
    joint = scores + prior
    top = joint.max(axis=1, keepdims=True)
    odds = np.exp(joint - top)
    total = odds.sum(axis=1, keepdims=True)
    return odds / total, float((own + (top + np.log(total))[:, 0]).sum())


def _left_out(x: Floats, bag: np.ndarray, shares: Floats, groups: Sequence[str]) -> float:
    """Return how far bags outside of the fit are from the shares found in them; NaN if too few."""
    folds = np.arange(len(shares)) % 2
    errors: list[Floats] = []
    for fold in (0, 1):
        inside = np.flatnonzero(folds != fold)
        try:
            check_spread(shares[inside], groups)
        except AlikeBagsError:
            continue
        place = np.full(len(shares), -1)
        place[inside] = np.arange(inside.size)
        rows = place[bag] >= 0
        centre, covariance, _ = _fit(x[rows], place[bag[rows]], shares[inside])
        errors += [
            np.abs(_shares_of(x[bag == b], centre, covariance) - shares[b])
            for b in np.flatnonzero(folds == fold)
            if (bag == b).any()
        ]
    return float(np.mean(errors)) if errors else float("nan")


def performance_from_bags(
    performance: Floats, rows: Floats, shares: Floats, groups: Sequence[str]
) -> tuple[Floats, Floats]:
    """Return each group's performance and its standard error from bag-level results alone.

    Parameters
    ----------
    performance, rows
        Mean result and number of rows of each bag, shape (bags,).
    shares
        Shares of the groups, shape (bags, G).
    groups
        Names.

    Raises
    ------
    AlikeBagsError
        See `check_spread`.
    """
    check_spread(shares, groups)
    root = np.sqrt(rows / rows.mean())
    x, y = shares * root[:, None], performance * root
    inverse = np.linalg.inv(x.T @ x)
    found = inverse @ (x.T @ y)
    left = max(len(y) - len(groups), 1)
    variance = float(((y - x @ found) ** 2).sum()) / left
    return found, np.sqrt(np.diag(inverse) * variance)
