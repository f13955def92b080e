"""Find installed distributions, what they need, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class InstalledFile(NamedTuple):
    """A file of an installed distribution."""

    package: str
    path: PurePosixPath
    location: str

    def read(self) -> str:
        """Return the file's text; a stray byte of other people's files must not stop the lake."""
        return Path(self.location).read_bytes().decode("utf-8", errors="replace")

    @property
    def in_metadata(self) -> bool:
        """Whether the file describes the distribution and is no part of what it installs."""
        return self.path.parts[0].endswith((".dist-info", ".egg-info"))


class MissingDistributionError(ValueError):
    """A distribution that the sample lake is made from is not installed."""


def installed(name: str) -> Distribution:
    """Find an installed distribution by name.

    Raises
    ------
    MissingDistributionError
        Naming the distribution and the remedy.
    """
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        message = (
            f"{name} is not installed, and the sample lake is made from it; run: pip install {name}"
        )
        raise MissingDistributionError(message) from error


def dependency_closure(roots: Sequence[str]) -> list[Distribution]:
    """Return the installed distributions that `roots` need, themselves included, by name.

    What else is installed (test tools, say) does not count, so the lake is the same with and
    without it. A requirement that is not installed on this platform is left out; a root that isn't
    is an error (`MissingDistributionError`).
    """
    found: dict[str, Distribution] = {}
    waiting = [(root, True) for root in roots]
    while waiting:
        name, required = waiting.pop()
        key = str(canonicalize_name(name))
        if key in found:
            continue
        try:
            found[key] = installed(name)
        except MissingDistributionError:
            if required:
                raise
            continue
        for line in found[key].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append((requirement.name, False))
    return [found[key] for key in sorted(found)]


def list_files(distributions: Sequence[Distribution]) -> list[InstalledFile]:
    """List the files of distributions by distribution and path; costs a parse of each RECORD."""
    found = []
    for item in distributions:
        name = item.name  # parses the metadata each time
        paths = sorted(str(file) for file in item.files or () if ".." not in file.parts)
        found += [
            InstalledFile(name, PurePosixPath(path), str(item.locate_file(path))) for path in paths
        ]
    return found
