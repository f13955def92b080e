"""What the sample lake's builder reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Contained(NamedTuple):
    """One true relation: every row of `child` is in `parents` together, on the child's columns."""

    child: str
    parents: tuple[str, ...]
    kind: str


@dataclass
class Summary:
    """What was built."""

    destination: str
    files: int = 0
    bytes: int = 0
    tables: int = 0
    text_records: int = 0
    text_bytes: int = 0
    records: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    evaluation: dict[str, int] = field(default_factory=dict)
    contained: list[Contained] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
