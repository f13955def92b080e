"""JSON text to Python values without losing digits.

orjson is used where it is exact. It reads integers beyond 64 bits as floats and refuses NaN and
infinities, which Python programs write; those texts go to the standard library's parser.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG_DIGITS = re.compile(rb"\d{19}")
_NESTING = 200
_KEY_END = re.compile(rb'"\s*:')


class JsonError(ValueError):
    """A text that is not usable JSON."""


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - a JSON value
    """Parse one JSON text.

    NaN, Infinity and -Infinity are accepted as floats. Integers keep all their digits. Repeated
    keys: the last one wins; `repeated_key` tells whether there is one.

    Raises
    ------
    JsonError
        On a syntax error, invalid UTF-8, a lone surrogate, or nesting too deep to write back.
    """
    if _LONG_DIGITS.search(raw) is None:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            return _parse_exactly(raw, str(error))
        if raw.count(b"[") + raw.count(b"{") > _NESTING:
            _check_text(value)
        return value
    return _parse_exactly(raw, "")


def repeated_key(raw: bytes, value: Any) -> str | None:  # noqa: ANN401
    """Return a key that stands twice in one object of a text that was parsed to `value`, or None.

    Notes
    -----
    Every key is a string before a colon, so a text with no more of those than the value has keys repeats none. Only
    the others (a repeated key, or a colon after a quotation mark inside of a string) are parsed again, slowly.
    """
    if len(_KEY_END.findall(raw)) <= _keys(value):
        return None
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    json.loads(raw, object_pairs_hook=look)
    return found[0] if found else None


def _keys(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _parse_exactly(raw: bytes, first_error: str) -> Any:  # noqa: ANN401
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"invalid UTF-8 at byte {error.start}"
        raise JsonError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"not valid JSON: {first_error or error}"
        raise JsonError(message) from error
    _check_text(value)
    return value


def _check_text(value: Any) -> None:  # noqa: ANN401
    try:
        json_text(value).encode("utf-8")
    except UnicodeEncodeError as error:
        message = "a string holds half of a surrogate pair"
        raise JsonError(message) from error
    except RecursionError as error:
        message = "nested too deeply"
        raise JsonError(message) from error


def json_text(value: Any) -> str:  # noqa: ANN401
    """Return the compact JSON text of a value; floats round-trip, NaN is written as NaN."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
