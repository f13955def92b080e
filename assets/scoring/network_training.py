"""The training of a small network, with a checkpoint an epoch.

The fit is on one thread and in an order of its own, so the same sample gives the same weights; another BLAS may change
the last digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assets.scoring.linear_head import LabelledSample
from assets.scoring.small_network import Network, with_bias

Optimiser = Literal["sgd", "adam"]
BATCH_ROWS = 32
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained.

    Attributes
    ----------
    hidden
        Units of the hidden layer.
    epochs
        Passes over the sample; each ends in a checkpoint.
    rate
        Learning rate at the start; it falls linearly to a tenth.
    optimiser
        ``sgd`` (plain) or ``adam``.
    seed, run
        Key of the weights at the start and of the order of records.
    """

    hidden: int
    epochs: int
    rate: float
    optimiser: Optimiser
    seed: int
    run: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A network at the end of an epoch.

    Attributes
    ----------
    network
        Its weights.
    rate
        Mean learning rate of the epoch.
    moments
        Adam's running means of the gradient and of its square, not corrected for their start; zeros under ``sgd``.
    steps
        Updates so far.
    """

    network: Network
    rate: float
    moments: tuple[Network, Network]
    steps: int


@lru_cache(maxsize=12)  # scorers of one run share networks
def train(sample: LabelledSample, training: Training) -> tuple[Checkpoint, ...]:
    """Train a network; returns a checkpoint an epoch.

    Parameters
    ----------
    sample
        At least two labels; classes stand in the order of their hashes.
    training
        How.
    """
    from threadpoolctl import threadpool_limits

    classes, own = np.unique(sample.labels, return_inverse=True)
    rows = with_bias(sample.vectors)
    n, d = len(rows), rows.shape[1] - 1
    draw = np.random.default_rng([training.seed % 2**63, training.run])
    first = np.zeros((training.hidden, d + 1))
    first[:, :-1] = draw.normal(size=(training.hidden, d)) * np.sqrt(2.0)  # rows have length 1
    # nought, so that classes start alike and their names have no influence
    second = np.zeros((len(classes), training.hidden + 1))
    moments = [np.zeros_like(w) for w in (first, second, first, second)]
    total = training.epochs * -(-n // BATCH_ROWS)
    step = 0
    found = []
    with threadpool_limits(1):
        for _ in range(training.epochs):
            rates = []
            order = draw.permutation(n)
            for start in range(0, n, BATCH_ROWS):
                some = order[start : start + BATCH_ROWS]
                slopes = _slopes(first, second, rows[some], own[some])
                rate = training.rate * (1.0 - 0.9 * step / total)
                step += 1
                rates.append(rate)
                if training.optimiser == "sgd":
                    first -= rate * slopes[0]
                    second -= rate * slopes[1]
                else:
                    _adam((first, second), slopes, moments, step, rate)
            at = Network(first.copy(), second.copy())
            kept = (
                Network(moments[0].copy(), moments[1].copy()),
                Network(moments[2].copy(), moments[3].copy()),
            )
            found.append(Checkpoint(at, float(np.mean(rates)), kept, step))
    return tuple(found)


def _slopes(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    rows: NDArray[np.float64],
    own: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean loss's gradient in both layers."""
    hidden = np.maximum(rows @ first.T, 0.0)
    held = np.column_stack([hidden, np.ones(len(rows))])
    logits = held @ second.T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors = odds / odds.sum(axis=1, keepdims=True)
    errors[np.arange(len(rows)), own] -= 1.0
    inner = np.where(hidden > 0, errors @ second[:, :-1], 0.0)
    return inner.T @ rows / len(rows), errors.T @ held / len(rows)


def _adam(
    weights: tuple[NDArray[np.float64], NDArray[np.float64]],
    slopes: tuple[NDArray[np.float64], NDArray[np.float64]],
    moments: list[NDArray[np.float64]],
    step: int,
    rate: float,
) -> None:
    """Make one step of Adam (Kingma and Ba 2015) in place."""
    for weight, slope, mean, square in zip(weights, slopes, moments[:2], moments[2:], strict=True):
        mean += (1 - BETA_1) * (slope - mean)
        square += (1 - BETA_2) * (slope * slope - square)
        weight -= (
            rate * (mean / (1 - BETA_1**step)) / (np.sqrt(square / (1 - BETA_2**step)) + EPSILON)
        )
