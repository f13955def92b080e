"""Distances between labels: between the clouds of records that carry them (Alvarez-Melis and Fusi 2020).

The distance of two labels is the Sinkhorn divergence of their clouds, ``OT(a, b) - (OT(a, a) + OT(b, b)) / 2`` with
cost ``1 - cosine``: 0 for equal clouds, and in the units of the cost between records (Feydy et al. 2019, arXiv
1810.08278). Names of labels have no influence, so a label that is spelled otherwise in the target is near its like.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.unit_vectors import UNIT

PAIR_CELLS = 1 << 22
ROUNDS = 500
TOLERANCE = 1e-5


def label_distances(
    left: list[NDArray[np.float32]], right: list[NDArray[np.float32]], eps: float
) -> tuple[NDArray[np.float64], float]:
    """Return the divergence of each cloud on the left from each on the right, and how far from its end it is.

    Parameters
    ----------
    left, right
        Clouds from `to_grid`, each of shape (rows, d), at least one row.
    eps
        Regularisation, in units of ``1 - cosine``, at least 0.02: the kernel is not held in logarithms.

    Returns
    -------
    distances : numpy.ndarray
        float64, shape (left, right), at least 0.
    error : float
        Largest change of a scaling in the last round, as a share; above `TOLERANCE` where `ROUNDS` didn't suffice.

    Notes
    -----
    O(left x right x rows² x (dim + rounds)); pairs are solved together, at most 4 million costs at a time.
    """
    pairs = [(i, j) for i in range(len(left)) for j in range(len(right))]
    between, error = _costs([(left[i], right[j]) for i, j in pairs], eps)
    own, errors = zip(
        *[_costs([(cloud, cloud) for cloud in side], eps) for side in (left, right)], strict=True
    )
    found = between.reshape(len(left), len(right)) - (own[0][:, None] + own[1][None, :]) / 2
    return np.maximum(found, 0.0), max(error, *errors)


def _costs(
    pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]], eps: float
) -> tuple[NDArray[np.float64], float]:
    """Return the entropic transport cost of each pair of clouds, and the largest error."""
    if not pairs:
        return np.empty(0), 0.0
    most = [max(len(pair[side]) for pair in pairs) for side in (0, 1)]
    step = max(1, PAIR_CELLS // (most[0] * most[1]))
    parts = [_block(pairs[s : s + step], most, eps) for s in range(0, len(pairs), step)]
    return np.concatenate([costs for costs, _ in parts]), max(error for _, error in parts)


def _block(pairs: list[Any], most: list[int], eps: float) -> tuple[NDArray[np.float64], float]:
    kernel = np.zeros((len(pairs), most[0], most[1]))
    mass = [np.zeros((len(pairs), size)) for size in most]
    for at, (a, b) in enumerate(pairs):
        products = (a @ b.T).astype(np.float64) / UNIT
        kernel[at, : len(a), : len(b)] = np.exp((products - 1.0) / eps)
        mass[0][at, : len(a)], mass[1][at, : len(b)] = 1 / len(a), 1 / len(b)
    turned = kernel.transpose(0, 2, 1)
    u, v, error = np.ones_like(mass[0]), np.ones_like(mass[1]), 0.0
    for _ in range(ROUNDS):
        before = u
        u = _inverse(np.matmul(kernel, (v * mass[1])[:, :, None])[:, :, 0])
        v = _inverse(np.matmul(turned, (u * mass[0])[:, :, None])[:, :, 0])
        error = float(np.abs(u / before - 1.0)[mass[0] > 0].max())
        if error < TOLERANCE:
            break
    logs = [
        np.where(m > 0, np.log(np.where(m > 0, w, 1.0)), 0.0)
        for m, w in zip(mass, (u, v), strict=True)
    ]
    costs = eps * ((mass[0] * logs[0]).sum(axis=1) + (mass[1] * logs[1]).sum(axis=1))
    return np.asarray(costs), error


def _inverse(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sums > 0, 1.0 / np.where(sums > 0, sums, 1.0), 1.0)
