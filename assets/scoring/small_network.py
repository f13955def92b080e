"""A small network on the records' vectors, its training, and gradients of each record in closed form.

One hidden layer of rectified units on unit vectors, cross-entropy over the labels. It stands in for the model whose
training the methods look at: cheap enough to be trained several times, and with a layer below the last one, so that the
gradient of all weights is more than that of the last.

The fit is on one thread and in an order of its own, so the same sample gives the same weights; another BLAS may change
the last digits. What is computed of a record runs through `row_products`: it does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assets.kernels.row_products import row_products
from assets.kernels.unit_vectors import SCALE
from assets.scoring.linear_head import LabelledSample
from assets.scoring.samples import stored_grid

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
class Network:
    """Weights, the bias in the last column.

    Attributes
    ----------
    first
        float64, shape (h, d + 1).
    second
        float64, shape (c, h + 1).
    """

    first: NDArray[np.float64]
    second: NDArray[np.float64]

    def look(self, rows: NDArray[np.float64]) -> Pass:
        """Run rows (n, d + 1), from `with_bias`, through the network."""
        hidden = np.maximum(row_products(rows, self.first.T), 0.0)
        hidden = np.column_stack([hidden, np.ones(len(rows))])
        logits = row_products(hidden, self.second.T)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return Pass(self, rows, hidden, odds / odds.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Records on their way through a network.

    A gradient of a record in all weights is told by `outer`, its gradient in the logits (n, c); for the loss that is
    `errors`.

    Attributes
    ----------
    rows
        Inputs with the bias, shape (n, d + 1).
    hidden
        Activations with the bias, shape (n, h + 1).
    p
        Probabilities, shape (n, c).
    """

    network: Network
    rows: NDArray[np.float64]
    hidden: NDArray[np.float64]
    p: NDArray[np.float64]

    def errors(self, own: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return the loss's gradient in the logits, ``p - onehot(y)``, labels being positions (n,)."""
        found = self.p.copy()
        found[np.arange(len(own)), own] -= 1.0
        return found

    def inner(self, outer: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient in the hidden layer's inputs: shape (n, h)."""
        back = row_products(outer, self.network.second[:, :-1])
        return np.where(self.hidden[:, :-1] > 0, back, 0.0)

    def squared_norms(
        self, outer: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the squared length of the gradient in the first and in the last layer: two of shape (n,)."""
        inner = self.inner(outer)
        first = (inner * inner).sum(axis=1) * (self.rows * self.rows).sum(axis=1)
        second = (outer * outer).sum(axis=1) * (self.hidden * self.hidden).sum(axis=1)
        return first, second

    def along(self, outer: NDArray[np.float64], direction: Network) -> NDArray[np.float64]:
        """Return the inner product of each record's gradient with a direction of the weights' shapes: shape (n,)."""
        first = self.inner(outer) * row_products(self.rows, direction.first.T)
        second = outer * row_products(self.hidden, direction.second.T)
        return np.asarray(first.sum(axis=1) + second.sum(axis=1))

    def gradients(self, outer: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each record's gradient in full, first layer first: shape (n, h (d + 1) + c (h + 1))."""
        first = self.inner(outer)[:, :, None] * self.rows[:, None, :]
        second = outer[:, :, None] * self.hidden[:, None, :]
        return np.concatenate([first.reshape(len(first), -1), second.reshape(len(first), -1)], 1)

    def mean_gradient(self, outer: NDArray[np.float64]) -> Network:
        """Return the mean of the records' gradients."""
        return Network(
            self.inner(outer).T @ self.rows / len(outer), outer.T @ self.hidden / len(outer)
        )


def with_bias(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return unit vectors as they are once stored, with a column of ones: float64, shape (n, d + 1)."""
    grid = stored_grid(vectors).astype(np.float64) / SCALE
    return np.column_stack([grid, np.ones(len(grid))])


def flat(network: Network) -> NDArray[np.float64]:
    """Return all weights in the order of `Pass.gradients`."""
    return np.concatenate([network.first.ravel(), network.second.ravel()])


def shaped(weights: NDArray[np.float64], like: Network) -> Network:
    """Return weights of the order of `flat` in the shapes of a network."""
    cut = like.first.size
    return Network(
        weights[:cut].reshape(like.first.shape), weights[cut:].reshape(like.second.shape)
    )


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
