"""Tokenise blocks of texts in processes of their own, once: what is known is read from a cache."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from assets.scoring.models.model_files import ModelFiles, needed
from assets.scoring.models.token_worker import Ids, encode, start
from assets.scoring.protocol import ScoringError

_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What a model wants around a text: ids before and after it, and the id that fills up rows."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int

    @property
    def count(self) -> int:
        """How many a text costs."""
        return len(self.before) + len(self.after)


@dataclass
class Tokeniser:
    """The tokenizer of a model.

    Parameters
    ----------
    model
        Whose; it must have a fast tokenizer.
    workers
        Processes; 0 tokenises in this one.
    cache
        Folder of what was tokenised; None keeps nothing. Files are named by tokenizer and texts, and
        hold token ids only.

    Notes
    -----
    A block is a function of its texts and the vocabulary: workers, cache and order change nothing.
    """

    model: ModelFiles
    workers: int = 0
    cache: Path | None = None
    setting: str = "scoring.embedder"
    special: SpecialTokens = field(init=False)
    _vocabulary: str = field(init=False, repr=False)
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        needed("transformers", setting=self.setting)
        if not any((self.model.folder / name).is_file() for name in _VOCABULARIES):
            # the library would make up an empty one
            message = f"{self.setting}: {self.model.name} has no tokenizer (tokenizer.json)"
            raise ScoringError(message)
        from transformers import AutoTokenizer

        try:
            found: Any = AutoTokenizer.from_pretrained(str(self.model.folder))
        except Exception as error:  # the library raises many unrelated types
            message = (
                f"{self.setting}: {self.model.name} has no tokenizer that can be read: {error}"
            )
            raise ScoringError(message) from error
        if not found.is_fast:
            message = f"{self.setting}: {self.model.name} has no fast tokenizer (tokenizer.json)"
            raise ScoringError(message)
        self._vocabulary = found.backend_tokenizer.to_str()
        self.special = _special(found)

    @property
    def digest(self) -> str:
        """32 hex digits of the vocabulary and its rules."""
        return hashlib.blake2b(self._vocabulary.encode(), digest_size=16).hexdigest()

    def blocks(self, texts: Iterable[Sequence[str]]) -> Iterator[Ids]:
        """Tokenise blocks of texts, in order; the next blocks are under way while one is used."""
        waiting: deque[Future[Ids] | Ids] = deque()
        ahead = max(2 * self.workers, 1)
        for block in texts:
            waiting.append(self._submit(block))
            while len(waiting) > ahead:
                yield _taken(waiting.popleft())
        while waiting:
            yield _taken(waiting.popleft())

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _submit(self, block: Sequence[str]) -> Future[Ids] | Ids:
        place = None
        if self.cache is not None:
            place = self.cache / f"{self.digest}-{_texts_digest(block)}.npz"
            known = _read(place, len(block))
            if known is not None:
                return known
        if self.workers == 0:
            start(self._vocabulary)
            return _kept(encode(block), place)
        if self._pool is None:
            os.environ.setdefault(
                "TOKENIZERS_PARALLELISM", "false"
            )  # the processes are the threads
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, start, (self._vocabulary,))
        future = self._pool.submit(encode, list(block))
        if place is not None:
            at = place
            future.add_done_callback(lambda done: done.exception() or _kept(done.result(), at))
        return future


def _taken(found: Future[Ids] | Ids) -> Ids:
    return found.result() if isinstance(found, Future) else found


def _special(tokenizer: Any) -> SpecialTokens:  # noqa: ANN401 - of transformers
    """Find what stands around a text from how the tokenizer treats a short one."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    at = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    padding = tokenizer.pad_token_id
    after = whole[at + len(bare) :]
    return SpecialTokens(tuple(whole[:at]), tuple(after), 0 if padding is None else int(padding))


def _texts_digest(block: Sequence[str]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for text in block:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.hexdigest()


def _kept(ids: Ids, place: Path | None) -> Ids:
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}")
        with part.open("wb") as handle:
            np.savez(handle, ids=ids[0], offsets=ids[1])
        part.replace(place)
    return ids


def _read(place: Path, texts: int) -> Ids | None:
    """Return what the cache has; None where it has nothing, or something that is damaged."""
    try:
        with np.load(place, allow_pickle=False) as file:
            ids, offsets = file["ids"], file["offsets"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = len(offsets) == texts + 1 and offsets[0] == 0 and offsets[-1] == len(ids)
    return (ids, offsets) if sound and bool((np.diff(offsets) >= 0).all()) else None
