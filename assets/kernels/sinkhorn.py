"""Entropic optimal transport in the log domain, tile by tile.

Solves ``min over P of <P, C> + eps KL(P | a b^T)`` with row sums a and column sums b (Cuturi 2013). The dual
potentials (f, g) are the fixed point of two soft minima,

``f_i = -eps log sum_j b_j exp((g_j - C_ij) / eps)``, ``g_j = -eps log sum_i a_i exp((f_i - C_ij) / eps)``,

and f is the gradient of the optimal value in a up to a constant, exactly, which that of unregularised
transport is not: its duals need not be unique. ``eps`` is reached by halving from the largest cost, and every step
works on a block of rows, so that no more than `BLOCK_CELLS` costs are held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_CELLS = 1 << 21
Costs = Callable[[slice], NDArray[np.float64]]
"""Returns the costs of some rows to all columns: float64, shape (rows, m)."""


class SinkhornError(ValueError):
    """Masses or a temperature that transport cannot work with."""


@dataclass(frozen=True, slots=True)
class Transport:
    """A solved problem.

    Attributes
    ----------
    f, g
        Dual potentials, float64, shapes (n,) and (m,), in units of the cost; g sums to 0 under b.
    eps
        The regularisation that was reached.
    value
        ``<a, f> + <b, g>``, the optimal regularised cost.
    error
        Largest violation of a row's mass, as a share of that mass.
    iterations
        Rounds over all temperatures.
    """

    f: NDArray[np.float64]
    g: NDArray[np.float64]
    eps: float
    value: float
    error: float
    iterations: int


def soft_minimum(
    costs: NDArray[np.float64],
    potential: NDArray[np.float64],
    log_mass: NDArray[np.float64],
    eps: float,
) -> NDArray[np.float64]:
    """Return ``-eps log sum_j mass_j exp((potential_j - costs_ij) / eps)`` for each row i.

    Parameters
    ----------
    costs
        float64, shape (n, m).
    potential, log_mass
        float64, shape (m,).
    eps
        Above 0.
    """
    exponents = (potential - costs) / eps + log_mass
    top = exponents.max(axis=1)
    return np.asarray(-eps * (top + np.log(np.exp(exponents - top[:, None]).sum(axis=1))))


def sinkhorn(
    costs: Costs,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    eps: float,
    *,
    tolerance: float = 1e-6,
    most: int = 2_000,
) -> Transport:
    """Solve a transport problem.

    Parameters
    ----------
    costs
        Costs of a slice of the n rows to all m columns.
    a, b
        Positive masses, shapes (n,) and (m,), each summing to 1.
    eps
        Regularisation, in units of the cost, above 0.
    tolerance
        Largest share of a row's mass by which the plan may miss it.
    most
        Rounds at the last temperature.

    Raises
    ------
    SinkhornError
        A mass is not positive, the masses do not sum to 1, or eps is not above 0.
    """
    for name, mass in (("a", a), ("b", b)):
        if not len(mass) or not (mass > 0).all() or abs(float(mass.sum()) - 1.0) > 1e-9:
            message = f"masses {name} must be positive and sum to 1"
            raise SinkhornError(message)
    if not 0 < eps < np.inf:
        message = f"eps is {eps}; it must be above 0 and finite"
        raise SinkhornError(message)
    step = max(1, BLOCK_CELLS // len(b))
    blocks = [slice(s, min(s + step, len(a))) for s in range(0, len(a), step)]
    log_a, log_b = np.log(a), np.log(b)
    f, g = np.zeros(len(a)), np.zeros(len(b))
    temperature = max(eps, max(float(np.abs(costs(block)).max()) for block in blocks))
    rounds = 0
    while True:
        last = temperature <= eps
        for _ in range(most if last else 3):
            before = f.copy()
            _rows(costs, blocks, f, g, log_b, temperature)
            _columns(costs, blocks, f, g, log_a, temperature)
            rounds += 1
            # before the update f gave the rows' masses exp((before - f) / eps) of what they should be
            error = float(np.abs(np.expm1((before - f) / temperature)).max())
            if last and error < tolerance:
                break
        if last:
            break
        temperature = max(eps, temperature / 2)
    shift = float((b * g).sum())
    f, g = f + shift, g - shift
    return Transport(f, g, eps, float((a * f).sum() + (b * g).sum()), error, rounds)


def _rows(
    costs: Costs,
    blocks: list[slice],
    f: NDArray[np.float64],
    g: NDArray[np.float64],
    log_b: NDArray[np.float64],
    eps: float,
) -> None:
    for block in blocks:
        f[block] = soft_minimum(costs(block), g, log_b, eps)


def _columns(
    costs: Costs,
    blocks: list[slice],
    f: NDArray[np.float64],
    g: NDArray[np.float64],
    log_a: NDArray[np.float64],
    eps: float,
) -> None:
    top = np.full(len(g), -np.inf)
    total = np.zeros(len(g))
    for block in blocks:
        exponents = (f[block][:, None] - costs(block)) / eps + log_a[block][:, None]
        higher = np.maximum(top, exponents.max(axis=0))
        total = total * np.exp(top - higher) + np.exp(exponents - higher).sum(axis=0)
        top = higher
    g[:] = -eps * (top + np.log(total))
