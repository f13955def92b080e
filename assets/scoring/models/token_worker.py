"""What a tokenising process runs: imports nothing but the tokenizers library and numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Token ids of n texts end to end, and n + 1 offsets."""

_held: dict[str, Any] = {}


def start(vocabulary: str) -> None:
    """Load the tokenizer of this process from its JSON; padding and truncation are off."""
    from tokenizers import Tokenizer

    if _held.get("vocabulary") == vocabulary:
        return
    tokenizer = Tokenizer.from_str(vocabulary)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    _held.update(tokenizer=tokenizer, vocabulary=vocabulary)


def encode(texts: Sequence[str]) -> Ids:
    """Tokenise texts, without special tokens."""
    found = _held["tokenizer"].encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [encoding.ids for encoding in found]
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum([len(own) for own in ids], out=offsets[1:])
    flat = np.fromiter((i for own in ids for i in own), dtype=np.int32, count=int(offsets[-1]))
    return flat, offsets
