"""What the house knows of a stage without running it, and what a stage tells of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from resources.run import Run

Layer = Literal["lake", "recipe"]
Report = Callable[[str, str, int | None, int | None], None]


def silent(stage: str, message: str, done: int | None = None, total: int | None = None) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class StageSpec:
    """What the house must know of a stage without running it.

    Attributes
    ----------
    name
        Folder of the stage, or the step in it (`filtering/curves`).
    tables
        Tables that are computed together, in the order they are committed.
    reads
        Upstream tables.
    code_version
        Changes whenever the same input would give another output.
    layer
        `lake` tables live under `state:`, `recipe` tables under `output:`.
    sections
        Parts of the recipe that the result depends on.
    append
        Whether a commit adds rows to the table (releases) instead of replacing its content.
    extra
        What else the result depends on and can be told without reading data (ingestion: the listing of the lake).
    remembers
        Tables of the base release that the result may keep to.
    calibrates
        Whether what it remembers is a calibration: then `--recalibrate` makes it forget.
    partition
        Column of integers by which the tables are written in partitions, one a run (`resources.partition_stage`).
    """

    name: str
    tables: tuple[str, ...]
    reads: tuple[str, ...]
    code_version: str
    layer: Layer
    sections: tuple[str, ...] = ()
    append: bool = False
    extra: Callable[[Run], object] | None = None
    remembers: tuple[str, ...] = ()
    calibrates: bool = False
    partition: str | None = None


@dataclass(frozen=True)
class CheckOutcome:
    """Result of one audit of a staged result; `facts` holds counts and ids, never record text."""

    name: str
    passed: bool
    facts: dict[str, Any] = field(default_factory=dict)
    blocking: bool = True


@dataclass(frozen=True)
class Committed:
    """One table's version in a run."""

    table: str
    version: int
    identity: str
    adopted: bool


def digest(value: object) -> str:
    """Hash plain data to 32 hex digits, independent of key order."""
    return hashlib.blake2b(
        json.dumps(value, sort_keys=True, default=str).encode(), digest_size=16
    ).hexdigest()
