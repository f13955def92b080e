"""Which outputs stand on a shared lake layer, and which of an output's releases are no longer kept.

Recipes on one lake share the tables under `state:`, so what may be removed there depends on the releases of them all.
Every run leaves a small file in `_sluice/outputs/` of its state root that names its output, absolutely and from the
state root, so that the roots may be moved together.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resources.errors import StoreError

REGISTRY = Path("_sluice") / "outputs"
DROPPED = Path("_sluice") / "dropped_releases.json"


@dataclass(frozen=True)
class KnownOutput:
    """One output of a state root.

    Attributes
    ----------
    file
        The note that names it.
    told
        The output as its run knew it.
    places
        Folders where it may be now; those that hold no output of Sluice are left out.
    """

    file: Path
    told: str
    places: tuple[Path, ...]


def register_output(state: Path, output: Path) -> None:
    """Note at a state root that an output stands on it; writes nothing where that is noted already."""
    name = hashlib.blake2b(str(output).encode(), digest_size=16).hexdigest()
    content = json.dumps({"output": str(output), "relative": os.path.relpath(output, state)})
    file = state / REGISTRY / f"{name}.json"
    try:
        if file.exists() and file.read_text(encoding="utf-8") == content:
            return
        _replace(file, content)
    except OSError as error:
        message = f"{file}: can't be written: {error}"
        raise StoreError(message) from error


def known_outputs(state: Path) -> list[KnownOutput]:
    """Return every output that a run has noted at a state root.

    Raises
    ------
    StoreError
        When a note can't be read: then nobody knows what is needed.
    """
    found = []
    for file in sorted((state / REGISTRY).glob("*.json")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            output, relative = Path(told["output"]), state / told["relative"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{file}: can't be read: {error}; run the recipe that wrote it again"
            raise StoreError(message) from error
        places = {place.resolve() for place in (output, relative) if (place / "_sluice").is_dir()}
        found.append(KnownOutput(file, str(output), tuple(sorted(places))))
    return found


def dropped_releases(output: Path) -> frozenset[int]:
    """Return the numbers of the releases that `sluice maintain` was told not to keep."""
    file = output / DROPPED
    try:
        return frozenset(int(n) for n in json.loads(file.read_text(encoding="utf-8"))["releases"])
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{file}: can't be read: {error}"
        raise StoreError(message) from error


def note_dropped(output: Path, numbers: Iterable[int]) -> None:
    """Remember that releases are not kept, before anything of them is removed."""
    file = output / DROPPED
    try:
        _replace(file, json.dumps({"releases": sorted({*numbers, *dropped_releases(output)})}))
    except OSError as error:
        message = f"{file}: can't be written: {error}"
        raise StoreError(message) from error


def _replace(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{uuid.uuid4().hex}.new")
    fresh.write_text(content, encoding="utf-8")
    fresh.replace(file)
