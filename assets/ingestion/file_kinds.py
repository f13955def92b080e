"""What a file is, by its name, and by its first bytes where the name does not say."""

from __future__ import annotations

import codecs
import os
from pathlib import Path, PurePosixPath

from assets.ingestion.model import Compression, Format

_FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".rst": "text",
}
_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
}
_SNIFF_BYTES = 8192


def format_of(name: str) -> tuple[Format | None, Compression, str]:
    """Return format and compression by the extensions of a file name, and the last extension."""
    path = PurePosixPath(name)
    compression = _COMPRESSIONS.get(path.suffix.lower(), "none")
    if compression != "none":
        path = path.with_suffix("")
    suffix = path.suffix.lower()
    return _FORMATS.get(suffix), compression, suffix


def sniff(path: Path) -> tuple[str, str]:
    """Decide whether a file without extension is text, by its first bytes."""
    try:
        with path.open("rb") as handle:
            head = handle.read(_SNIFF_BYTES)
    except OSError as error:
        return "bad", f"cannot be opened ({error.strerror})"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "ok", "text"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "bad", "unknown format: no extension, and not UTF-8 text"
    if b"\0" in head:
        return "bad", "unknown format: no extension, and binary content"
    return "ok", "text"


def is_utf8(name: str) -> bool:
    """Tell whether a file name is UTF-8; on disk it may be any bytes, which no table can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Return a file name in UTF-8: bytes that are none are written as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
