"""Read the prose that installed distributions carry: READMEs, licences, guides, and data dumps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import Distribution

from examples.installed_files import InstalledFile
from examples.text_parts import SHORTEST, Text, text_parts

_LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors)")
_LICENCE_SUFFIXES = frozenset({"", ".txt", ".md", ".rst", ".APACHE", ".BSD"})
_GUIDE_SUFFIXES = frozenset({".rst", ".md", ".txt"})


def readmes(distributions: Sequence[Distribution]) -> list[Text]:
    """Return the distributions' long descriptions in parts of at most 1,500 characters."""
    found = []
    for item in distributions:
        metadata = item.metadata
        body = metadata.get("Description") or metadata.get_payload()  # type: ignore[attr-defined]
        if isinstance(body, str):
            name = item.name
            found += text_parts(
                f"{name}:readme", name, "readme", f"{name} README", body, longest=1500
            )
    return found


def licences(files: Sequence[InstalledFile]) -> list[Text]:
    """Return licence files in parts of at most 1,500 characters; many parts are the same."""
    found = []
    for file in files:
        if _LICENCE.match(file.path.name) and file.path.suffix in _LICENCE_SUFFIXES:
            title = f"{file.package} {file.path.name}"
            found += text_parts(
                f"{file.package}:{file.path}",
                file.package,
                "licence",
                title,
                file.read(),
                longest=1500,
            )
    return found


def guides(files: Sequence[InstalledFile]) -> list[Text]:
    """Return .rst, .md and .txt files outside of metadata, in parts of at most 2,000 characters.

    The kind is "guide" (guides, change logs, dataset descriptions) or, where the text is mostly
    numbers, "data" (matrices, distances): what a quality score should rank last. Of a data file the
    first 6 parts are taken.
    """
    found = []
    for file in files:
        if (
            file.path.suffix not in _GUIDE_SUFFIXES
            or _LICENCE.match(file.path.name)
            or file.in_metadata
        ):
            continue
        text = file.read()
        if len(text) < SHORTEST:
            continue
        kind = "data" if _mostly_numbers(text) else "guide"
        parts = text_parts(
            f"{file.package}:{file.path}", file.package, kind, str(file.path), text, longest=2000
        )
        found += parts[:6] if kind == "data" else parts
    return found


def _mostly_numbers(text: str) -> bool:
    sample = text[:4000]
    return sum(c.isalpha() for c in sample) < 0.25 * sum(not c.isspace() for c in sample)
