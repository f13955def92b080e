"""Numbers and text as a person reads them; hostile text made harmless."""

from __future__ import annotations

import html
import math
import re

#: Controls, and characters that reorder or hide what stands beside them in a line.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff"
    "\ufffe\uffff\ud800-\udfff]"
)
_NOTHING = "—"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(value: object) -> str:
    """Return text without controls, direction overrides and characters that XML forbids."""
    return _UNSAFE.sub("\ufffd", str(value).replace("\r\n", "\n"))


def escape(value: object) -> str:
    """Return text that is safe between tags and inside quoted attributes."""
    return html.escape(plain(value), quote=True)


def shorten(value: object, width: int) -> str:
    """Return one line of at most `width` characters, cut in the middle, where paths differ least."""
    text = " ".join(plain(value).split())
    if len(text) <= width:
        return text
    tail = (width - 1) * 3 // 5
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def shorten_path(value: object, width: int) -> str:
    """Return the last parts of a path that fit; its name tells more than its folders."""
    text = " ".join(plain(value).split())
    parts = text.split("/")
    while len(parts) > 1 and len("/".join(parts)) + 2 * (len(parts) < text.count("/") + 1) > width:
        parts = parts[1:]
    kept = "/".join(parts)
    return shorten(kept if kept == text else f"…/{kept}", width)


def count(value: float | None) -> str:
    """Return a whole number with thousands separated, or a dash for null."""
    return _NOTHING if value is None else f"{int(value):,}"


def number(value: float | None) -> str:
    """Return a real number with four significant digits, or a dash for null and NaN.

    Trailing zeros are dropped, so that 0.5 is not taken for a measurement to four digits.
    """
    if value is None:
        return _NOTHING
    real = float(value)
    if math.isnan(real):
        return _NOTHING
    if math.isinf(real):
        return "∞" if real > 0 else "−∞"
    if real == 0:
        return "0"
    if real == int(real) and abs(real) < 1e15:
        text = f"{int(real):,}"
    elif abs(real) >= 1e4:
        text = f"{real:,.0f}" if abs(real) < 1e15 else _power(real)
    elif abs(real) < 1e-4:
        text = _power(real)
    else:
        digits = max(0, 3 - math.floor(math.log10(abs(real))))
        text = f"{real:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if digits else text
    return text.replace("-", "−")


def _power(real: float) -> str:
    mantissa, _, power = f"{real:.3e}".partition("e")
    return f"{mantissa}×10{str(int(power)).translate(_RAISED)}"


def share(part: float, whole: float) -> str:
    """Return a part as a percentage, never rounding something to nothing nor most to all."""
    if whole <= 0:
        return _NOTHING
    percent = 100.0 * part / whole
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %" if percent not in (0.0, 100.0) else f"{percent:.0f} %"


def size(value: float | None) -> str:
    """Return bytes in powers of 1000 with a unit, or a dash for null."""
    if value is None:
        return _NOTHING
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(amount) < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} PB"


def compact(value: float) -> str:
    """Return a number for an axis: 1500 as 1.5k, 2000000 as 2M."""
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:.3g}{suffix}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def plural(amount: int, one: str, many: str = "") -> str:
    """Return a count with its noun, singular for one."""
    return f"{amount:,} {one if amount == 1 else (many or one + 's')}"


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which ``pool 2`` precedes ``pool 10``."""
    parts = re.split(r"([0-9]+)", text)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)
