"""Settings of methods as they are written on a command line: NAME=VALUE, numbers and truth values as such."""

from __future__ import annotations

from collections.abc import Iterable

from assets.scoring.protocol import ScoringError

Value = str | float | bool
_WORDS: dict[str, bool] = {"true": True, "false": False}


def parse_value(text: str) -> Value:
    """Read a whole number, a number, ``true`` or ``false``, else a string."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return _WORDS.get(text, text)


def scorer_settings(given: Iterable[str], scorers: Iterable[str]) -> dict[str, dict[str, Value]]:
    """Read ``SCORER.NAME=VALUE`` settings, by scorer.

    Parameters
    ----------
    given
        What was written.
    scorers
        The scorers that are wanted.

    Raises
    ------
    ScoringError
        One is not of that form, is given twice, or is of a scorer that is not wanted.
    """
    known = set(scorers)
    found: dict[str, dict[str, Value]] = {}
    for text in given:
        place, equals, value = (part.strip() for part in text.partition("="))
        scorer, dot, name = place.partition(".")
        if not (equals and value and dot and name):
            message = f"--set {text}: write SCORER.NAME=VALUE, for example lava.eps=0.1"
            raise ScoringError(message)
        if scorer not in known:
            message = f"--set {text}: --scorers does not name {scorer!r}; it names {', '.join(sorted(known))}"
            raise ScoringError(message)
        own = found.setdefault(scorer, {})
        if name in own:
            message = f"--set {text}: {place} is given twice"
            raise ScoringError(message)
        own[name] = parse_value(value)
    return found
