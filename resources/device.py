"""Where tensors live: the choice of device, and what to do when its memory is short."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch


T = TypeVar("T")


class DeviceError(ValueError):
    """A device that was asked for and is not there, or is too small for one row."""


def choose_device(name: str = "auto", *, setting: str = "limits.device") -> torch.device:
    """Return the torch device of a recipe's ``limits.device``.

    Parameters
    ----------
    name
        ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
    setting
        What the name was given by, for errors.

    Raises
    ------
    DeviceError
        When the name is unknown, or names a card that this machine lacks.
    """
    import torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in {"cpu", "cuda"} or (kind == "cpu" and index) or (index and not index.isdigit()):
        message = f"{setting} is {name!r}; use auto, cpu, cuda or cuda:N"
        raise DeviceError(message)
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        message = (
            f"{setting} is {name!r} but torch {torch.__version__} sees no CUDA card; "
            "use auto or cpu, or install a CUDA build of torch"
        )
        raise DeviceError(message)
    wanted = int(index or 0)
    present = torch.cuda.device_count()
    if wanted >= present:
        message = f"{setting} is {name!r} but there are {present} CUDA cards, numbered from 0"
        raise DeviceError(message)
    return torch.device(f"cuda:{wanted}")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception means that a CUDA card ran out of memory."""
    import torch

    return isinstance(error, torch.cuda.OutOfMemoryError)


def with_smaller_batches(
    work: Callable[[int], T],
    batch_rows: int,
    on_backoff: Callable[[int, int], None] | None = None,
) -> T:
    """Run `work(batch_rows)`, halving the batch for as long as the card is out of memory.

    Parameters
    ----------
    work
        Computes the whole result in batches of at most the given number of rows; must start afresh
        when called again.
    batch_rows
        First size to try, at least 1.
    on_backoff
        Called as ``on_backoff(failed_rows, next_rows)`` before each new try, so that it can be
        said.

    Returns
    -------
    T
        What `work` returned.

    Raises
    ------
    DeviceError
        When a batch of one row does not fit either.
    """
    import torch

    rows = batch_rows
    while True:
        try:
            return work(rows)
        except torch.cuda.OutOfMemoryError as error:
            if rows <= 1:
                message = "one row does not fit the card's memory; set limits.device to cpu"
                raise DeviceError(message) from error
        # outside the except clause: the traceback would keep the failed tensors alive
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if on_backoff is not None:
            on_backoff(rows, rows // 2)
        rows //= 2


def matmul_rate(device: torch.device, size: int = 1024, seconds: float = 0.2) -> float:
    """Measure float32 matrix multiplication, in GFLOP/s, best of several.

    Parameters
    ----------
    device
        Where to measure.
    size
        Square matrices of this order.
    seconds
        How long to measure, about.
    """
    import torch

    left = torch.ones((size, size), device=device)
    best = float("inf")
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        (left @ left).sum().item()  # .item() waits for the card
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            break
    return 2.0 * size**3 / best / 1e9


def all_devices(chosen: str) -> list[str]:
    """Return every CUDA card where ``chosen`` is the first of them, else the chosen device alone."""
    import torch

    if chosen != "cuda:0":
        return [chosen]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def available_cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
