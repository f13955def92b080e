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
        near = difflib.get_close_matches(field, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{prefix}: unknown key{hint}"
    if kind == "missing":
        return f"{prefix}: missing"
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return f"{prefix}: {value!r} is not a finite number; refit or leave the group out"
    remedy = _REMEDY.get(field, "")
    return f"{prefix}: {str(error['msg']).lower()}, got {value!r}{'; ' + remedy if remedy else ''}"


_REMEDY = {
    "cost": "a cost is what one sample takes from the budget; use 1 where the budget counts "
    "samples",
    "aversion": "0 is the plain sum and larger values protect worse-off groups",
    "b": "with b of 0 or less the curve does not rise; refit it",
    "p": "with p of 0 or less the curve is not concave and rising; refit it",
    "weight": "use 0 to ignore a group",
    "max_passes": "at least one pass",
}
