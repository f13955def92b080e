"""Embed texts by a trained encoder: all of a text, not only its first window.

A text longer than the model's input is cut into windows of even size; its vector is the mean of the
windows' pooled vectors, weighted by their tokens (for mean pooling: the mean over all tokens), and
then brought to unit length. ``long_texts="cut"`` keeps the first window only, as sentence-transformers
does (Reimers and Gurevych 2019).

The space is named by the model's content, pooling and window, not by device or precision: the same
text has the same vector up to rounding, to a cosine of 0.999 between bfloat16 and float32. Which
texts share a batch changes the last bits too.

Cost: the model, on windows sorted by length, so that little is padding. Tokens are made in processes of
their own while the model works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from assets.scoring.models.loading import Precision, load_model
from assets.scoring.models.model_files import POOLINGS, ModelFiles, find_model
from assets.scoring.models.token_worker import Ids
from assets.scoring.models.tokenising import Tokeniser
from assets.scoring.models.windows import Batches, Windows, cut_windows, padded
from assets.scoring.protocol import ScoringError

BLOCK = 1024
MOST_WINDOWS = 64
_CHARACTERS_A_TOKEN = 32
_DEFAULT_TOKENS = 512
_BATCH_TOKENS = {"cpu": 4096, "cuda": 1 << 17}


@dataclass
class TextEncoder:
    """A trained encoder as an embedder.

    Parameters
    ----------
    name
        ``minilm``, a folder, or an id on the hub.
    pooling
        ``mean``, ``cls`` or ``last``; None takes what the model's files say, else mean.
    max_tokens
        Tokens of a window, special ones included; None takes what the model's files say.
    long_texts
        ``windows``, or ``cut``.
    precision
        ``auto`` takes bfloat16 where the device multiplies it natively.
    device
        torch device.
    workers, cache
        Of the tokenising processes.
    batch_tokens
        Padded tokens of a batch; None takes a default for the device. Halved when memory runs out.
    told
        Called with what a person should know.

    Attributes
    ----------
    cut
        Texts so far whose end is in no window.
    """

    name: str
    pooling: str | None = None
    max_tokens: int | None = None
    long_texts: Literal["windows", "cut"] = "windows"
    precision: Precision = "auto"
    device: str | torch.device = "cpu"
    workers: int = 0
    cache: Path | None = None
    batch_tokens: int | None = None
    setting: str = "scoring.embedder"
    told: Callable[[str], None] = lambda _message: None
    cut: int = field(default=0, init=False)
    dim: int = field(init=False)
    files: ModelFiles = field(init=False)
    _model: Any = field(default=None, init=False, repr=False)
    _tokeniser: Tokeniser | None = field(default=None, init=False, repr=False)
    _batches: Batches | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.files = find_model(self.name, setting=self.setting)
        self.pooling = self.pooling or self.files.pooling
        if self.pooling not in POOLINGS:
            message = f"{self.setting}: pooling is {self.pooling!r}; known: {', '.join(POOLINGS)}"
            raise ScoringError(message)
        self.dim = _hidden(self.files)
        longest = self.files.longest_input()
        if self.max_tokens is None:
            self.max_tokens = min(self.files.max_tokens or _DEFAULT_TOKENS, longest)
        if not 3 <= self.max_tokens <= longest:
            message = (
                f"{self.setting}: max_tokens is {self.max_tokens}; {self.name} takes 3 to {longest}"
            )
            raise ScoringError(message)

    @property
    def embedder_id(self) -> str:
        """Name the space: vectors of different ids must never be compared."""
        return (
            f"encoder/1:{self.files.digest}:dim={self.dim}:pooling={self.pooling}"
            f":tokens={self.max_tokens}:long={self.long_texts}:l2"
        )

    def embed(
        self,
        text: pa.Array | None = None,
        features: pa.Array | None = None,
        feature_names: list[str] | None = None,
    ) -> NDArray[np.float32]:
        """Embed n records by their text: float32, shape (n, dim), unit rows.

        A record without text has a zero row; features are not looked at.
        """
        del feature_names
        if text is None:
            rows = 0 if features is None else len(features)
            return np.zeros((rows, self.dim), dtype=np.float32)
        texts = ["" if value is None else value for value in text.to_pylist()]
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        at = 0
        for ids in self._tokens().blocks(self._blocks(texts)):
            rows = len(ids[1]) - 1
            out[at : at + rows] = self._embed(ids)
            at += rows
        return out

    def close(self) -> None:
        """End the tokenising processes."""
        if self._tokeniser is not None:
            self._tokeniser.close()

    def _tokens(self) -> Tokeniser:
        if self._tokeniser is None:
            self._tokeniser = Tokeniser(self.files, self.workers, self.cache, self.setting)
            assert self.max_tokens is not None
            if self._tokeniser.special.count >= self.max_tokens:
                message = (
                    f"{self.setting}: max_tokens is {self.max_tokens}, all of them special tokens"
                )
                raise ScoringError(message)
        return self._tokeniser

    def _blocks(self, texts: list[str]) -> Iterator[list[str]]:
        assert self.max_tokens is not None
        most = self._most_windows * self.max_tokens * _CHARACTERS_A_TOKEN
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            self.cut += sum(len(text) > most for text in block)
            yield [text[:most] for text in block]

    @property
    def _most_windows(self) -> int:
        return 1 if self.long_texts == "cut" else MOST_WINDOWS

    def _embed(self, ids: Ids) -> NDArray[np.float32]:
        special = self._tokens().special
        assert self.max_tokens is not None
        windows = cut_windows(ids[1], self.max_tokens - special.count, self._most_windows)
        self.cut += windows.cut
        total = np.zeros((len(ids[1]) - 1, self.dim), dtype=np.float64)
        lengths = windows.size + special.count
        for rows, pooled in self._runner().run(lengths, lambda r: self._pooled(ids, windows, r)):
            weighted = pooled.astype(np.float64) * windows.size[rows][:, None]
            np.add.at(total, windows.text[rows], weighted)
        norm = np.sqrt(np.einsum("nd,nd->n", total, total))[:, None]
        unit: NDArray[np.float32] = np.divide(
            total, norm, out=np.zeros_like(total), where=norm > 0
        ).astype(np.float32)
        return unit

    def _pooled(self, ids: Ids, windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the model on some windows and pool its last layer: float32, shape (rows, dim)."""
        special = self._tokens().special
        tokens, mask = padded(ids, windows, rows, special.before, special.after, special.padding)
        device = torch.device(self.device)
        if device.type == "cuda":
            tokens, mask = tokens.pin_memory(), mask.pin_memory()
        tokens, mask = (t.to(device, non_blocking=True) for t in (tokens, mask))
        with torch.inference_mode():
            hidden = self._loaded()(input_ids=tokens, attention_mask=mask).last_hidden_state
            pooled = pool(hidden, mask, str(self.pooling))
        found: NDArray[np.float32] = pooled.cpu().numpy()
        return found

    def _loaded(self) -> Any:  # noqa: ANN401 - a module of transformers
        if self._model is None:
            device = torch.device(self.device)
            self._model = load_model(
                self.files, "encoder", self.precision, device, setting=self.setting
            )
        return self._model

    def _runner(self) -> Batches:
        if self._batches is None:
            device = torch.device(self.device)
            tokens = self.batch_tokens or _BATCH_TOKENS.get(device.type, _BATCH_TOKENS["cpu"])
            self._batches = Batches(tokens, device, self.told)
        return self._batches


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool a last layer (b, t, d) under a mask (b, t) to float32 (b, d)."""
    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last":
        return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1].float()
    weights = mask.to(torch.float32)
    total = torch.bmm(weights[:, None, :], hidden.float())[:, 0]
    return total / weights.sum(dim=1, keepdim=True).clamp_min(1.0)


def _hidden(files: ModelFiles) -> int:
    told = files.config()
    hidden = next((told[k] for k in ("hidden_size", "n_embd", "d_model", "dim") if k in told), None)
    if not isinstance(hidden, int):
        message = (
            f"scoring.embedder: config.json of {files.name} states no hidden size; it is no encoder"
        )
        raise ScoringError(message)
    return hidden
