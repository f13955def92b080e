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


class JsonError(ValueError):
    """A text that is not usable JSON."""


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - a JSON value
    """Parse one JSON text.

    NaN, Infinity and -Infinity are accepted as floats. Integers keep all their digits. Repeated
    keys: the last one wins.

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
