"""Stochastic greedy: each step looks at some candidates only, drawn by a key.

With s candidates a step, s being ``n / k * log(1 / e)``, k picks of n reach ``1 - 1/e - e`` of the best value of a
monotone submodular objective in expectation, at ``n log(1 / e)`` gains in all instead of n x k (Mirzasoleiman et al.
2015, arXiv 1409.7938). Here s is given, not derived from k, so that the picks for k are the first of those for k + 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from assets.kernels.keyed_random import hash_words

Gains = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From rows to what each would add now."""
Add = Callable[[int], None]
"""Told of each pick, before the next gains are asked for."""


class GreedyError(ValueError):
    """Candidates that no greedy step can look at."""


def candidates_for(n: int, k: int, epsilon: float) -> int:
    """Return how many candidates a step must look at for k picks of n within `epsilon`, in (0, 1)."""
    if not 0 < epsilon < 1 or n < 1 or k < 1:
        message = f"n={n}, k={k}, epsilon={epsilon}: use 1 row and pick or more, and epsilon between 0 and 1"
        raise GreedyError(message)
    return min(n, math.ceil(n / k * math.log(1 / epsilon)))


def stochastic_greedy(
    words: NDArray[np.uint64], gains: Gains, add: Add, most: int, candidates: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Yield (row, gain), one pick a step; of equal gains the row with the smallest hash wins.

    Parameters
    ----------
    words
        From `id_words`, shape (n, 2): what draws are keyed by, so that order and position have no influence.
    gains, add
        The objective.
    most
        Picks wanted at most.
    candidates
        Rows that a step looks at; all that are left where there are fewer.
    seed
        Key of the draws.

    Raises
    ------
    GreedyError
        `candidates` is below 1.
    """
    if candidates < 1:
        message = f"candidates is {candidates}; a step must look at 1 or more"
        raise GreedyError(message)
    left = np.arange(len(words))
    for step in range(min(most, len(words))):
        hashes = hash_words(words[left], seed, f"stochastic greedy step {step}")
        drawn = np.lexsort((words[left, 1], words[left, 0], hashes))[:candidates]
        found = gains(left[drawn])
        at = int(np.argmax(found))
        row = int(left[drawn[at]])
        yield row, float(found[at])
        add(row)
        left = np.delete(left, drawn[at])
