"""Read the prose and code that installed distributions carry: docstrings, READMEs, guides, licences, functions, data dumps.

Every reader returns records (id, package, kind, title, text) in an order that depends on the distributions alone. A text longer
than `LONGEST` characters is cut at blank lines, or else at line ends; its title then says "(part 2 of 3)".
"""

from __future__ import annotations

import ast
import gc
import hashlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import PurePosixPath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SHORTEST = 200
LONGEST = 4000
_SKIPPED_FOLDERS = frozenset({"tests", "test", "testing", "_vendor", "vendored", "externals", "_inductor", "_dynamo"})
_LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors)")
_GUIDE_SUFFIXES = frozenset({".rst", ".md", ".txt"})


class Text(NamedTuple):
    """One record: where it comes from and what it says."""

    id: str
    package: str
    kind: str
    title: str
    text: str


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
        message = f"{name} is not installed, and the sample lake is made from it; run: pip install {name}"
        raise MissingDistributionError(message) from error


def dependency_closure(roots: Sequence[str]) -> list[Distribution]:
    """Return the installed distributions that `roots` need, themselves included, by name.

    What else is installed (test tools, say) does not count, so the lake is the same with and without it. A requirement that is
    not installed on this platform is left out; a root that isn't is an error (`MissingDistributionError`).
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


def docstrings(name: str, *, most_bytes: int) -> list[Text]:
    """Return the docstrings of a distribution's modules, classes and functions, up to about `most_bytes` bytes of text.

    Modules are read in the order of a hash of their path, so that a small sample is spread over the whole distribution and is part
    of every larger one. Source is parsed, never imported. Cost: one parse of each module that is read.
    """
    return _read_modules(name, most_bytes=most_bytes, records=_docstring_records)


def functions(name: str, *, most_bytes: int) -> list[Text]:
    """Return the source of a distribution's functions of 8 lines or more, as `docstrings` chooses modules."""
    return _read_modules(name, most_bytes=most_bytes, records=_function_records)


def readmes(distributions: Sequence[Distribution]) -> list[Text]:
    """Return the long descriptions in the distributions' metadata, in parts of at most 1,500 characters."""
    found = []
    for item in distributions:
        metadata = item.metadata
        body = metadata.get("Description") or metadata.get_payload()  # type: ignore[attr-defined]
        if isinstance(body, str):
            found += _parts(f"{item.name}:readme", item.name, "readme", f"{item.name} README", body, longest=1500)
    return found


def licences(distributions: Sequence[Distribution]) -> list[Text]:
    """Return licence files in parts of at most 1,500 characters; many are word for word the same, and so are their parts."""
    found = []
    for item, path in _files(distributions):
        if _LICENCE.match(path.name) and path.suffix in {"", ".txt", ".md", ".rst", ".APACHE", ".BSD"}:
            text = _read_text(item, path)
            title = f"{item.name} {path.name}"
            found += _parts(f"{item.name}:{path}", item.name, "licence", title, text, longest=1500)
    return found


def guides(distributions: Sequence[Distribution]) -> list[Text]:
    """Return the .rst, .md and .txt files outside of metadata and tests: guides, change logs, dataset descriptions."""
    return _plain_files(distributions, kind="guide", wanted=lambda path, text: not _mostly_numbers(text))


def data_dumps(distributions: Sequence[Distribution]) -> list[Text]:
    """Return text files that are mostly numbers: matrices, distances, tables. What a quality score should rank last."""
    return _plain_files(distributions, kind="data", wanted=lambda path, text: _mostly_numbers(text))


def split(text: str, *, longest: int = LONGEST, shortest: int = SHORTEST) -> list[str]:
    r"""Cut a text at blank lines, else at line ends, into parts of at most `longest` characters.

    A line is never cut, so a part with one very long line is longer. A last part under `shortest` joins the one before it. What is
    lost is white space at the cuts only.

    Examples
    --------
    >>> split("one\n\ntwo\n\nthree", longest=9, shortest=1)
    ['one\n\ntwo', 'three']
    """
    blocks: list[tuple[str, str]] = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        lines = [paragraph] if len(paragraph) <= longest else paragraph.split("\n")
        blocks += [("\n\n" if i == 0 else "\n", line) for i, line in enumerate(lines)]
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


def _parts(identity: str, package: str, kind: str, title: str, text: str, *, longest: int = LONGEST) -> list[Text]:
    parts = split(text.replace("\r\n", "\n"), longest=longest)
    if len(parts) == 1:
        return [Text(identity, package, kind, title, parts[0])] if len(parts[0]) >= SHORTEST else []
    return [
        Text(f"{identity}#{i}", package, kind, f"{title} (part {i} of {len(parts)})", part)
        for i, part in enumerate(parts, start=1)
    ]


def _files(distributions: Sequence[Distribution]) -> Iterator[tuple[Distribution, PurePosixPath]]:
    for item in distributions:
        for path in sorted(str(file) for file in item.files or () if ".." not in file.parts):
            yield item, PurePosixPath(path)


def _plain_files(
    distributions: Sequence[Distribution], *, kind: str, wanted: Callable[[PurePosixPath, str], bool]
) -> list[Text]:
    found = []
    for item, path in _files(distributions):
        if path.suffix not in _GUIDE_SUFFIXES or _LICENCE.match(path.name) or ".dist-info" in path.parts[0]:
            continue
        text = _read_text(item, path)
        if len(text) >= SHORTEST and wanted(path, text):
            found += _parts(f"{item.name}:{path}", item.name, kind, str(path), text, longest=2000)
    return found


def _mostly_numbers(text: str) -> bool:
    sample = text[:4000]
    return sum(c.isalpha() for c in sample) < 0.25 * sum(not c.isspace() for c in sample)


def _read_text(item: Distribution, path: PurePosixPath) -> str:
    # the files of a distribution are data of others: a stray byte must not stop the lake
    with open(str(item.locate_file(str(path))), "rb") as file:  # noqa: PTH123 - locate_file gives a path protocol, no Path
        return file.read().decode("utf-8", errors="replace")


def _read_modules(
    name: str, *, most_bytes: int, records: Callable[[str, PurePosixPath, str], list[Text]]
) -> list[Text]:
    item = installed(name)
    paths = [
        path
        for _, path in _files([item])
        if path.suffix == ".py" and not _SKIPPED_FOLDERS.intersection(path.parts) and "dist-info" not in path.parts[0]
    ]
    paths.sort(key=lambda path: hashlib.blake2b(str(path).encode(), digest_size=8).digest())
    found: list[Text] = []
    size = 0
    collecting = gc.isenabled()
    gc.disable()  # a syntax tree is a million young objects and no garbage: collection would cost a third of the time
    try:
        for path in paths:
            if size >= most_bytes:
                break
            new = records(name, path, _read_text(item, path))
            found += new
            size += sum(len(text.text.encode()) for text in new)
    finally:
        if collecting:
            gc.enable()
    return sorted(found)


def _definitions(source: str) -> Iterator[tuple[str, ast.AST]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SyntaxWarning of other people's escapes
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, node = waiting.pop()
        yield prefix, node
        for child in getattr(node, "body", ()):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                waiting.append((f"{prefix}.{child.name}" if prefix else child.name, child))
            elif isinstance(child, ast.If | ast.Try):
                waiting.append((prefix, child))


def _module_name(path: PurePosixPath) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _docstring_records(package: str, path: PurePosixPath, source: str) -> list[Text]:
    if '"""' not in source and "'''" not in source:
        return []
    module = _module_name(path)
    found: list[Text] = []
    for qualified, node in _definitions(source):
        if isinstance(node, ast.If | ast.Try):
            continue
        text = ast.get_docstring(node)  # type: ignore[arg-type]
        if text is not None and len(text) >= SHORTEST:
            title = f"{module}.{qualified}" if qualified else module
            # a name may be defined twice in one module (overloads, branches): the line keeps ids distinct
            line = getattr(node, "lineno", 0)
            found += _parts(f"{package}:{title}:{line}", package, "docstring", title, text)
    return found


def _function_records(package: str, path: PurePosixPath, source: str) -> list[Text]:
    module = _module_name(path)
    lines = source.split("\n")
    found: list[Text] = []
    for qualified, node in _definitions(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            if node.end_lineno - node.lineno < 8:
                continue
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            title = f"{module}.{qualified}"
            found += _parts(f"{package}:{title}:{node.lineno}", package, "code", title, text)
    return found
