"""Prove containment from what tables are made of: data files that both share, or one Delta log.

Third kind of evidence from metadata, and the only one that proves instead of refuting. A data file
of Parquet or Delta is named by device and inode where it is there, so that hard links and shallow
clones are the same file under any name. No data file is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assets.containment.delta_history import Commit, heads, read_commits, version_holds
from assets.ingestion.delta_files import Mask, snapshot
from assets.ingestion.model import Source, SourceError
from assets.ingestion.parquet_files import partition_values

STORED = ("parquet", "delta")
"""Formats whose data files are read in place."""

_ABSENT = object()


@dataclass(frozen=True)
class StoredFile:
    """One data file as a table uses it.

    Attributes
    ----------
    path
        Where it is.
    bytes
        Its size on disk.
    identity
        Equal for equal content: device, inode, size and time of last change; of a file that is not
        there its path and size; where column mapping names its columns, that too.
    partition
        Values of the partition columns.
    kept
        Which of its rows are live; None is all.
    """

    path: Path
    bytes: int
    identity: tuple[Any, ...]
    partition: Mapping[str, Any]
    kept: Mask | None = None


def stored_files(source: Source) -> list[StoredFile]:
    """List the data files of a Parquet or Delta source at its pinned version; opens none.

    Raises
    ------
    SourceError
        If the log of a Delta table can't be read.
    """
    if source.format == "delta":
        snap = snapshot(source)
        # the same bytes under other names are other rows
        names = () if snap.mapping is None else (snap.mapping.digest,)
        sizes = dict(
            zip(*(snap.actions.column(n).to_pylist() for n in ("path", "size_bytes")), strict=True)
        )
        return [
            _file(
                file.path,
                sizes[file.key] or 0,
                dict(zip(snap.partition_columns, file.partition, strict=True)),
                file.kept,
                names,
            )
            for file in snap.files
        ]
    files = sorted(source.files, key=lambda file: file.relative)
    schema, values = partition_values(files, source.path)
    return [
        _file(file.path, file.bytes, dict(zip(schema.names, row, strict=True)))
        for file, row in zip(files, values, strict=True)
    ]


def _file(
    path: Path,
    size: int,
    partition: Mapping[str, Any],
    kept: Mask | None = None,
    names: tuple[str, ...] = (),
) -> StoredFile:
    try:
        found = path.stat()
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, *names)
    except OSError:
        return StoredFile(path, size, (str(path.resolve()), size, *names), partition, kept)
    return StoredFile(path, size, identity, partition, kept)


def files_hold(
    child: Sequence[StoredFile], parent: Sequence[StoredFile], columns: Iterable[str]
) -> bool:
    """Tell whether every live row of a table's files is a live row of another's.

    Parameters
    ----------
    child, parent : sequence of StoredFile
        Data files of both tables, in which the columns have the same types.
    columns : iterable of str
        Top-level columns of the child; other names do no harm.

    Returns
    -------
    bool
        True proves that the parent has each row of the child, as often. False proves nothing.
    """
    theirs = {file.identity: file for file in parent}
    if not child or not {file.identity for file in child} <= theirs.keys():
        return False
    if len({file.identity for file in child}) < len(child):
        return False
    names = list(columns)
    return all(_within(file, theirs[file.identity], names) for file in child)


def _within(child: StoredFile, parent: StoredFile, names: Sequence[str]) -> bool:
    if any(child.partition.get(n, _ABSENT) != parent.partition.get(n, _ABSENT) for n in names):
        return False
    if parent.kept is None:
        return True
    if child.kept is None:
        return bool(parent.kept.all())
    size = max(child.kept.size, parent.kept.size)  # rows after the end of a vector are live
    mine, theirs = (
        np.concatenate([kept, np.ones(size - kept.size, np.bool_)])
        for kept in (child.kept, parent.kept)
    )
    return bool((theirs | ~mine).all())


class FileProofs:
    """Proofs of containment among the stored tables of a lake.

    Parameters
    ----------
    sources
        Parquet and Delta sources by table; others prove nothing and are passed over.
    types
        By table, the exact type of each flattened column.
    files
        The data files of tables that are known already.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        types: Mapping[str, Mapping[str, str]],
        files: Mapping[str, list[StoredFile]] | None = None,
    ) -> None:
        self._known = files or {}
        self._sources = {n: s for n, s in sources.items() if s.format in STORED}
        self._types = types
        self._commits: dict[Path, dict[int, Commit]] = {}

    @cached_property
    def _files(self) -> dict[str, list[StoredFile]]:
        files = {}
        for name, source in self._sources.items():
            try:
                files[name] = self._known[name] if name in self._known else stored_files(source)
            except SourceError:
                files[name] = []
        return files

    @cached_property
    def _in_common(self) -> frozenset[str]:
        """The tables that have a file, or a log, in common with another; only those prove anything."""
        made_of: dict[str, set[tuple[Any, ...]]] = {
            name: {file.identity for file in self._files[name]} | {("log", source.path)}
            for name, source in self._sources.items()
        }
        users = Counter(part for parts in made_of.values() for part in parts)
        return frozenset(n for n, parts in made_of.items() if any(users[p] > 1 for p in parts))

    def how(self, child: str, parent: str) -> str | None:
        """Say what proves that the parent has every row of the child: ``log``, ``files``, or None."""
        if child not in self._in_common or parent not in self._in_common:
            return None
        ours, theirs = self._sources[child], self._sources[parent]
        mine, other = self._types[child], self._types[parent]
        if any(other.get(name) != kind for name, kind in mine.items()):
            return None
        if files_hold(
            self._files[child], self._files[parent], [h for name in mine for h in heads(name)]
        ):
            return "files"
        if (ours.path, ours.table_id) != (theirs.path, theirs.table_id) or ours.format != "delta":
            return None
        if ours.version is None or theirs.version is None:
            return None
        commits = self._commits.get(ours.path)
        if commits is None:
            commits = self._commits[ours.path] = read_commits(ours.path)
        return "log" if version_holds(commits, ours.version, theirs.version, mine) else None
