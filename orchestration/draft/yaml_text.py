"""Names as YAML scalars, whatever characters they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"])


def quoted(text: str) -> str:
    r"""Write a text as a YAML scalar: plain where it is a word, else in double quotes with escapes.

    Examples
    --------
    >>> print(quoted("language"), quoted("no"), quoted('a "b"'))
    language "no" "a \"b\""
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escaped(c, '"\\') for c in text) + '"'


def flow(names: Sequence[str]) -> str:
    """Write names as a list on one line."""
    return "[" + ", ".join(quoted(name) for name in names) + "]"


def shown(text: str) -> str:
    """Make a text fit for a comment: what can't be printed is escaped."""
    return "".join(_escaped(c) for c in text)


def _escaped(character: str, special: str = "") -> str:
    if character in special:
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
