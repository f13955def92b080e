"""Find the tables of a lake by names, sizes and times; of the contents, only footers and logs.

A folder is one table if it is Delta, or holds nothing but Parquet files of one schema; else each
file is a table. What a tombstone stands for is retired and no source.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from assets.ingestion.arrow_types import schema_digest
from assets.ingestion.file_kinds import format_of, is_utf8, shown, sniff
from assets.ingestion.model import (
    Discovery,
    FileInfo,
    Retired,
    Source,
    SourceError,
    Unreadable,
)
from assets.ingestion.source_changes import fingerprint
from resources.errors import StoreError
from resources.retired import TOMBSTONE, read_tombstone


def discover(root: Path, *, footers: dict[str, str] | None = None) -> Discovery:
    """List the tables below a folder.

    Parameters
    ----------
    root
        The lake. Its own name may begin with "." or "_"; names below it that do are passed over.
    footers
        `Discovery.footers` of an earlier call: files unchanged since are not opened again.

    Returns
    -------
    Discovery
        Sources, unreadable names and retired tables, each sorted by table name.

    Raises
    ------
    SourceError
        If the root is no readable folder.

    Notes
    -----
    Symbolic links to files count as files; a link to a folder that is already on the path above it
    is reported as a loop. The root itself is a table (named ".") only if it is Delta or has nothing
    but `key=value` folders of Parquet. A Parquet file without a readable footer is set apart and
    does not stop its folder from being one table. Cost: one stat a file, and one footer a Parquet
    file that is new.
    """
    if not root.is_dir():
        reason = "is no folder" if root.exists() else "does not exist"
        raise SourceError(root, reason, "Name the folder that holds the lake's tables.")
    walk = _Walk(root, footers or {})
    top = walk.folder(root, (os.stat(root).st_ino, os.stat(root).st_dev), ())  # noqa: PTH116
    walk.tables(top)
    return Discovery(
        tuple(sorted(walk.sources, key=lambda source: source.table)),
        tuple(sorted(walk.unreadable, key=lambda entry: entry.table)),
        walk.looked_up,
        tuple(sorted(walk.retired, key=lambda retired: retired.table)),
    )


@dataclass(slots=True)
class _Folder:
    path: Path
    delta: bool = False
    files: list[FileInfo] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)
    tombstones: dict[str, Path] = field(default_factory=dict)


class _Walk:
    def __init__(self, root: Path, footers: dict[str, str]) -> None:
        self.root = root
        self.known = footers
        self.looked_up: dict[str, str] = {}
        self.sources: list[Source] = []
        self.unreadable: list[Unreadable] = []
        self.retired: list[Retired] = []

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def refuse(self, path: Path, reason: str) -> None:
        self.unreadable.append(Unreadable(self.name(path), path, reason))

    def folder(
        self, path: Path, identity: tuple[int, int], above: tuple[tuple[int, int], ...]
    ) -> _Folder:
        """List one folder and those below it. Delta folders are not entered."""
        found = _Folder(path)
        if (path / "_delta_log").is_dir():
            found.delta = True
            return found
        try:
            names = sorted(os.listdir(path))  # noqa: PTH208 - names, not paths, are sorted
        except OSError as error:
            self.refuse(path, f"folder cannot be listed ({error.strerror})")
            return found
        above = (*above, identity)
        for name in names:
            if name.startswith((".", "_")):
                continue
            entry = path / name
            if not is_utf8(name):
                self.refuse(Path(shown(str(entry))), "the name is not UTF-8; rename it")
                continue
            try:
                status = entry.stat()
            except OSError as error:
                loops = "symbolic link loop" if _is_loop(error) else "broken or unreadable link"
                self.refuse(entry, f"{loops} ({error.strerror})")
                continue
            if stat.S_ISDIR(status.st_mode):
                child = (status.st_ino, status.st_dev)
                if child in above:
                    self.refuse(entry, "symbolic link loop: it leads to a folder above itself")
                else:
                    found.folders.append(self.folder(entry, child, above))
            elif stat.S_ISREG(status.st_mode) and name.endswith(TOMBSTONE):
                found.tombstones[name.removesuffix(TOMBSTONE)] = entry
            elif stat.S_ISREG(status.st_mode):
                found.files.append(
                    FileInfo(entry, self.name(entry), status.st_size, status.st_mtime_ns)
                )
            else:
                self.refuse(entry, "neither a file nor a folder")
        return found

    def tables(self, folder: _Folder) -> None:
        """Turn what a folder holds into sources."""
        if folder.delta:
            self.delta(folder.path)
            return
        parquet = self.one_parquet_table(folder)
        if parquet is not None:
            self.sources.append(parquet)
            return
        for name, tombstone in folder.tombstones.items():
            self.tombstone(folder, name, tombstone)
        for file in folder.files:
            if file.path.name not in folder.tombstones:
                self.file(file)
        for inner in folder.folders:
            if inner.path.name not in folder.tombstones:
                self.tables(inner)

    def tombstone(self, folder: _Folder, name: str, file: Path) -> None:
        """Add a retired table, and say so if something else is at its place."""
        place = folder.path / name
        try:
            stone = read_tombstone(file)
        except StoreError as error:
            self.refuse(place, f"it is retired, and its tombstone is damaged: {error}")
            return
        there = _Walk(self.root, self.known)
        for here in folder.files:
            if here.path == place:
                there.file(here)
        for inner in folder.folders:
            if inner.path == place:
                there.tables(inner)
        self.looked_up |= there.looked_up
        source = next((s for s in there.sources if s.path == place), None)
        told, reason = stone.told, stone.reason
        if place.exists() and (source is None or fingerprint(source) != told["fingerprint"]):
            reason += ". Something else is at its place now and is not read: move it elsewhere, then restore"
        parents = tuple(str(parent["table"]) for parent in told["parents"])
        self.retired.append(
            Retired(
                self.name(place),
                place,
                str(told["version"]),
                int(told["rows"]),
                parents,
                reason,
                source,
            )
        )

    def one_parquet_table(self, folder: _Folder) -> Source | None:
        """Return the folder as one Parquet table, or None if it is something else."""
        if folder.path == self.root and (
            folder.files
            or folder.tombstones
            or not all("=" in inner.path.name for inner in folder.folders)
        ):
            return None
        files = _all_parquet(folder)
        if not files:
            return None
        bad: list[tuple[FileInfo, str]] = []
        good: list[FileInfo] = []
        digests: set[str] = set()
        for file in files:
            kind, detail = self.footer(file)
            if kind == "ok":
                good.append(file)
                digests.add(detail)
            else:
                bad.append((file, detail))
        if len(digests) != 1:
            return None
        for file, reason in bad:
            self.refuse(file.path, reason)
        good.sort(key=lambda file: file.relative)
        from assets.ingestion.parquet_files import partition_values

        columns = tuple(partition_values(good, folder.path)[0].names)
        name = self.name(folder.path)
        return Source(name, folder.path, "parquet", "none", tuple(good), columns)

    def footer(self, file: FileInfo) -> tuple[str, str]:
        """Return ("ok", schema digest) or ("bad", reason) for a Parquet file."""

        def look() -> tuple[str, str]:
            from assets.ingestion.parquet_files import footer_schema

            if not file.bytes:
                return "bad", "the file is empty"
            try:
                return "ok", schema_digest(footer_schema(file.path))
            except SourceError as error:
                return "bad", error.reason

        return self.remember(file, look)

    def remember(self, file: FileInfo, look: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        key = f"{file.relative}|{file.bytes}|{file.mtime_ns}"
        answer = self.known.get(key) or self.looked_up.get(key)
        if answer is None:
            answer = ":".join(look())
        self.looked_up[key] = answer
        kind, _, detail = answer.partition(":")
        return kind, detail

    def file(self, file: FileInfo) -> None:
        """Add one file as a source, or say why it is none."""
        if not file.bytes:
            self.refuse(file.path, "the file is empty")
            return
        if not os.access(file.path, os.R_OK):
            self.refuse(file.path, "permission denied")
            return
        kind, compression, suffix = format_of(file.path.name)
        if kind is None and not suffix and compression == "none":
            answer, detail = self.remember(file, lambda: sniff(file.path))
            if answer == "bad":
                self.refuse(file.path, detail)
                return
            kind = "text"
        if kind is None:
            self.refuse(file.path, f"unknown format {suffix or 'without extension'}")
            return
        if kind == "parquet" and compression == "none":
            answer, detail = self.footer(file)
            if answer == "bad":
                self.refuse(file.path, detail)
                return
        self.sources.append(Source(file.relative, file.path, kind, compression, (file,)))

    def delta(self, path: Path) -> None:
        """Pin a Delta table at its present version."""
        from assets.ingestion.delta_files import open_delta

        try:
            table = open_delta(path)
            metadata = table.metadata()
        except SourceError as error:
            self.refuse(path, error.reason)
            return
        columns = tuple(metadata.partition_columns)
        version, identity = table.version(), str(metadata.id)
        self.sources.append(
            Source(self.name(path), path, "delta", "none", (), columns, version, identity)
        )


def _all_parquet(folder: _Folder) -> list[FileInfo] | None:
    """Return all files below, or None if any is not plain Parquet, or a folder is Delta or holds a tombstone."""
    if folder.delta or folder.tombstones:
        return None
    files = list(folder.files)
    if any(format_of(file.path.name)[:2] != ("parquet", "none") for file in files):
        return None
    for inner in folder.folders:
        below = _all_parquet(inner)
        if below is None:
            return None
        files += below
    return files


def _is_loop(error: OSError) -> bool:
    import errno

    return error.errno == errno.ELOOP
