"""The second pass: every candidate pair is settled exactly; texts whose sets are not known are read once more.

Sets that fit the budget stay in memory; others go to a scratch file by blocks, and verification reads two
blocks at a time. So texts are read once whatever the budget is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from assets.deduplication.errors import ChangedTextError
from assets.deduplication.keys import KeyLookup, Keys, format_keys, parse_keys
from assets.deduplication.set_store import SetsInMemory, SetsOnDisk, SetStore
from assets.deduplication.shingles import Shingle
from assets.deduplication.text_spans import Texts, TextSpans, text_spans
from assets.deduplication.verify import exact_jaccard, node_blocks, rounds
from assets.kernels.freed_memory import GiveBack, give_back

KnownSets = Callable[[npt.NDArray[np.int64]], Iterator[tuple[Any, Any, Any]]]
ReadTexts = Callable[[], Iterator[tuple[Keys, Texts]]]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class SecondPass:
    """How candidates are settled.

    Attributes
    ----------
    rule
        What a shingle is.
    similarity
        Pairs below it get -1.
    memory_bytes
        For sets.
    workers
        Threads.
    folder
        Where the scratch file lies; None: where the system keeps temporary files.
    known
        For places of sets, yields (which of them, elements, where in these each begins): sets that are known.
    """

    rule: Shingle
    similarity: float
    memory_bytes: int
    workers: int
    folder: Path | None = None
    known: KnownSets | None = None

    def settle(
        self,
        left: I64,
        right: I64,
        high: U64,
        low: U64,
        set_sizes: I64,
        read_texts: ReadTexts,
        ended: Callable[[str], None],
    ) -> F64:
        """Return the similarity of each candidate pair, or -1.

        Parameters
        ----------
        left, right
            (m,) places of sets, sorted by `left`.
        high, low, set_sizes
            (n,) of all places: the key of a text that has the set, and the size of the set.
        read_texts
            Opens a stream of keys and texts; called once, or never where all sets are known.
        ended
            Called with the name of each stage as it ends.

        Raises
        ------
        ChangedTextError
            A text is not what it was, or does not come.
        """
        similarity = np.full(len(left), -1.0)
        if not len(left):
            return similarity
        taken = np.zeros(len(high), bool)
        taken[left] = True
        taken[right] = True
        nodes = np.flatnonzero(taken)
        number = np.cumsum(taken) - 1
        one, two = number[left], number[right]
        del taken, number
        sizes = set_sizes[nodes]
        block = node_blocks(one, two, sizes, budget_bytes=self.memory_bytes)
        store: SetStore
        if block.any():
            store = SetsOnDisk(self.rule, sizes, block, self.folder)
        else:
            store = SetsInMemory(self.rule, sizes)
        known = np.zeros(len(nodes), bool)
        if self.known is not None:
            with ThreadPoolExecutor(self.workers) as pool:
                copied: deque[Future[None]] = deque()
                for some, flat, begins in self.known(nodes):
                    known[some] = True
                    copied.append(pool.submit(store.put, some, flat, begins))
                    while len(copied) > self.workers:
                        copied.popleft().result()
                while copied:
                    copied.popleft().result()
        if not known.all():
            self._fill(store, high[nodes], low[nodes], known, read_texts)
        give_back()
        ended("second pass")
        for part, first, second in rounds(one, two, block):
            flat, offsets = store.read(first, second)
            similarity[part] = exact_jaccard(
                flat, offsets, sizes, one[part], two[part], self.similarity, workers=self.workers
            )
        ended("verification")
        return similarity

    def _fill(
        self,
        store: SetStore,
        high: U64,
        low: U64,
        seen: npt.NDArray[np.bool_],
        read_texts: ReadTexts,
    ) -> None:
        """Read the texts of the keys that were not seen and put their sets into the store."""
        lookup = KeyLookup(high, low)
        waiting: deque[Future[None]] = deque()

        def write(spans: TextSpans, nodes: I64) -> None:
            wrong = store.write(spans, nodes)
            if wrong >= 0:
                key = format_keys(high[nodes[[wrong]]], low[nodes[[wrong]]])[0].as_py()
                message = (
                    f"the text of key {key} differs between the first and the second pass; "
                    "pin the version of its source and read both times from that"
                )
                raise ChangedTextError(message)

        freed = GiveBack()
        with ThreadPoolExecutor(self.workers) as pool:
            for keys, texts in read_texts():
                spans = text_spans(texts)
                freed.add(spans.size)
                rows, nodes = lookup.find(*parse_keys(keys))
                fresh = ~seen[nodes]
                rows, nodes = rows[fresh], nodes[fresh]
                nodes, once = np.unique(nodes, return_index=True)
                rows = rows[once]
                seen[nodes] = True
                spans = spans.take(rows)
                for cut in spans.slices():
                    waiting.append(pool.submit(write, spans.take(cut), nodes[cut]))
                    while len(waiting) > 2 * self.workers:
                        waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        if not seen.all():
            missing = np.flatnonzero(~seen)
            key = format_keys(high[missing[:1]], low[missing[:1]])[0].as_py()
            message = (
                f"{len(missing)} texts of the first pass did not come in the second, such as key "
                f"{key}; pin the version of their source and read both times from that"
            )
            raise ChangedTextError(message)
