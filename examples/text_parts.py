"""Records of text, and how a long text is cut into several."""

from __future__ import annotations

import re
from typing import NamedTuple

SHORTEST = 200
LONGEST = 4000


class Text(NamedTuple):
    """One record: where it comes from and what it says."""

    id: str
    package: str
    kind: str
    title: str
    text: str


def split(text: str, *, longest: int = LONGEST, shortest: int = SHORTEST) -> list[str]:
    r"""Cut a text at blank lines, else line ends, else words, into parts of `longest` or less.

    A word is never cut. A last part under `shortest` joins the one before it, which may then be
    longer. What is lost is white space at the cuts only.

    Examples
    --------
    >>> split("one\n\ntwo\n\nthree", longest=9, shortest=1)
    ['one\n\ntwo', 'three']
    """
    blocks: list[tuple[str, str]] = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        joint = "\n\n"
        for line in [paragraph] if len(paragraph) <= longest else paragraph.split("\n"):
            for piece in [line] if len(line) <= longest else line.split():
                blocks.append((joint, piece))
                joint = " "
            joint = "\n"
    parts: list[str] = []
    current = ""
    for joint, block in blocks:
        if current and len(current) + len(joint) + len(block) > longest:
            parts.append(current)
            current = block
        else:
            current = current + joint + block if current else block
    parts.append(current)
    if len(parts) > 1 and len(parts[-1]) < shortest:
        parts[-2:] = ["\n\n".join(parts[-2:])]
    return [part.strip("\n") for part in parts if part.strip()]


def text_parts(
    identity: str, package: str, kind: str, title: str, text: str, *, longest: int = LONGEST
) -> list[Text]:
    """Return a text as one record, or as several numbered ones; short texts give none."""
    parts = split(text.replace("\r\n", "\n"), longest=longest)
    if len(parts) <= 1:
        return [
            Text(identity, package, kind, title, part) for part in parts if len(part) >= SHORTEST
        ]
    return [
        Text(f"{identity}#{i}", package, kind, f"{title} (part {i} of {len(parts)})", part)
        for i, part in enumerate(parts, start=1)
    ]
