"""Entropic optimal transport in the log domain, tile by tile.

Solves ``min over P of <P, C> + eps KL(P | a b^T)`` with row sums a and column sums b (Cuturi 2013). The dual
potentials (f, g) are the fixed point of two soft minima,

``f_i = -eps log sum_j b_j exp((g_j - C_ij) / eps)``, ``g_j = -eps log sum_i a_i exp((f_i - C_ij) / eps)``,

and f is the gradient of the optimal value in a up to a constant, exactly, which that of unregularised
transport is not: its duals need not be unique. ``eps`` is reached by halving from the largest cost, and every step
works on a block of rows, so that no more than `BLOCK_CELLS` costs are held.

At the last temperature each step goes beyond the soft minimum by a factor between 1 and 2 that is read off the rate at
which the error falls (successive over-relaxation: Thibault et al. 2021, "Overrelaxed Sinkhorn-Knopp algorithm for
regularized optimal transport", with Young's formula for the factor). The fixed point is the same. Costs that fall into
groups far from each other (vectors that are nearly one-hot) then take hundreds of rounds and not many thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_CELLS = 1 << 21
WARM_ROUNDS = 3
LOOK_BACK = 10
MOST_FACTOR = 1.98
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
    converged
        Whether the error is below the tolerance; if not, the rounds were used up.
    """

    f: NDArray[np.float64]
    g: NDArray[np.float64]
    eps: float
    value: float
    error: float
    iterations: int
    converged: bool


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
    most: int = 500,
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
        Rounds at the last temperature, at most: what is reached then is returned, and `converged` tells.

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
        factor, errors = 1.0, list[float]()
        for _ in range(most if last else WARM_ROUNDS):
            plain = _rows(costs, blocks, g, log_b, temperature)
            # f gives the rows' masses exp((f - plain) / eps) of what they should be
            errors.append(float(np.abs(np.expm1((f - plain) / temperature)).max()))
            if last:
                factor = _factor(errors, factor)
            f += factor * (plain - f)
            g += factor * (_columns(costs, blocks, f, log_a, temperature) - g)
            rounds += 1
            if last and errors[-1] < tolerance:
                break
        if last:
            break
        temperature = max(eps, temperature / 2)
    if factor > 1.0:  # g to its soft minimum, as it is without over-relaxation
        f = _rows(costs, blocks, g, log_b, temperature)
        g = _columns(costs, blocks, f, log_a, temperature)
    shift = float((b * g).sum())
    f, g = f + shift, g - shift
    value = float((a * f).sum() + (b * g).sum())
    return Transport(f, g, eps, value, errors[-1], rounds, errors[-1] < tolerance)


def _factor(errors: list[float], factor: float) -> float:
    """Return the factor of the next round from the errors so far: plain where they grow, else Young's formula.

    With the factor w, errors that shrink by l a round tell the rate m of plain rounds by
    ``(l + w - 1)^2 = l w^2 m``, and the best factor is ``2 / (1 + sqrt(1 - m))``.
    """
    if len(errors) <= 2 * LOOK_BACK or (len(errors) - 1) % (2 * LOOK_BACK) or not errors[-1]:
        return factor
    shrink = (errors[-1] / errors[-1 - LOOK_BACK]) ** (1 / LOOK_BACK)
    if shrink >= 1.0:
        return 1.0
    if shrink <= factor - 1.0:
        return factor
    rate = (shrink + factor - 1.0) ** 2 / (shrink * factor**2)
    return float(min(2.0 / (1.0 + np.sqrt(max(1.0 - rate, 0.0))), MOST_FACTOR))


def _rows(
    costs: Costs,
    blocks: list[slice],
    g: NDArray[np.float64],
    log_b: NDArray[np.float64],
    eps: float,
) -> NDArray[np.float64]:
    return np.concatenate([soft_minimum(costs(block), g, log_b, eps) for block in blocks])


def _columns(
    costs: Costs,
    blocks: list[slice],
    f: NDArray[np.float64],
    log_a: NDArray[np.float64],
    eps: float,
) -> NDArray[np.float64]:
    top: Any = -np.inf
    total: Any = 0.0
    for block in blocks:
        exponents = (f[block][:, None] - costs(block)) / eps + log_a[block][:, None]
        higher = np.maximum(top, exponents.max(axis=0))
        total = total * np.exp(top - higher) + np.exp(exponents - higher).sum(axis=0)
        top = higher
    return np.asarray(-eps * (top + np.log(total)))
