"""What a last layer's logits tell of each record, in one pass over them: EL2N and the last-layer GraNd.

Under cross-entropy the gradient in the logits is ``p - onehot(y)``; its length is EL2N (Paul, Ganguli and Dziugaite,
arXiv 2107.07075, section 3), and times ``sqrt(1 + norm(h)^2)`` that of the gradient in a linear last layer with a bias,
h being its inputs. Rows of ten numbers are what tensors are slow at: here a row is read once and stays in registers.

Cost: O(c + d) a record; memory: beside the result, a copy of the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled, compiled_with


class LogitsError(ValueError):
    """Logits, labels or inputs of a last layer that do not fit together."""


def error_lengths(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return EL2N, ``norm(softmax(logits) - onehot(label))``.

    Parameters
    ----------
    logits
        Float32 or float64, shape (n, c). Exponentials are of that type, sums are float64.
    labels
        Positions of the labels, shape (n,).

    Returns
    -------
    numpy.ndarray
        float64, shape (n,), 0 to sqrt(2); NaN where a logit is NaN or all are infinite.

    Raises
    ------
    LogitsError
        Shapes disagree, or a label is none of the classes.

    Examples
    --------
    >>> error_lengths(np.zeros((1, 2)), np.array([0])).round(3)
    array([0.707])
    """
    odds, own = _odds(logits, labels)
    found = np.empty(len(odds))
    _error_lengths(odds, own, found)
    return found


def last_layer_lengths(
    logits: NDArray[np.floating[Any]],
    inputs: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    *,
    bias: bool = True,
) -> NDArray[np.float64]:
    """Return the length of each record's gradient in a linear last layer; see `error_lengths`.

    Parameters
    ----------
    logits
        Float, shape (n, c).
    inputs
        What the layer was given, float, shape (n, d).
    labels
        Shape (n,).
    bias
        Whether the layer has one.

    Returns
    -------
    numpy.ndarray
        float64, shape (n,).
    """
    if inputs.ndim != 2 or len(inputs) != len(logits):
        message = f"inputs of a last layer have shape {inputs.shape} and its logits {logits.shape}"
        raise LogitsError(message)
    found = error_lengths(logits, labels)
    _times_inputs(np.ascontiguousarray(inputs), float(bias), found)
    return found


def _odds(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    own = np.asarray(labels, dtype=np.int64)
    if logits.ndim != 2 or own.shape != (len(logits),):
        message = f"logits have shape {logits.shape} and labels {own.shape}; give a label a row"
        raise LogitsError(message)
    if len(own) and not 0 <= own.min() <= own.max() < logits.shape[1]:
        message = (
            f"labels run from {own.min()} to {own.max()} and the logits are of {logits.shape[1]} classes; "
            "give labels as positions among the classes"
        )
        raise LogitsError(message)
    odds = np.array(logits, order="C")
    _less_largest(odds)
    return np.exp(odds, out=odds), own


@compiled
def _less_largest(rows: NDArray[Any]) -> None:
    for i in range(rows.shape[0]):
        most = rows[i, 0]
        for j in range(1, rows.shape[1]):
            most = max(most, rows[i, j])
        for j in range(rows.shape[1]):
            rows[i, j] -= most


@compiled
def _without(row: NDArray[Any], at: int) -> Any:  # noqa: ANN401 a numba float64
    total = 0.0
    for j in range(len(row)):
        total += 0.0 if j == at else row[j]
    return total


@compiled
def _error_lengths(odds: NDArray[Any], own: NDArray[np.int64], found: NDArray[np.float64]) -> None:
    for i in range(odds.shape[0]):
        total = 0.0
        for j in range(odds.shape[1]):
            total += odds[i, j]
        squares = 0.0
        for j in range(odds.shape[1]):
            part = np.float64(odds[i, j])
            # less one in the sum of odds, not of shares: nothing cancels where the label is all but certain
            squares += (_without(odds[i], j) if j == own[i] else part) ** 2
        found[i] = np.sqrt(squares) / total


# a sum of squares, all of one sign: its order is worth a few last digits
@compiled_with("reassoc", "contract")
def _times_inputs(inputs: NDArray[Any], bias: float, found: NDArray[np.float64]) -> None:
    for i in range(inputs.shape[0]):
        total = bias
        for j in range(inputs.shape[1]):
            x = np.float64(inputs[i, j])
            total += x * x
        found[i] *= np.sqrt(total)
