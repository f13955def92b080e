"""Remove files that nothing needs any more, if they are old enough, and count every one."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from resources.errors import StoreError
from resources.table_log import TableLog

Kind = Literal["orphan files", "superseded files", "run records", "temporary files", "caches"]
KINDS: tuple[Kind, ...] = (
    "orphan files",
    "superseded files",
    "run records",
    "temporary files",
    "caches",
)


@dataclass
class Tally:
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass
class Sweep:
    """One pass over a store.

    Attributes
    ----------
    before
        Only what was last written or let go of before this time (seconds since the epoch) is removed.
    fence
        Called before anything is removed; raises when the store is somebody else's by now.
    dry_run
        Count and remove nothing.
    """

    before: float
    fence: Callable[[], None]
    dry_run: bool = False
    removed: dict[Kind, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})

    def table(self, uri: Path, log: TableLog, versions: Iterable[int]) -> frozenset[str]:
        """Remove the data files of a table that none of `versions` needs; return the files that stay.

        A file's age counts from when it was written, or from when a version last let go of it: somebody may have
        begun to read it just before.
        """
        needed = log.needed(versions)
        here = {file.name: file for file in uri.glob("*.parquet")}
        self.fence()
        gone = set()
        for name in sorted(set(here) - needed):
            kind: Kind = "superseded files" if name in log.named else "orphan files"
            if self.file(kind, here[name], let_go=log.let_go.get(name, 0.0)):
                gone.add(name)
        return frozenset(set(here) - gone)

    def file(self, kind: Kind, path: Path, *, let_go: float = 0.0) -> bool:
        """Remove one file if it is old enough; tells whether it is gone (or would be)."""
        try:
            status = path.stat()
            if max(status.st_mtime, let_go) > self.before:
                return False
            if not self.dry_run:
                path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            message = f"{path}: can't be removed: {error.strerror}"
            raise StoreError(message) from error
        self.removed[kind].files += 1
        self.removed[kind].bytes += status.st_size
        return True

    def tree(self, kind: Kind, path: Path) -> None:
        """Remove a folder with all in it if none of its files is too young."""
        files = [file for file in path.rglob("*") if not file.is_dir()]
        # times of change go along with copies and links, so the folders' own count
        if any(p.lstat().st_ctime > self.before for p in [path, *path.rglob("*")]):
            return
        self.fence()
        for file in files:
            self.file(kind, file)
        if not self.dry_run:
            shutil.rmtree(path, ignore_errors=True)

    def folder(self, kind: Kind, path: Path) -> None:
        """Remove a flat folder if all of its files are old enough."""
        files = sorted(path.iterdir())
        if any(file.stat().st_mtime > self.before for file in files):
            return
        self.fence()
        for file in files:
            self.file(kind, file)
        if self.dry_run:
            return
        try:
            path.rmdir()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                message = f"{path}: can't be removed: {error.strerror}"
                raise StoreError(message) from error


def sweep_notes(sweep: Sweep, root: Path) -> None:
    """Remove what killed runs leave beside the tables of a root: run records and half-written small files."""
    house = root / "_sluice"
    for folder in sorted((house / "runs").glob("*/")):
        sweep.folder("run records", folder)
    left = [*house.rglob("*.new"), *house.glob("lease.*.expired")]
    left += [*(root / "publication").glob("*.new"), *(root / "publication/cards").glob("*.new")]
    for path in sorted(left):
        sweep.file("temporary files", path)


def sweep_log(sweep: Sweep, uri: Path) -> None:
    """Remove log entries that were being written when a process died; they were never part of the log."""
    log = uri / "_delta_log"
    for path in sorted([*log.glob("*.json#*"), *log.glob("_commit_*.tmp")]):
        sweep.file("temporary files", path)
