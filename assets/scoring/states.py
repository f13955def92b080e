"""The state of a scorer: named arrays and plain values, stored without pickles and named by their content."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from assets.scoring.batches import ScoringError

WARNINGS = "warnings"
"""Key of `meta` under which a fitted state keeps what a person should know of its fit, a list of sentences."""


@dataclass(frozen=True, slots=True)
class ScorerState:
    """A summary or a fitted state: named arrays and plain values, nothing else.

    Attributes
    ----------
    scorer, version
        Which scorer wrote it.
    meta
        JSON values.
    arrays
        numpy arrays without objects.
    """

    scorer: str
    version: int
    meta: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Serialise as an npz without pickles; equal states give equal bytes."""
        about = {"scorer": self.scorer, "version": self.version, "meta": self.meta}
        header = json.dumps(about, sort_keys=True, ensure_ascii=False).encode()
        named: dict[str, Any] = {f"array:{n}": self.arrays[n] for n in sorted(self.arrays)}
        file = io.BytesIO()
        np.savez_compressed(file, header=np.frombuffer(header, dtype=np.uint8), **named)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ScorerState:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = json.loads(file["header"].tobytes())
            arrays = {n.removeprefix("array:"): file[n] for n in file.files if n != "header"}
        return cls(about["scorer"], about["version"], about["meta"], arrays)

    @property
    def warnings(self) -> list[str]:
        """What a person should know of the fit."""
        return list(self.meta.get(WARNINGS, []))

    def digest(self) -> str:
        """Return 32 hex digits that name this state."""
        hasher = xxhash.xxh3_128()
        about = {"scorer": self.scorer, "version": self.version, "meta": self.meta}
        hasher.update(json.dumps(about, sort_keys=True).encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name])
            hasher.update(f"{name}{array.dtype.str}{array.shape}".encode())
            hasher.update(array.tobytes())
        return hasher.hexdigest()


def check_same(left: ScorerState, right: ScorerState) -> None:
    """Refuse to merge summaries of different scorers or settings."""
    if (left.scorer, left.version, left.meta) != (right.scorer, right.version, right.meta):
        message = (
            f"cannot merge summaries of {left.scorer}@{left.version} {left.meta} "
            f"and {right.scorer}@{right.version} {right.meta}; summarise both with one setting"
        )
        raise ScoringError(message)
