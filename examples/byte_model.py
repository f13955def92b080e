"""A small byte-level language model and a linear head: enough to see that a release teaches."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

VOCABULARY = 258  # 256 bytes, 256 starts a text, 257 pads
PADDING = 257


class ByteModel(nn.Module):
    """Predict the next byte from the 45 before it with causal convolutions.

    About 0.3 million parameters. Convolutions rather than recurrence: all positions of a batch are
    one product, which two cores do several times faster. Shapes: B texts, T bytes, D width.
    """

    def __init__(self, width: int = 160, *, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(VOCABULARY, 64)
            self.first = nn.Conv1d(64, width, kernel_size=6)
            self.middle = nn.Conv1d(width, width, kernel_size=4, dilation=3)
            self.last = nn.Conv1d(width, width, kernel_size=4, dilation=10)
            self.head = nn.Linear(width, VOCABULARY)

    def forward(self, bytes_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803 - shapes in names
        """Return logits (B, T, vocabulary) of the byte after each position."""
        hidden_BDT = functional.gelu(_causal(self.first, self.embedding(bytes_BT).transpose(1, 2)))  # noqa: N806
        for layer in (self.middle, self.last):
            hidden_BDT = hidden_BDT + functional.gelu(_causal(layer, hidden_BDT))  # noqa: N806
        return torch.as_tensor(self.head(hidden_BDT.transpose(1, 2)))


def _causal(layer: nn.Conv1d, values: torch.Tensor) -> torch.Tensor:
    # padded on the left only: no position sees what comes after it
    reach = (layer.kernel_size[0] - 1) * layer.dilation[0]
    return torch.as_tensor(layer(functional.pad(values, (reach, 0))))


def bits_of(model: nn.Module, bytes_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: N803
    """Return the bits that the model needs for each text and the bytes that it predicted, (B,)."""
    logits = model(bytes_BT[:, :-1])
    target = bytes_BT[:, 1:]
    nats = functional.cross_entropy(
        logits.transpose(1, 2), target, ignore_index=PADDING, reduction="none"
    )
    return nats.sum(1) / np.log(2), (target != PADDING).sum(1)


def weighted_loss(bits: torch.Tensor, count: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean over texts of bits a byte; a text of weight 0 has no influence."""
    return (weight * bits / count.clamp(min=1)).sum() / weight.sum().clamp(min=1e-9)


def train_head(train: pl.DataFrame, test: pl.DataFrame, *, steps: int = 200) -> tuple[float, float]:
    """Train a softmax regression on features; return its accuracy on `test` (before, after).

    Parameters
    ----------
    train, test
        Frames with `features` (lists of one length) and `label`; `train` also has `passes` and
        `weight`. Labels that training has not seen count as wrong. "Before" is always answering the
        commonest training label.
    steps
        Steps of full-batch Adam.
    """
    names = sorted(train["label"].unique().to_list())
    x = torch.tensor(np.array(train["features"].to_list(), dtype=np.float32))
    x_test = torch.tensor(np.array(test["features"].to_list(), dtype=np.float32))
    x, x_test = torch.nan_to_num(x), torch.nan_to_num(x_test)
    mean, scale = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    y = torch.tensor([names.index(label) for label in train["label"]])
    y_test = torch.tensor([names.index(label) if label in names else -1 for label in test["label"]])
    shown = torch.tensor((train["passes"] * train["weight"]).to_numpy().astype(np.float32))
    head = nn.Linear(x.shape[1], len(names))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05, weight_decay=1e-3)
    for _ in range(steps):
        loss = (
            functional.cross_entropy(head((x - mean) / scale), y, reduction="none") * shown
        ).sum() / shown.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    answers = head((x_test - mean) / scale).argmax(1)
    common = torch.bincount(y, weights=shown).argmax()
    return float((y_test == common).float().mean()), float((answers == y_test).float().mean())
