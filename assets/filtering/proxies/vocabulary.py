"""Train a byte-pair vocabulary on the training records of proxies, the alternative to single bytes.

Byte-pair encoding (Sennrich et al. 2016) by the library tokenizers, over bytes: byte b is the
character U+0100 + b, so every text is written, also what the vocabulary never saw, and the first 256
codes are the bytes themselves. Merges stay within a word with the space before it. Only records that
may be trained on are read; losses are told in bits a byte, so vocabularies compare.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from assets.filtering.proxies.data import ProxyData, ProxyError

SCHEME = "proxy-bpe/1"
BYTES = 256
SPACE = chr(BYTES + 0x20)


@dataclass(frozen=True)
class Vocabulary:
    """Hold a trained vocabulary.

    Attributes
    ----------
    identity
        Hash of the records, the size asked for and the scheme.
    size
        Number of codes, at most what was asked for.
    tokens_per_byte
        Of the texts it was trained on.
    state
        The library's own JSON.
    """

    identity: str
    size: int
    tokens_per_byte: float
    state: str

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the loaded library object."""
        return {k: v for k, v in self.__dict__.items() if k != "_tokenizer"}

    @cached_property
    def _tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers.Tokenizer
        return _library().Tokenizer.from_str(self.state)

    def encode(self, texts: Sequence[bytes]) -> list[list[int]]:
        """Return the codes of each text; joined their bytes are the text."""
        found = self._tokenizer.encode_batch([_letters(text) for text in texts])
        return [one.ids for one in found]

    def decode(self, codes: Sequence[int]) -> bytes:
        """Return the bytes of codes."""
        letters = "".join(self._tokenizer.id_to_token(code) for code in codes)
        return bytes(ord(letter) - BYTES for letter in letters)


def vocabulary_of(
    data: ProxyData, *, size: int, bytes_per_record: int, folder: Path | None = None
) -> Vocabulary:
    """Train a vocabulary on the records of ``data`` that are not held out, or take it from ``folder``.

    Parameters
    ----------
    data
        Records with text; of equal contents one is read, in the order of content_id.
    size
        Codes at most, 257 or more.
    bytes_per_record
        The first bytes of a text, which are all that a proxy sees.
    folder
        Where vocabularies are kept by identity.

    Raises
    ------
    ProxyError
        The extra is not installed, the records have no text, or the size is too small.
    """
    if data.text is None:
        message = "a vocabulary is trained on text; the records have none"
        raise ProxyError(message)
    if size <= BYTES:
        message = f"vocabulary_size {size} holds no pair beside the {BYTES} bytes; give 257 or more"
        raise ProxyError(message)
    rows = data.train_rows()
    rows = rows[np.argsort(data.content_ids[rows], kind="stable")]
    contents = "\n".join(data.content_ids[rows].tolist())
    identity = xxhash.xxh3_128_hexdigest(f"{SCHEME}|{size}|{bytes_per_record}|{contents}".encode())
    file = None if folder is None else folder / f"{identity}.json"
    if file is not None and file.exists():
        return Vocabulary(**json.loads(file.read_text(encoding="utf-8")))
    texts = first_bytes(data.text, rows, bytes_per_record)
    made = _train(texts, size, identity)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        plain = {k: getattr(made, k) for k in ("identity", "size", "tokens_per_byte", "state")}
        fresh.write_text(json.dumps(plain), encoding="utf-8")
        fresh.replace(file)
    return made


def first_bytes(
    text: pa.Array, rows: np.ndarray[Any, np.dtype[np.int64]], most: int
) -> list[bytes]:
    """Return the first bytes of each record's text."""
    found = text.take(pa.array(rows)).to_pylist()
    return [(value or "").encode("utf-8", "surrogatepass")[:most] for value in found]


def _train(texts: list[bytes], size: int, identity: str) -> Vocabulary:
    tokenizers = _library()
    alphabet = [chr(BYTES + b) for b in range(BYTES)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(SPACE, behavior="merged_with_next")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator([_letters(text) for text in texts], trainer)
    made = Vocabulary(identity, tokenizer.get_vocab_size(), 1.0, tokenizer.to_str())
    tokens = sum(len(codes) for codes in made.encode(texts))
    return Vocabulary(identity, made.size, tokens / max(sum(map(len, texts)), 1), made.state)


def _letters(text: bytes) -> str:
    return "".join(chr(BYTES + b) for b in text)


def _library() -> Any:  # noqa: ANN401 - the module tokenizers
    # results do not depend on its threads, and a process that holds them can't be forked
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError as error:
        message = (
            "filtering.proxy.vocabulary is bpe, which needs the package tokenizers: install the extra "
            "`models`, or set it to bytes"
        )
        raise ProxyError(message) from error
    return tokenizers
