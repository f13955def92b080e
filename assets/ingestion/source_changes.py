"""Whether a source is still what discovery saw, by names, sizes and times alone."""

from __future__ import annotations

import xxhash

from assets.ingestion.model import Source


def fingerprint(source: Source) -> str:
    """Return 32 hex digits of what a change to the source would change, without reading data.

    Names, sizes and modification times (ns) of the files; for Delta, table id and version. An edit
    that keeps size and time is not seen.
    """
    if source.format == "delta":
        parts = [source.format, str(source.table_id), str(source.version)]
    else:
        parts = [source.format, source.compression]
        for file in sorted(source.files, key=lambda file: file.relative):
            parts += [file.relative, str(file.bytes), str(file.mtime_ns)]
    return xxhash.xxh3_128_hexdigest("\0".join(parts).encode("utf-8", "surrogateescape"))


def has_changed(source: Source) -> bool:
    """Return whether files of a source differ on disk now from what discovery saw.

    Call it after reading: rows read from a source that changed meanwhile must not be committed. A
    Delta version cannot change.
    """
    for file in source.files:
        try:
            now = file.path.stat()
        except OSError:
            return True
        if (now.st_size, now.st_mtime_ns) != (file.bytes, file.mtime_ns):
            return True
    return False
