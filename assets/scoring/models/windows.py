"""Cut token ids into windows that a model can take, and put windows of like length into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assets.scoring.models.token_worker import Ids

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Pieces of texts: piece w is ``ids[start[w] : start[w] + size[w]]`` of text `text[w]`."""

    text: Rows
    start: Rows
    size: Rows
    cut: int
    """Texts whose end is in no piece."""


def cut_windows(offsets: NDArray[np.int64], body: int, most: int) -> Windows:
    """Cut texts into pieces as even as possible.

    Parameters
    ----------
    offsets
        n + 1 offsets of the texts' token ids.
    body
        Tokens that a piece may have.
    most
        Pieces that a text may have; 1 cuts it off after `body` tokens. What lies beyond is left out.

    Notes
    -----
    A text of t tokens has ceil(min(t, most * body) / body) pieces whose sizes differ by at most one;
    one without tokens has none.
    """
    sizes = np.diff(offsets)
    taken = np.minimum(sizes, most * body)
    pieces = -(-taken // body)
    text = np.repeat(np.arange(len(sizes)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    number = np.arange(len(text)) - first
    total, count = taken[text], pieces[text]
    begin = number * total // np.maximum(count, 1)
    end = (number + 1) * total // np.maximum(count, 1)
    return Windows(text, offsets[:-1][text] + begin, end - begin, int((taken < sizes).sum()))


@dataclass
class Batches:
    """Run a function over windows of like length, as many at a time as memory takes.

    Parameters
    ----------
    tokens
        Padded tokens of a batch. Halved whenever memory runs out, for good, and told.
    device
        Where the function works.

    Attributes
    ----------
    halved
        How often memory ran out.
    """

    tokens: int
    device: torch.device
    told: Callable[[str], None] = lambda _message: None
    halved: int = field(default=0, init=False)

    def run(
        self,
        lengths: NDArray[np.int64],
        work: Callable[[Rows], Any],
    ) -> Iterator[tuple[Rows, Any]]:
        """Call `work` on rows of like length until each was worked on once.

        Parameters
        ----------
        lengths
            Tokens of each row, special ones included.
        work
            Takes row numbers.

        Yields
        ------
        The rows, and what `work` returned for them. Longest first, so that memory runs out at once
        or not at all.

        Raises
        ------
        torch.OutOfMemoryError
            One row alone is too much.
        """
        order = np.argsort(-lengths, kind="stable")
        at = 0
        while at < len(order):
            longest = max(int(lengths[order[at]]), 1)
            rows = order[at : at + max(self.tokens // longest, 1)]
            try:
                result = work(rows)
            except (torch.OutOfMemoryError, MemoryError):
                if len(rows) == 1:
                    raise
                self.halved += 1
                self.tokens = max(longest * len(rows) // 2, longest)
                self.told(f"out of memory: batches of {self.tokens:,} tokens from here on")
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            yield rows, result
            at += len(rows)


def padded(
    ids: Ids,
    windows: Windows,
    rows: Rows,
    before: tuple[int, ...],
    after: tuple[int, ...],
    padding: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay windows side by side: int64 ids and mask, both (rows, longest); filled up on the right."""
    sizes = windows.size[rows]
    extra = len(before) + len(after)
    width = int(sizes.max(initial=0)) + extra
    table = np.full((len(rows), width), padding, dtype=np.int64)
    mask = np.arange(width)[None, :] < (sizes + extra)[:, None]
    table[:, : len(before)] = before
    inner = np.zeros_like(mask)
    inner[:, len(before) :] = np.arange(width - len(before))[None, :] < sizes[:, None]
    lines, columns = np.nonzero(inner)
    place = windows.start[rows][lines] + columns - len(before)
    table[lines, columns] = ids[0][place]
    for i, token in enumerate(after):
        table[np.arange(len(rows)), len(before) + sizes + i] = token
    return torch.from_numpy(table), torch.from_numpy(mask.astype(np.int64))
