"""Turn a validation error into a sentence that names group, field and remedy."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from assets.allocation.errors import AllocationError


class ProblemError(AllocationError):
    """The problem is misstated; the message names group and field with the remedy."""


def explain(error: ErrorDetails, raw: Mapping[str, Any], known: Sequence[str]) -> str:
    """Return one validation error as `where, field: what is wrong; remedy`."""
    path = [
        part for part in error["loc"] if part not in ("power", "offset", "hyperbola", "tabulated")
    ]
    where: list[str] = []
    node: Any = raw
    for depth, part in enumerate(path):
        if isinstance(part, int) and depth and path[depth - 1] in ("groups", "pools", "cells"):
            item: Any = node[part] if isinstance(node, list) and part < len(node) else {}
            name = item.get("name", f"#{part}") if isinstance(item, Mapping) else f"#{part}"
            where[-1] = f"{str(path[depth - 1]).rstrip('s')} {name!r}"
        else:
            where.append(str(part))
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = {}
    field = where.pop() if where else "problem"
    prefix = ", ".join([*where, f"field {field}"])
    kind = error["type"]
    value = error.get("input")
    if kind == "extra_forbidden":
        return f"{prefix}: unknown key{_hint(field, known)}"
    if kind == "missing":
        return f"{prefix}: missing"
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return f"{prefix}: {value!r} is not a finite number; refit or leave the group out"
    if kind == "string_too_short":
        return f"{prefix}: empty; give it a name"
    if kind.startswith("union_tag"):
        forms = "power, offset, hyperbola or tabulated"
        stated = value.get("form") if isinstance(value, Mapping) else None
        return f"{prefix}: form {stated!r} is not known; use {forms}"
    if kind in _NOT_A:
        return f"{prefix}: {_NOT_A[kind]}, got {_short(value)}"
    remedy = _REMEDY.get(field, "")
    return f"{prefix}: {str(error['msg']).lower()}, got {_short(value)}{'; ' + remedy if remedy else ''}"


def _hint(field: str, known: Sequence[str]) -> str:
    if field in known:
        return " here; move it to the part that has it, or remove it"
    near = difflib.get_close_matches(field, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _short(value: object) -> str:
    """Return the value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_NOT_A = {
    "model_type": "an object with keys is needed",
    "model_attributes_type": "an object with keys is needed",
    "dict_type": "an object with keys is needed",
    "list_type": "a list is needed",
    "float_type": "a number is needed",
    "int_type": "a whole number is needed",
    "string_type": "a text is needed",
}
_REMEDY = {
    "cost": "a cost is what one sample takes from the budget; use 1 where the budget counts "
    "samples",
    "aversion": "0 is the plain sum and larger values protect worse-off groups",
    "b": "with b of 0 or less the curve does not rise; refit it",
    "p": "with p of 0 or less the curve is not concave and rising; refit it",
    "weight": "use 0 to ignore a group",
    "max_passes": "at least one pass",
}
