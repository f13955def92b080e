"""Train a small causal language model on bytes, or on codes of a trained vocabulary, and measure bits per byte.

The model embeds the last bytes, one hidden layer, a softmax over 256 values (Bengio et al. 2003 on
bytes; with a vocabulary its codes stand for bytes throughout): for a few hundred thousand bytes on a
CPU it learns faster per second than a recurrent net or a transformer, because every byte of a record
is one row of one matrix product. Constant learning rate, then a linear cooldown: each sample count is
a separate run, never a point in the middle of a schedule.

Error = bits per byte / 8, so that chance is 1.0. One thread, float32, seeded: equal inputs give
equal results on one machine, for any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.filtering.proxies.settings import ProxySettings
from assets.filtering.proxies.vocabulary import Vocabulary, first_bytes

if TYPE_CHECKING:
    import torch


class Encoded(NamedTuple):
    """Hold the codes of records, context in front, how many are real, and the bytes they stand for.

    Shapes (records, context + longest), (records,), (records,).
    """

    codes: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.int64]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums do not depend on the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def encode(
    text: pa.Array,
    rows: npt.NDArray[np.int64],
    settings: ProxySettings,
    vocabulary: Vocabulary | None = None,
) -> Encoded:
    """Return the codes of the first bytes of each record: the bytes themselves without a vocabulary.

    The context in front is filled with zeros (NUL), which no text contains; the rest is cut or
    padded.
    """
    texts = first_bytes(text, rows, settings.bytes_per_record)
    sizes = np.array([len(data) for data in texts], dtype=np.int64)
    if vocabulary is None:
        found: list[Any] = [np.frombuffer(data, dtype=np.uint8) for data in texts]
        longest = settings.bytes_per_record
    else:
        found = vocabulary.encode(texts)
        longest = max((len(codes) for codes in found), default=1)
    kind = np.uint8 if vocabulary is None else np.int32
    out = np.zeros((len(rows), settings.context + longest), dtype=kind)
    lengths = np.array([len(codes) for codes in found], dtype=np.int64)
    for i, codes in enumerate(found):
        out[i, settings.context : settings.context + len(codes)] = codes
    return Encoded(out, lengths, sizes)


@dataclass(frozen=True)
class Measured:
    """Hold an evaluation: error, standard error over records, bytes and work."""

    value: float
    se: float
    bytes_seen: int
    flops: float
    parameters: int


def train_and_measure(
    train: Encoded,
    schedule: npt.NDArray[np.int64],
    held: Encoded,
    *,
    settings: ProxySettings,
    seed: int,
    device: str = "cpu",
) -> Measured:
    """Train on records in the order of ``schedule`` and evaluate on ``held``.

    Parameters
    ----------
    train, held
        From ``encode``.
    schedule
        Rows of ``train`` in training order, repeats included, shape (samples,).
    settings
        Of the model.
    seed
        Of the initial weights.
    device
        ``cpu`` or ``cuda``. Results of the two agree statistically, not bit by bit.

    Returns
    -------
    Measured
        Error is mean bits a byte / 8 weighted by bytes; its standard error is by the delta method
        over records.
    """
    weights = train_weights(train, schedule, settings=settings, seed=seed, device=device)
    value, se = measure(weights, held, settings=settings, device=device)
    seen, tokens = int(train.bytes[schedule].sum()), int(train.lengths[schedule].sum())
    return Measured(value, se, seen, tokens * settings.flops_per_token, settings.parameters)


def train_weights(
    train: Encoded,
    schedule: npt.NDArray[np.int64],
    *,
    settings: ProxySettings,
    seed: int,
    device: str = "cpu",
) -> list[torch.Tensor]:
    """Return the weights after training; see ``train_and_measure``."""
    import torch
    from torch.nn import functional

    with one_thread():
        generator = torch.Generator().manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
        weights = list(_initial(settings, generator, device))
        optimiser = torch.optim.Adam(weights, lr=settings.learning_rate, betas=(0.9, 0.98))
        data = torch.from_numpy(train[0].astype(np.int64)).to(device)
        length = torch.from_numpy(train[1]).to(device)
        order = torch.from_numpy(schedule).to(device)
        steps = (len(schedule) + settings.batch_records - 1) // settings.batch_records
        calm = max(int(steps * settings.cooldown), 1)
        for step in range(steps):
            rate = min(1.0, (steps - step) / calm)
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            rows = order[step * settings.batch_records : (step + 1) * settings.batch_records]
            logits, target = _forward(weights, data[rows], length[rows], settings)
            loss = functional.cross_entropy(logits, target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
    return [weight.detach() for weight in weights]


def measure(
    weights: list[torch.Tensor],
    held: Encoded,
    *,
    settings: ProxySettings,
    device: str = "cpu",
) -> tuple[float, float]:
    """Return bits a byte / 8 on ``held`` and its standard error over records."""
    with one_thread():
        bits, count = _evaluate(weights, held, settings, device)
    total = float(count.sum())
    mean = float(bits.sum() / total)
    deviation = bits - mean * count
    se = float(np.sqrt(np.sum(deviation**2) * len(count) / max(len(count) - 1, 1)) / total)
    return mean / 8.0, se / 8.0


def _initial(
    settings: ProxySettings, generator: torch.Generator, device: str
) -> tuple[torch.Tensor, ...]:
    import torch

    inputs = settings.context * settings.embedding_size
    shapes = [
        ((settings.vocabulary_size, settings.embedding_size), 0.5),
        ((inputs, settings.hidden), inputs**-0.5),
        ((settings.hidden,), 0.0),
        ((settings.hidden, settings.vocabulary_size), 0.5 * settings.hidden**-0.5),
        ((settings.vocabulary_size,), 0.0),
    ]
    return tuple(
        (torch.randn(shape, generator=generator) * scale).to(device).requires_grad_()
        for shape, scale in shapes
    )


def _forward(
    weights: list[torch.Tensor], data: torch.Tensor, length: torch.Tensor, settings: ProxySettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (tokens, codes) and targets (tokens,) of the real tokens of some records."""
    import torch

    table, first, first_bias, second, second_bias = weights
    windows = data.unfold(1, settings.context, 1)[:, :-1]  # (records, bytes, context)
    target = data[:, settings.context :]
    real = torch.arange(target.shape[1], device=data.device)[None, :] < length[:, None]
    vectors = table[windows[real]].flatten(1)
    hidden = torch.relu(torch.addmm(first_bias, vectors, first))
    return torch.addmm(second_bias, hidden, second), target[real]


def _evaluate(
    weights: list[torch.Tensor],
    held: Encoded,
    settings: ProxySettings,
    device: str,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return bits and bytes of each held-out record."""
    import torch
    from torch.nn import functional

    bits = np.zeros(len(held[0]))
    with torch.no_grad():
        for start in range(0, len(held[0]), 128):
            part = torch.from_numpy(held[0][start : start + 128].astype(np.int64)).to(device)
            length = torch.from_numpy(held[1][start : start + 128]).to(device)
            logits, target = _forward(weights, part, length, settings)
            loss = functional.cross_entropy(logits, target, reduction="none").double().cpu().numpy()
            record = np.repeat(np.arange(len(part)), held[1][start : start + 128])
            bits[start : start + 128] = np.bincount(record, loss, minlength=len(part)) / np.log(2.0)
    return bits, held.bytes.astype(float)
