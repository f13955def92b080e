"""Tiles of the search for semantic redundancy: products of queries and members in rank order, on any device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.compiled import compiled
from assets.kernels.core_threads import on_every_core
from assets.kernels.unit_vectors import UNIT

QUERY_ROWS = 1024
CORE_QUERY_ROWS = 256
MEMBER_ROWS = 4096
TASK_QUERIES = 1024  # few enough that the cores end together


@dataclass(frozen=True, slots=True)
class Task:
    """Queries to compare with members; both are places in the survivor order, ascending."""

    queries: NDArray[np.int64]
    members: NDArray[np.int64]

    def parts(self) -> Iterator[Task]:
        """Part a long list of queries; members that follow all queries of a part are left out."""
        for start in range(0, len(self.queries), TASK_QUERIES):
            some = self.queries[start : start + TASK_QUERIES]
            before = self.members[: np.searchsorted(self.members, some[-1])]
            if len(before):
                yield Task(some, before)


class Nearest:
    """The nearest earlier row of each row so far, in the survivor order.

    Attributes
    ----------
    best
        float32, shape (n,): the product, -UNIT where there is none.
    where
        int64, shape (n,): the row, the earliest of equally near; -1 where there is none.
    pairs
        Products computed.
    """

    def __init__(self, n: int) -> None:
        self.best = np.full(n, -UNIT, dtype=np.float32)
        self.where = np.full(n, -1, dtype=np.int64)
        self.pairs = 0

    def add(self, other: Nearest) -> None:
        """Take over what another search found nearer."""
        rows = np.flatnonzero(other.where >= 0)
        self.note(rows, other.best[rows], other.where[rows])
        self.pairs += other.pairs

    def note(
        self, rows: NDArray[np.int64], best: NDArray[np.float32], where: NDArray[np.int64]
    ) -> None:
        """Take over what was found nearer for some rows, or as near and earlier."""
        old, old_at = self.best[rows], self.where[rows]
        nearer = (old_at < 0) | (best > old) | ((best == old) & (where < old_at))
        self.best[rows[nearer]] = best[nearer]
        self.where[rows[nearer]] = where[nearer]


def search_tasks(
    ordered: NDArray[np.float32],
    tasks: Iterable[Task],
    nearest: Nearest,
    device: Any = "cpu",  # noqa: ANN401
    progress: Callable[[Task], None] | None = None,
) -> None:
    """Compare the queries of each task with the members that precede them, tasks side by side on a CPU's cores.

    Parameters
    ----------
    ordered
        Grid rows in the survivor order, shape (n, d).
    tasks
        A query may be in several.
    nearest
        Of n rows; is updated.
    device
        Where to multiply.
    progress
        Told of each task that is done.
    """
    import torch

    many = [part for task in tasks for part in task.parts()]
    if torch.device(device).type != "cpu":
        for task in many:
            _search_on_card(ordered, task, nearest, device)
            if progress is not None:
                progress(task)
        return
    found: dict[int, Nearest] = {}  # each thread's own: a query may be in two tasks at a time

    def work(task: Task) -> Task:
        me = threading.get_ident()
        if me not in found:
            found[me] = Nearest(len(ordered))
        _search_on_core(ordered, task, found[me])
        return task

    for task in on_every_core(work, many):
        if progress is not None:
            progress(task)
    for own in found.values():
        nearest.add(own)


def _rows_of(ordered: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
    if len(places) and places[-1] - places[0] == len(places) - 1:
        return ordered[places[0] : places[-1] + 1]
    return ordered[places]


def _search_on_core(ordered: NDArray[np.float32], task: Task, nearest: Nearest) -> None:
    import torch

    queries, members = task.queries, task.members
    room = torch.empty((CORE_QUERY_ROWS, MEMBER_ROWS))
    for low in range(0, len(members), MEMBER_ROWS):
        some = members[low : low + MEMBER_ROWS]
        rows = torch.from_numpy(_rows_of(ordered, some))
        first = int(np.searchsorted(queries, some[0], side="right"))
        for start in range(first, len(queries), CORE_QUERY_ROWS):
            asking = queries[start : start + CORE_QUERY_ROWS]
            # members are in rank order, so those before the last query are a prefix
            upto = int(np.searchsorted(some, asking[-1], side="left"))
            product = room.view(-1)[: len(asking) * upto].view(len(asking), upto)
            torch.mm(torch.from_numpy(_rows_of(ordered, asking)), rows[:upto].T, out=product)
            _note(product.numpy(), asking, some, nearest.best, nearest.where)
            nearest.pairs += len(asking) * upto


# the largest is sought among int32, which hold a product's whole numbers: of floats it is not found on whole vectors
@compiled
def _note(
    product: NDArray[np.float32],
    queries: NDArray[np.int64],
    members: NDArray[np.int64],
    best: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Note the first of the nearest members that precede each query."""
    before = 0
    for i in range(len(queries)):
        query = queries[i]
        while before < product.shape[1] and members[before] < query:
            before += 1
        if before == 0:
            continue
        row = product[i]
        largest = np.int32(row[0])
        for j in range(before):
            largest = max(largest, np.int32(row[j]))
        most = np.float32(largest)
        if where[query] >= 0 and most < best[query]:
            continue
        at = 0
        while row[at] != most:
            at += 1
        if where[query] < 0 or most > best[query] or members[at] < where[query]:
            best[query] = most
            where[query] = members[at]


def _search_on_card(
    ordered: NDArray[np.float32],
    task: Task,
    nearest: Nearest,
    device: Any,  # noqa: ANN401
) -> None:
    import torch

    queries, members = task.queries, task.members
    for low in range(0, len(members), MEMBER_ROWS):
        some = members[low : low + MEMBER_ROWS]
        rows = torch.from_numpy(ordered[some]).to(device)
        first = int(np.searchsorted(queries, some[0], side="right"))
        for start in range(first, len(queries), QUERY_ROWS):
            asking = queries[start : start + QUERY_ROWS]
            upto = int(np.searchsorted(some, asking[-1], side="left"))
            product = torch.from_numpy(ordered[asking]).to(device) @ rows[:upto].T
            before = int(np.searchsorted(some, asking[0], side="left"))
            if before < upto:
                # the diagonal: hide members that do not precede the query
                places = torch.from_numpy(some[before:upto]).to(device)
                limit = torch.from_numpy(asking).to(device)[:, None]
                product[:, before:].masked_fill_(places[None, :] >= limit, -float("inf"))
            value, at = product.max(dim=1)
            values = value.cpu().numpy()
            some_before = values > -np.inf
            found = some[at.cpu().numpy()][some_before]
            nearest.note(asking[some_before], values[some_before], found)
            nearest.pairs += len(asking) * upto


def exact_search(
    ordered: NDArray[np.float32],
    sample: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compare sampled rows with all that precede them: largest product and where, shapes (sample,)."""
    nearest = Nearest(len(ordered))
    some = np.array_split(sample, 8)
    everything = np.arange(len(ordered))
    tasks = [Task(part, everything[: part[-1]]) for part in some if len(part)]
    search_tasks(ordered, tasks, nearest, device)
    return nearest.best[sample], nearest.where[sample]
