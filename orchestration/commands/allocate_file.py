"""Read the problem file of `sluice allocate`, and name it in everything that is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resources.errors import RecipeError


def read_stated(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`.

    Raises
    ------
    RecipeError
        The file is empty, is no JSON, states a key twice or holds something else than an object; with
        file, line and remedy.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        message = f"{file}: can't be read as JSON in UTF-8: {error}"
        raise RecipeError(message) from error
    if not text.strip():
        message = f"{file}: empty; write a problem with budget, objective and groups"
        raise RecipeError(message)
    try:
        stated = json.loads(text, object_pairs_hook=_once)
    except RecursionError as error:
        message = f"{file}: can't be read as JSON: nested too deeply"
        raise RecipeError(message) from error
    except ValueError as error:
        message = f"{file}: can't be read as JSON: {error}"
        raise RecipeError(message) from error
    if not isinstance(stated, dict):
        message = (
            f'{file}: holds {_kind(stated)}, not an object; write {{"budget": …, "objective": '
            '{…}, "groups": […]}'
        )
        raise RecipeError(message)
    return stated


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; of a key that stands twice, one value would be lost unseen."""
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            message = f"key {key!r} stands twice in one object; remove one"
            raise ValueError(message)
        out[key] = value
    return out


def _kind(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Put the file's name before what is refused inside, and make it the command's kind of error."""
    from assets.allocation.errors import AllocationError

    try:
        yield
    except AllocationError as error:
        message = f"{file}: {error}"
        raise RecipeError(message) from error


def as_text(answer: object, *, compact: bool) -> str:
    """Return an answer as JSON; a number that JSON does not have (infinity, NaN) becomes null."""
    return json.dumps(_finite(answer), indent=None if compact else 2, allow_nan=False)


def _finite(node: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    if isinstance(node, float) and not math.isfinite(node):
        return None
    return node


def shown(value: object) -> str:
    """Return a cell of a table for people."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
