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
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SHORTEST = 200
LONGEST = 4000
_SKIPPED_FOLDERS = frozenset({"tests", "test", "testing", "_vendor", "vendored", "externals", "_inductor", "_dynamo"})
_LICENCE = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors)")
_LICENCE_SUFFIXES = frozenset({"", ".txt", ".md", ".rst", ".APACHE", ".BSD"})
_GUIDE_SUFFIXES = frozenset({".rst", ".md", ".txt"})


class Text(NamedTuple):
    """One record: where it comes from and what it says."""

    id: str
    package: str
    kind: str
    title: str
    text: str


class InstalledFile(NamedTuple):
    """A file of an installed distribution."""

    package: str
    path: PurePosixPath
    location: str

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


def list_files(distributions: Sequence[Distribution]) -> list[InstalledFile]:
    """List the files of distributions, sorted by distribution and path; read once and pass to the readers below."""
    found = []
    for item in distributions:
        name = item.name  # parses the metadata each time
        paths = sorted(str(file) for file in item.files or () if ".." not in file.parts)
        found += [InstalledFile(name, PurePosixPath(path), str(item.locate_file(path))) for path in paths]
    return found


def readmes(distributions: Sequence[Distribution]) -> list[Text]:
    """Return the long descriptions in the distributions' metadata, in parts of at most 1,500 characters."""
    found = []
    for item in distributions:
        metadata = item.metadata
        body = metadata.get("Description") or metadata.get_payload()  # type: ignore[attr-defined]
        if isinstance(body, str):
            name = item.name
            found += _parts(f"{name}:readme", name, "readme", f"{name} README", body, longest=1500)
    return found


def licences(files: Sequence[InstalledFile]) -> list[Text]:
    """Return licence files in parts of at most 1,500 characters; many are word for word the same, and so are their parts."""
    found = []
    for file in files:
        if _LICENCE.match(file.path.name) and file.path.suffix in _LICENCE_SUFFIXES:
            title = f"{file.package} {file.path.name}"
            found += _parts(f"{file.package}:{file.path}", file.package, "licence", title, _read(file), longest=1500)
    return found


def guides(files: Sequence[InstalledFile]) -> list[Text]:
    """Return .rst, .md and .txt files outside of metadata, in parts of at most 2,000 characters.

    The kind is "guide" (guides, change logs, dataset descriptions) or, where the text is mostly numbers, "data" (matrices,
    distances): what a quality score should rank last. Of a data file the first 6 parts are taken.
    """
    found = []
    for file in files:
        if file.path.suffix not in _GUIDE_SUFFIXES or _LICENCE.match(file.path.name) or file.in_metadata:
            continue
        text = _read(file)
        if len(text) < SHORTEST:
            continue
        kind = "data" if _mostly_numbers(text) else "guide"
        parts = _parts(f"{file.package}:{file.path}", file.package, kind, str(file.path), text, longest=2000)
        found += parts[:6] if kind == "data" else parts
    return found


def split(text: str, *, longest: int = LONGEST, shortest: int = SHORTEST) -> list[str]:
    r"""Cut a text at blank lines, else at line ends, else between words, into parts of at most `longest` characters.

    A word is never cut. A last part under `shortest` joins the one before it, which may then be longer. What is lost is white space
    at the cuts only.

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


def _parts(identity: str, package: str, kind: str, title: str, text: str, *, longest: int = LONGEST) -> list[Text]:
    parts = split(text.replace("\r\n", "\n"), longest=longest)
    if len(parts) <= 1:
        return [Text(identity, package, kind, title, part) for part in parts if len(part) >= SHORTEST]
    return [
        Text(f"{identity}#{i}", package, kind, f"{title} (part {i} of {len(parts)})", part)
        for i, part in enumerate(parts, start=1)
    ]


def _mostly_numbers(text: str) -> bool:
    sample = text[:4000]
    return sum(c.isalpha() for c in sample) < 0.25 * sum(not c.isspace() for c in sample)


def _read(file: InstalledFile) -> str:
    # these are other people's files: a stray byte must not stop the lake
    return Path(file.location).read_bytes().decode("utf-8", errors="replace")


def _read_modules(name: str, *, most_bytes: int, records: Callable[[InstalledFile, str], list[Text]]) -> list[Text]:
    files = [
        file
        for file in list_files([installed(name)])
        if file.path.suffix == ".py" and not _SKIPPED_FOLDERS.intersection(file.path.parts) and not file.in_metadata
    ]
    files.sort(key=lambda file: hashlib.blake2b(str(file.path).encode(), digest_size=8).digest())
    found: list[Text] = []
    size = 0
    collecting = gc.isenabled()
    gc.disable()  # a syntax tree is a million young objects and no garbage: collection would cost a third of the time
    try:
        for file in files:
            if size >= most_bytes:
                break
            new = records(file, _read(file))
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


def _docstring_records(file: InstalledFile, source: str) -> list[Text]:
    if '"""' not in source and "'''" not in source:
        return []
    module = _module_name(file.path)
    found: list[Text] = []
    for qualified, node in _definitions(source):
        if isinstance(node, ast.If | ast.Try):
            continue
        text = ast.get_docstring(node)  # type: ignore[arg-type]
        if text is not None and len(text) >= SHORTEST:
            title = f"{module}.{qualified}" if qualified else module
            # a name may be defined twice in one module (overloads, branches): the line keeps ids distinct
            line = getattr(node, "lineno", 0)
            found += _parts(f"{file.package}:{title}:{line}", file.package, "docstring", title, text)
    return found


def _function_records(file: InstalledFile, source: str) -> list[Text]:
    module = _module_name(file.path)
    lines = source.split("\n")
    found: list[Text] = []
    for qualified, node in _definitions(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            if node.end_lineno - node.lineno < 8:
                continue
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            title = f"{module}.{qualified}"
            found += _parts(f"{file.package}:{title}:{node.lineno}", file.package, "code", title, text)
    return found
