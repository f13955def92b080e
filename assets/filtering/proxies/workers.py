"""Train proxy runs in processes of their own, one for each device or core, and survive the loss of one.

Runs are independent, and each computes on one thread from its own seed, so any number of workers
gives the rows of one, bit by bit. A worker that dies loses the run it was training and nothing else:
the run goes to a fresh worker, and a run that kills two workers is an error that names it.
"""

from __future__ import annotations

import multiprocessing as mp
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from assets.filtering.proxies.data import ProxyData, ProxyError
from assets.filtering.proxies.finished import Finished
from assets.filtering.proxies.run import execute
from assets.filtering.proxies.settings import ProxySettings
from assets.filtering.proxies.spec import RunSpec
from assets.filtering.proxies.work import work_of

#: a worker takes seconds to start: one more for each so much work (operations)
WORK_A_WORKER = 5e10
MOST_LOSSES = 2

Rows = list[dict[str, Any]]
Told = Callable[[RunSpec], None]


@dataclass
class _Worker:
    """Hold a process, the parent's end of its pipe, and the run it trains."""

    process: BaseProcess
    connection: Connection
    spec: RunSpec | None = None

    def give(self, spec: RunSpec) -> None:
        self.spec = spec
        self.connection.send(spec)


def count_workers(
    specs: Sequence[RunSpec],
    data: ProxyData,
    settings: ProxySettings,
    *,
    cores: int,
    asked: int | None = None,
) -> int:
    """Return how many processes train ``specs``: as asked, else a core each while there is work for it.

    A run computes on one thread, so cores over threads is cores.
    """
    if asked is not None:
        return max(1, min(asked, len(specs)))
    work = sum(work_of(spec, data, settings) for spec in specs)
    return max(1, min(cores, len(specs), int(work / WORK_A_WORKER)))


def train_runs(
    specs: Sequence[RunSpec],
    data: ProxyData,
    *,
    settings: ProxySettings,
    devices: Sequence[str] = ("cpu",),
    workers: int = 1,
    finished: Finished | None = None,
    progress: Callable[[int, int], None] | None = None,
    lost: Told | None = None,
) -> Rows:
    """Return the rows of all runs, in the order of ``specs``, training those that are not finished.

    Parameters
    ----------
    specs, data, settings
        As for ``run.execute``.
    devices
        Worker i trains on device i modulo their number. One device and one worker: in this process.
    workers
        Processes.
    finished
        Where finished runs are kept and taken from.
    progress
        Called with (finished, total) whenever one is.
    lost
        Called with each run whose worker died.

    Raises
    ------
    ProxyError
        A run killed two workers.
    """
    found: dict[str, Rows] = {}
    missing: dict[str, RunSpec] = {}
    for spec in specs:
        rows = None if finished is None else finished.get(spec)
        if rows is None:
            missing.setdefault(spec.run_id, spec)
        else:
            found[spec.run_id] = rows

    def keep(spec: RunSpec, rows: Rows) -> None:
        found[spec.run_id] = rows
        if finished is not None:
            finished.put(spec, rows)
        if progress is not None:
            progress(len(found), len(specs))

    if workers <= 1 or len(missing) <= 1:
        for spec in missing.values():
            keep(spec, execute(spec, data, device=devices[0], settings=settings))
    else:
        _supervise(deque(missing.values()), data, settings, devices, workers, keep, lost)
    return [row for spec in specs for row in found[spec.run_id]]


def _supervise(
    pending: deque[RunSpec],
    data: ProxyData,
    settings: ProxySettings,
    devices: Sequence[str],
    workers: int,
    keep: Callable[[RunSpec, Rows], None],
    lost: Told | None,
) -> None:
    losses: Counter[str] = Counter()
    alive: dict[Connection, _Worker] = {}

    def start(place: int) -> None:
        worker = _start(data, settings, devices[place % len(devices)])
        alive[worker.connection] = worker
        worker.give(pending.popleft())

    try:
        for place in range(min(workers, len(pending))):
            start(place)
        while alive:
            for ready in wait(list(alive)):
                worker = alive[ready]  # type: ignore[index]  # only our connections are waited for
                spec = worker.spec
                if spec is None:
                    continue
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    del alive[worker.connection]
                    _end(worker)
                    losses[spec.run_id] += 1
                    _note_loss(spec, losses[spec.run_id], worker.process.exitcode, lost)
                    pending.appendleft(spec)
                    start(len(alive))
                    continue
                if isinstance(answer, Exception):
                    raise answer
                if pending:
                    worker.give(pending.popleft())
                else:
                    del alive[worker.connection]
                    _end(worker)
                keep(spec, answer)
    finally:
        for worker in alive.values():
            worker.process.kill()
            _end(worker)


def _note_loss(spec: RunSpec, count: int, code: int | None, lost: Told | None) -> None:
    if lost is not None:
        lost(spec)
    if count >= MOST_LOSSES:
        what = "+".join(str(p) for p in spec.pools) or str(spec.group)
        message = (
            f"proxy run {spec.run_id} ({spec.kind} {what}, {spec.samples} samples) ended {count} worker "
            f"processes (exit code {code}); lower limits.proxy_workers or filtering.proxy.records_per_pool, as memory "
            "may be short"
        )
        raise ProxyError(message)


def _start(data: ProxyData, settings: ProxySettings, device: str) -> _Worker:
    # a fresh interpreter: forking a process that holds threads of torch may hang
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, data, settings, device), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _end(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.join()


def _serve(connection: Connection, data: ProxyData, settings: ProxySettings, device: str) -> None:
    """Train what is sent until the other end closes."""
    while True:
        try:
            spec = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Rows | Exception = execute(spec, data, device=device, settings=settings)
        except Exception as error:
            answer = error
        connection.send(answer)
