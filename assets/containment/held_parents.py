"""Parents of retired tables: put under Sluice's control, and read from there.

Landed parents are Sluice's own Delta tables; their version is pinned. Of parents that are used in place
the files are held: Delta's data files by a link, since no writer of Delta changes one; its log and plain
Parquet, which a writer may overwrite in place, by a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from deltalake import DeltaTable

from assets.ingestion.access import RegisteredTable, read_table
from assets.ingestion.delta_files import snapshot
from assets.ingestion.model import POSITION_COLUMN, FileInfo, Format, Source, SourceError
from assets.ingestion.read import read
from assets.ingestion.register import stays_in_place
from resources.delta import file_names
from resources.errors import CheckError
from resources.held import HeldFile, How, hold

Hold = Literal["auto", "copy", "link"]


@dataclass(frozen=True)
class HeldParent:
    """A parent as a record tells of it; `told` is plain data."""

    state: Path
    told: Mapping[str, Any]

    @property
    def types(self) -> Mapping[str, str]:
        """Type by column."""
        types: Mapping[str, str] = self.told["types"]
        return types

    def batches(
        self, columns: Sequence[str] | None = None, *, as_written: bool = False
    ) -> Iterator[pa.Table]:
        """Stream top-level columns (all by default) and `sluice_position`.

        Raises
        ------
        CheckError
            If it can't be read.
        """
        wanted = list(self.types if columns is None else columns)
        place = self.state / self.told["place"]
        try:
            if self.told["data_version"] is not None:
                yield from read_table(self._registered(place), {}, wanted, as_written=as_written)
                return
            told = self.told
            source = stored_source(
                told["table"], place, told["format"], told["relative"], told["pinned"]
            )
            for batch in read(source):
                yield pa.Table.from_batches([batch]).select([*wanted, POSITION_COLUMN])
        except (SourceError, OSError, pa.ArrowException) as error:
            message = f"{place}: what is held of {self.told['table']} can't be read: {error}"
            raise CheckError(message) from error

    def _registered(self, place: Path) -> RegisteredTable:
        told = self.told
        return RegisteredTable(
            table=told["table"],
            format=told["format"],
            version=told["version"],
            rows=told["rows"],
            bytes=0,
            fingerprint="",
            data_uri=str(place),
            data_version=told["data_version"],
            types=self.types,
        )


def stored_source(
    table: str, place: Path, file_format: Format, relative: Sequence[str], version: int | None
) -> Source:
    """Describe a table by where it is stored.

    Parameters
    ----------
    table
        Its name.
    place
        The file or folder.
    file_format
        Of it.
    relative
        Its files below the folder, or "" for the place itself; none for Delta.
    version
        Of Delta.
    """
    files = []
    for name in relative:
        path = place / name if name else place
        status = path.stat()
        files.append(FileInfo(path, name or path.name, status.st_size, status.st_mtime_ns))
    return Source(table, place, file_format, "none", tuple(files), (), version)


def hold_parent(
    state: Path, table: RegisteredTable, source: Source, how: Hold
) -> tuple[dict[str, Any], dict[How, int]]:
    """Put a parent under Sluice's control.

    Parameters
    ----------
    state
        The state root.
    table, source
        As registered, and as it is in the lake: unchanged since.
    how
        `auto` as the module says; `copy` and `link` for every data file.

    Returns
    -------
    tuple
        Plain data for `HeldParent.told`, without what depends on the child; and the bytes that were copied
        and linked.
    """
    told: dict[str, Any] = {
        "table": table.table,
        "version": table.version,
        "fingerprint": table.fingerprint,
        "format": table.format,
        "rows": table.rows,
        "types": dict(table.types),
        "data_version": table.data_version,
        "pinned": source.version,
        "relative": [_below(source, file) for file in source.files],
    }
    if not stays_in_place(source):
        place = Path(table.data_uri)
        files = [HeldFile.of(state, file) for file in _landed_files(place, table.data_version)]
        told |= {"place": place.relative_to(state).as_posix(), "files": _plain(files)}
        return told, {"copy": 0, "link": 0}
    name = source.path.name
    if source.format == "delta":
        listed = _delta_files(source, name, how)
    else:
        listed = [
            (file.path, (Path(name) / _below(source, file)).as_posix(), _how(how, "copy"))
            for file in source.files
        ]
    folder, held, spent = hold(state, listed)
    told |= {"place": (folder / name).relative_to(state).as_posix(), "files": _plain(held)}
    return told, spent


def _below(source: Source, file: FileInfo) -> str:
    return "" if file.path == source.path else file.path.relative_to(source.path).as_posix()


def _how(asked: Hold, usual: How) -> How:
    return usual if asked == "auto" else asked


def _plain(files: Sequence[HeldFile]) -> list[dict[str, Any]]:
    return [file.plain() for file in files]


def _landed_files(place: Path, version: int | None) -> list[Path]:
    table = DeltaTable(str(place), version=version)
    data = [place / name for name in file_names(table)]
    entries = [place / "_delta_log" / f"{n:020d}.json" for n in range((version or 0) + 1)]
    return sorted([*data, *(entry for entry in entries if entry.exists())])


def _delta_files(source: Source, name: str, how: Hold) -> list[tuple[Path, str, How]]:
    listed: list[tuple[Path, str, How]] = []
    for file in snapshot(source).files:
        if not file.path.is_relative_to(source.path):
            message = f"{source.path}: {file.path} lies outside of it, so it can't be held; name another parent"
            raise CheckError(message)
        inner = file.path.relative_to(source.path)
        listed.append((file.path, (Path(name) / inner).as_posix(), _how(how, "link")))
    # log entries, checkpoints and deletion vectors may be replaced, and are small
    beside = [*(source.path / "_delta_log").rglob("*"), *source.path.rglob("deletion_vector_*")]
    listed += [
        (file, (Path(name) / file.relative_to(source.path)).as_posix(), "copy")
        for file in beside
        if file.is_file()
    ]
    return listed
