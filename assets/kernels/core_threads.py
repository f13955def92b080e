"""Work on every core: one thread a core, each of which multiplies matrices on its own.

A product of small matrices that is parted over cores waits for its slowest thread each time, and on a busy machine that
wait is longer than the product. Whole tiles, one after the other on each core, have no such wait. What the threads run
must release the interpreter: torch, numpy and compiled functions do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Found = TypeVar("Found")


def on_every_core(work: Callable[[Part], Found], parts: Iterable[Part]) -> Iterator[Found]:
    """Yield what `work` returns of each part, in the order of the parts.

    Parameters
    ----------
    work
        Runs on as many threads at a time as torch uses (the cores, or OMP_NUM_THREADS), and sees a torch that uses one.
    parts
        Where there is one, or one thread, it is done by the caller.

    Raises
    ------
    Exception
        Whatever `work` raises first; parts that have not begun are left out.
    """
    torch = sys.modules.get("torch")  # loading it takes longer than most work
    threads = torch.get_num_threads() if torch is not None else _cores()
    every = list(parts)
    if threads == 1 or len(every) < 2:
        yield from map(work, every)
        return
    alone = (None, ()) if torch is None else (torch.set_num_threads, (1,))
    pool = ThreadPoolExecutor(min(threads, len(every)), "core", *alone)
    try:
        yield from pool.map(work, every)
    finally:
        pool.shutdown(cancel_futures=True)
        if torch is not None:  # it also keeps the number that new threads begin with
            torch.set_num_threads(threads)


def _cores() -> int:
    """Return how many threads torch would use."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))


def blocks(rows: int, most: int) -> list[slice]:
    """Part rows into blocks of `most` at most."""
    return [slice(start, min(start + most, rows)) for start in range(0, rows, most)]
