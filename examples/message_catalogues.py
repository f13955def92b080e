"""Read translations from installed message catalogues (.po), joined into longer records."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from examples.installed_files import installed

_LOCALE = re.compile(r"(?:^|/)locale/([A-Za-z_]+)/LC_MESSAGES/\w+\.po$")


class Message(NamedTuple):
    """One translated message: the English key and its first translated form."""

    key: str
    text: str


class TranslatedText(NamedTuple):
    """One record: consecutive messages of one catalogue, one a line."""

    id: str
    language: str
    locale: str
    source: str
    text: str


def parse_catalogue(lines: str) -> Iterator[Message]:
    """Yield the translated messages of a gettext catalogue in file order.

    The header, untranslated entries, fuzzy ones (guesses that nobody confirmed) and obsolete ones
    are left out. Of plural forms the last one counts. Cost: one pass.
    """
    for block in re.split(r"\n[ \t]*\n", lines.replace("\r\n", "\n")):
        flags: set[str] = set()
        fields: dict[str, str] = {}
        current = ""
        for line in block.split("\n"):
            if line.startswith("#,"):
                flags.update(flag.strip() for flag in line[2:].split(","))
            elif line.startswith("msg"):
                current, _, rest = line.partition(" ")
                fields[current] = _unquote(rest)
            elif line.startswith('"') and current:
                fields[current] += _unquote(line)
        forms = [fields[name] for name in sorted(fields) if name.startswith("msgstr")]
        if "fuzzy" not in flags and fields.get("msgid") and forms and forms[-1].strip():
            yield Message(fields["msgid"], forms[-1])


def translations(
    locales: dict[str, str], *, package: str = "django", characters: int = 300
) -> list[TranslatedText]:
    """Return the translations of an installed package as records, sorted by id.

    Parameters
    ----------
    locales
        Locale as the package spells it (``pt_BR``) -> language of the record (``pt``).
    package
        A distribution with .po files under ``locale/<locale>/LC_MESSAGES``.
    characters
        A record is closed once it holds this many; most then hold up to about 600.

    Raises
    ------
    MissingDistributionError
        When the package is not installed.
    """
    item = installed(package)
    found: list[TranslatedText] = []
    for path in sorted(str(file) for file in item.files or ()):
        match = _LOCALE.search(path)
        if match is None or match[1] not in locales:
            continue
        with open(str(item.locate_file(path)), encoding="utf-8") as file:  # noqa: PTH123 - a path protocol, no Path
            messages = list(parse_catalogue(file.read()))
        records = _joined(messages, characters)
        found += [
            TranslatedText(f"{path}#{number}", locales[match[1]], match[1], source, text)
            for number, (source, text) in enumerate(records)
        ]
    return sorted(found)


def _joined(messages: list[Message], characters: int) -> Iterator[tuple[str, str]]:
    lines: list[str] = []
    key = ""
    for message in messages:
        key = key or message.key
        lines.append(message.text)
        if sum(map(len, lines)) >= characters:
            yield key, "\n".join(lines)
            lines, key = [], ""
    if lines:
        yield key, "\n".join(lines)


def _unquote(text: str) -> str:
    # a catalogue's strings are C literals, and Python's literals read all the escapes that occur in
    # them
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return text.strip().strip('"')
    return value if isinstance(value, str) else ""
