"""Surprisal of a text under a causal language model, each token counted once.

A text of t tokens longer than the model's input is read in windows that overlap by half: a token
is predicted from at least half a window of what precedes it (but for the first half window of the
text), and a window counts only the tokens that the one before did not. Where the tokenizer puts a
token before texts, the first token of the text is predicted too; else it can't be.

Cost: the model, on windows sorted by length; logits are held for a batch of `batch_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assets.scoring.models.loading import Precision, load_model
from assets.scoring.models.model_files import ModelFiles, find_model
from assets.scoring.models.token_worker import Ids
from assets.scoring.models.tokenising import Tokeniser
from assets.scoring.models.windows import Batches, Windows, padded
from assets.scoring.protocol import ScoringError

BLOCK = 256
MOST_TOKENS = 1 << 16
_BATCH_TOKENS = {"cpu": 2048, "cuda": 1 << 15}


@dataclass(frozen=True, slots=True)
class Surprisal:
    """Of n texts: total surprisal in nats, and how many tokens it is the sum over.

    `cut` tells the texts of which only the first `MOST_TOKENS` tokens were read.
    """

    nats: NDArray[np.float64]
    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]


@dataclass
class CausalModel:
    """A causal language model that reads texts.

    Parameters
    ----------
    name
        A folder, or an id on the hub.
    max_tokens
        Tokens of a window; None takes the least of 1,024 and what the model's files state.
    precision, device, workers, cache, batch_tokens, told
        As in `TextEncoder`.
    """

    name: str
    max_tokens: int | None = None
    precision: Precision = "auto"
    device: str | torch.device = "cpu"
    workers: int = 0
    cache: Path | None = None
    batch_tokens: int | None = None
    setting: str = "lm_perplexity"
    told: Callable[[str], None] = lambda _message: None
    files: ModelFiles = field(init=False)
    _model: Any = field(default=None, init=False, repr=False)
    _tokeniser: Tokeniser | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.files = find_model(self.name, setting=self.setting)
        longest = self.files.longest_input()
        if self.max_tokens is None:
            self.max_tokens = min(1024, longest)
        if not 4 <= self.max_tokens <= longest:
            message = (
                f"{self.setting}: max_tokens is {self.max_tokens}; {self.name} takes 4 to {longest}"
            )
            raise ScoringError(message)

    def surprisal(self, texts: Sequence[str]) -> Surprisal:
        """Read texts; one without a token that can be predicted has 0 tokens."""
        nats, tokens = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
        cut = np.zeros(len(texts), dtype=bool)
        if self._tokeniser is None:
            self._tokeniser = Tokeniser(self.files, self.workers, self.cache, self.setting)
            self._model = load_model(
                self.files,
                "causal",
                self.precision,
                torch.device(self.device),
                setting=self.setting,
            )
        at = 0
        blocks = (list(texts[i : i + BLOCK]) for i in range(0, len(texts), BLOCK))
        for ids in self._tokeniser.blocks(blocks):
            rows = slice(at, at + len(ids[1]) - 1)
            nats[rows], tokens[rows], cut[rows] = self._read(ids)
            at = rows.stop
        return Surprisal(nats, tokens, cut)

    def close(self) -> None:
        """End the tokenising processes."""
        if self._tokeniser is not None:
            self._tokeniser.close()

    def _read(self, ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
        assert self._tokeniser is not None
        assert self.max_tokens is not None
        before = self._tokeniser.special.before
        windows, counted = half_overlapping(ids[1], self.max_tokens - len(before))
        nats = np.zeros(len(ids[1]) - 1)
        tokens = np.zeros(len(ids[1]) - 1, dtype=np.int64)
        device = torch.device(self.device)
        size = self.batch_tokens or _BATCH_TOKENS.get(device.type, _BATCH_TOKENS["cpu"])
        padding = self._tokeniser.special.padding

        def work(rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            table, mask = padded(ids, windows, rows, before, (), padding)
            last = torch.from_numpy(windows.size[rows] + len(before))
            first = torch.from_numpy(windows.size[rows] + len(before) - counted[rows])
            with torch.inference_mode():
                logits = self._model(
                    input_ids=table.to(device), attention_mask=mask.to(device)
                ).logits
                told = torch.nn.functional.cross_entropy(
                    logits[:, :-1].float().transpose(1, 2),
                    table[:, 1:].to(device),
                    reduction="none",
                ).cpu()
            place = torch.arange(1, table.shape[1])[None, :]
            seen = (place >= first.clamp_min(1)[:, None]) & (place < last[:, None])
            total = (told.double() * seen).sum(dim=1)
            return total.numpy(), seen.sum(dim=1).numpy()

        lengths = windows.size + len(before)
        for rows, (total, count) in Batches(size, device, self.told).run(lengths, work):
            np.add.at(nats, windows.text[rows], total)
            np.add.at(tokens, windows.text[rows], count)
        return nats, tokens, np.diff(ids[1]) > MOST_TOKENS


def half_overlapping(offsets: NDArray[np.int64], body: int) -> tuple[Windows, NDArray[np.int64]]:
    """Cut texts into windows of at most `body` tokens that overlap by half.

    Returns
    -------
    windows, counted
        `counted[w]` is how many tokens at the end of window w no earlier window of its text has.
    """
    step = max(body // 2, 1)
    text, start, size, counted = [], [], [], []
    for row, (begin, end) in enumerate(pairwise(offsets.tolist())):
        stop = min(end, begin + MOST_TOKENS)
        at, done = begin, begin
        while done < stop:
            to = min(at + body, stop)
            text.append(row)
            start.append(at)
            size.append(to - at)
            counted.append(to - done)
            done, at = to, at + step
    cut = int((np.diff(offsets) > MOST_TOKENS).sum())
    arrays = [np.array(column, dtype=np.int64) for column in (text, start, size, counted)]
    return Windows(arrays[0], arrays[1], arrays[2], cut), arrays[3]
