"""Train a softmax head on stored embeddings or features and measure its error rate.

For labelled records without text, or where the label is what counts. Adam at a constant rate with
a linear cooldown, features standardised by the training records of the run. Chance is one minus the
majority's share among the held-out records.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from assets.filtering.proxies.language_model import Measured, one_thread
from assets.filtering.proxies.settings import ProxySettings

Float32 = npt.NDArray[np.float32]


def train_and_measure(
    train: tuple[Float32, npt.NDArray[np.int64]],
    schedule: npt.NDArray[np.int64],
    held: tuple[Float32, npt.NDArray[np.int64]],
    *,
    classes: int,
    settings: ProxySettings,
    seed: int,
    device: str = "cpu",
) -> Measured:
    """Train on records in the order of ``schedule`` and return the error rate on ``held``.

    Parameters
    ----------
    train, held
        Features float32 (records, d) and class numbers (records,).
    schedule
        Rows of ``train`` in training order, repeats included.
    classes
        Number of classes over all records.
    settings, seed, device
        Of the head; of the initial weights; ``cpu`` or ``cuda``.

    Returns
    -------
    Measured
        Error rate with se = sqrt(e (1 - e) / records), at least that of half a mistake.
    """
    import torch
    from torch.nn import functional

    with one_thread():
        generator = torch.Generator().manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
        used = np.unique(schedule)
        mean = train[0][used].mean(axis=0)
        spread = train[0][used].std(axis=0)
        spread = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
        x = torch.from_numpy((train[0] - mean) / spread).to(device)
        y = torch.from_numpy(train[1]).to(device)
        size = x.shape[1]
        weight = (
            (torch.randn((size, classes), generator=generator) * 0.01).to(device).requires_grad_()
        )
        bias = torch.zeros(classes, device=device, requires_grad=True)
        rate = settings.head_learning_rate / max(1.0, (size / 64.0) ** 0.5)
        optimiser = torch.optim.Adam([weight, bias], lr=rate)
        order = torch.from_numpy(schedule).to(device)
        steps = (len(schedule) + settings.head_batch - 1) // settings.head_batch
        calm = max(int(steps * settings.cooldown), 1)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (steps - step) / calm)
            rows = order[step * settings.head_batch : (step + 1) * settings.head_batch]
            loss = functional.cross_entropy(torch.addmm(bias, x[rows], weight), y[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
        with torch.no_grad():
            z = torch.from_numpy((held[0] - mean) / spread).to(device)
            guess = torch.addmm(bias, z, weight).argmax(dim=1).cpu().numpy()
    count = len(held[1])
    error = float(np.mean(guess != held[1]))
    safe = min(max(error, 0.5 / count), 1.0 - 0.5 / count)
    flops = 6.0 * size * classes * len(schedule)
    return Measured(
        error, float(np.sqrt(safe * (1 - safe) / count)), 0, flops, (size + 1) * classes
    )


def chance_error(labels: npt.NDArray[np.int64]) -> float:
    """Return one minus the share of the most frequent class."""
    return 1.0 - float(np.bincount(labels).max()) / len(labels)
