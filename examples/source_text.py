"""Read docstrings and functions out of installed distributions; nothing is imported."""

from __future__ import annotations

import ast
import gc
import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from examples.installed_files import InstalledFile, installed, list_files
from examples.text_parts import SHORTEST, Text, text_parts

_SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "testing", "_vendor", "vendored", "externals", "_inductor", "_dynamo"}
)


def docstrings(name: str, *, most_bytes: int) -> list[Text]:
    """Return the docstrings of a distribution, up to about `most_bytes` bytes of text.

    Modules are read in the order of a hash of their path, so that a small sample is spread over the
    whole distribution and is part of every larger one. Source is parsed, never imported. Cost: one
    parse of each module that is read.
    """
    return _read_modules(name, most_bytes=most_bytes, records=_docstring_records)


def functions(name: str, *, most_bytes: int) -> list[Text]:
    """Return the source of functions of 9 lines or more; modules are chosen as in `docstrings`."""
    return _read_modules(name, most_bytes=most_bytes, records=_function_records)


def _read_modules(
    name: str, *, most_bytes: int, records: Callable[[InstalledFile, str], list[Text]]
) -> list[Text]:
    files = [
        file
        for file in list_files([installed(name)])
        if file.path.suffix == ".py"
        and not _SKIPPED_FOLDERS.intersection(file.path.parts)
        and not file.in_metadata
    ]
    files.sort(key=lambda file: hashlib.blake2b(str(file.path).encode(), digest_size=8).digest())
    found: list[Text] = []
    size = 0
    collecting = gc.isenabled()
    # a syntax tree is a million young objects and no garbage: collection costs a third of the time
    gc.disable()
    try:
        for file in files:
            if size >= most_bytes:
                break
            new = records(file, file.read())
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
            # a name may be defined twice in one module (overloads, branches): the line keeps ids
            # distinct
            line = getattr(node, "lineno", 0)
            found += text_parts(
                f"{file.package}:{title}:{line}", file.package, "docstring", title, text
            )
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
            found += text_parts(
                f"{file.package}:{title}:{node.lineno}", file.package, "code", title, text
            )
    return found
