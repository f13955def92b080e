"""A small network on the records' vectors, and gradients of each record in closed form.

One hidden layer of rectified units on unit vectors, cross-entropy over the labels. It stands in for the model whose
training the methods look at: cheap enough to be trained several times, and with a layer below the last one, so that the
gradient of all weights is more than that of the last.

The fit is on one thread and in an order of its own, so the same sample gives the same weights; another BLAS may change
the last digits. What is computed of a record runs through `row_products`: it does not depend on the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.row_products import row_products
from assets.kernels.unit_vectors import SCALE
from assets.scoring.samples import stored_grid


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
