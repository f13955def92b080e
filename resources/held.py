"""Files that Sluice holds for others: copied or linked under `state/held/`, each known by the hash of its bytes.

A held folder is named by the hashes of what it holds, so the same version of a parent is held once whoever needs it.
It appears whole, by one rename. docs/decisions/held-files.md says when a file is copied and when it is linked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from resources.errors import StoreError

HELD = Path("held")
PARENTS = HELD / "parents"
HASH = "blake2b-128"
"""Hash of file contents: 32 hex digits."""

How = Literal["copy", "link"]
_BLOCK = 1 << 20
_FICLONE = 0x40049409  # ioctl_ficlone(2)


@dataclass(frozen=True)
class HeldFile:
    """One file that something depends on; `place` is relative to the state root."""

    place: str
    bytes: int
    hash: str

    @classmethod
    def of(cls, root: Path, path: Path) -> HeldFile:
        """Describe a file as it is now."""
        return cls(path.relative_to(root).as_posix(), path.stat().st_size, hash_file(path))

    def fault(self, root: Path) -> str | None:
        """Say what is wrong with the file, or None where its bytes are the recorded ones."""
        path = root / self.place
        try:
            if path.stat().st_size != self.bytes:
                return f"{path} has {path.stat().st_size:,} bytes instead of {self.bytes:,}"
            return None if hash_file(path) == self.hash else f"{path} fails its hash"
        except FileNotFoundError:
            return f"{path} is gone"
        except OSError as error:
            return f"{path} can't be read ({error.strerror})"

    def plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return asdict(self)


def hash_file(path: Path) -> str:
    """Return the `HASH` of a file's bytes; about 1 s a GB."""
    hasher = hashlib.blake2b(digest_size=16)
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def faults(root: Path, files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Hash files and say what is wrong with them, in their order."""
    return [fault for file in files if (fault := HeldFile(**file).fault(root)) is not None]


def hold(
    state: Path, files: Sequence[tuple[Path, str, How]]
) -> tuple[Path, list[HeldFile], dict[How, int]]:
    """Hold files under `state/held/parents/`.

    Parameters
    ----------
    state
        The state root.
    files
        (file, its path in the held folder, how). A link falls back to a copy where the store has none; a copy shares
        the blocks of the original where the store can, until one of them is written to.

    Returns
    -------
    tuple
        The folder, its files, and how many bytes were copied and linked (nothing where it was held already, or
        where a copy shares its blocks).

    Raises
    ------
    StoreError
        When the store refuses.
    """
    place = state / PARENTS
    fresh = place / f".{uuid.uuid4().hex}.new"
    spent: dict[How, int] = {"copy": 0, "link": 0}
    try:
        fresh.mkdir(parents=True)
        listed = []
        for source, relative, how in sorted(files, key=lambda file: file[1]):
            target = fresh / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            done = _take(source, target, how)
            if done is not None:
                spent[done] += target.stat().st_size
            listed.append((relative, target.stat().st_size, hash_file(target)))
        name = hashlib.blake2b(repr(listed).encode(), digest_size=16).hexdigest()
        folder = place / name
        held = [
            HeldFile((PARENTS / name / relative).as_posix(), size, known)
            for relative, size, known in listed
        ]
        if folder.is_dir() and not faults(state, [file.plain() for file in held]):
            shutil.rmtree(fresh)
            return folder, held, {"copy": 0, "link": 0}
        if folder.is_dir():  # damaged: what depends on it is mended by this
            shutil.rmtree(folder)
        settle(fresh)
        fresh.rename(folder)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        message = f"{fresh}: can't be written: {error}"
        raise StoreError(message) from error
    return folder, held, spent


def _take(source: Path, target: Path, how: How) -> How | None:
    if how == "link":
        try:
            os.link(source, target)
        except OSError:
            pass
        else:
            return "link"
    if clone(source, target):
        return None
    shutil.copyfile(source, target)
    return "copy"


def clone(source: Path, target: Path) -> bool:
    """Copy a file by sharing its blocks, as Btrfs and XFS can; False where the store can't."""
    try:
        import fcntl

        with source.open("rb") as original, target.open("wb") as copy:
            fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
    except (ImportError, OSError):
        return False
    return True


def settle(path: Path) -> None:
    """Force a file, or a folder and all in it, to the disk."""
    inner = sorted(path.rglob("*")) if path.is_dir() else []
    for each in [*inner, path, path.parent]:
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a power failure."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        fresh.write_bytes(content)
        settle(fresh)
        fresh.replace(path)
        settle(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        message = f"{path}: can't be written: {error}"
        raise StoreError(message) from error
