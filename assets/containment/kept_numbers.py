"""Keep a number in a small file: what a look at a table's first rows told, so that it is not opened for that again."""

from __future__ import annotations

import uuid
from pathlib import Path

import xxhash


def load_number(file: Path, meaning: str) -> float | None:
    """Return a kept number; None if there is none, or if it is not what was written with this meaning."""
    try:
        digest, _, text = file.read_text(encoding="utf-8", errors="replace").partition(" ")
    except FileNotFoundError:
        return None
    if digest != _digest(text, meaning):
        return None
    return float.fromhex(text)


def save_number(file: Path, meaning: str, number: float) -> None:
    """Keep a number; the file appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{uuid.uuid4().hex}.new")
    text = number.hex()
    fresh.write_text(f"{_digest(text, meaning)} {text}", encoding="utf-8")
    fresh.replace(file)


def _digest(text: str, meaning: str) -> str:
    return xxhash.xxh3_128_hexdigest(f"{meaning}\0{text}".encode())
