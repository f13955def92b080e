"""What counts as the same text: the normalisation that a recipe states, and nothing else.

A setting is one step or several joined by `+`, always applied in the order of this table.

=================  ============================================================================
`none`             the bytes as they are: LF, CRLF, U+2028 and a byte order mark all differ
`bom`              drops one leading U+FEFF
`line_endings`     CRLF, lone CR, U+0085, U+2028 and U+2029 become LF; includes `bom`
`whitespace`       runs of white space become one space, ends are trimmed; includes the two above
`nfc`, `nfkc`      that Unicode form
`case`             Unicode lower case (full mapping, final sigma by context)
=================  ============================================================================

Unicode forms and lower case are those of the installed polars.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from assets.deduplication.errors import NormalisationSettingError

STEPS = ("none", "bom", "line_endings", "whitespace", "nfc", "nfkc", "case")
_INCLUDES = {"line_endings": ("bom",), "whitespace": ("bom", "line_endings")}


def parse_normalisation(setting: str) -> tuple[str, ...]:
    """Read a setting such as `nfc+whitespace` and return its steps in the order of application.

    Raises
    ------
    NormalisationSettingError
        A step is not known, `none` is joined with others, or `nfc` with `nfkc`.

    Examples
    --------
    >>> parse_normalisation("case+line_endings")
    ('bom', 'line_endings', 'case')
    """
    asked = [step.strip() for step in setting.split("+")]
    unknown = [step for step in asked if step not in STEPS]
    wrong = bool(unknown) or ("none" in asked and len(asked) > 1) or {"nfc", "nfkc"} <= set(asked)
    if wrong:
        message = (
            f"normalisation {setting!r} is not known; write none, or some of "
            f"{', '.join(STEPS[1:])} joined by + (nfc or nfkc, not both)"
        )
        raise NormalisationSettingError(message)
    steps = {step for name in asked for step in (name, *_INCLUDES.get(name, ()))}
    return tuple(step for step in STEPS if step in steps and step != "none")


def normalised(expression: pl.Expr, setting: str) -> pl.Expr:
    """Return the polars expression of a text column after the stated normalisation."""
    for step in parse_normalisation(setting):
        if step == "bom":
            expression = expression.str.strip_prefix("\ufeff")
        elif step == "line_endings":
            expression = expression.str.replace_all("\r\n|[\r\u0085\u2028\u2029]", "\n")
        elif step == "whitespace":
            # Unicode's white space and the four separators that Python also counts as such
            expression = expression.str.replace_all("[\\s\x1c-\x1f]+", " ").str.strip_chars(" ")
        elif step == "case":
            expression = expression.str.to_lowercase()
        else:
            form: Literal["NFC", "NFKC"] = "NFC" if step == "nfc" else "NFKC"
            expression = expression.str.normalize(form)
    return expression


def content_text(texts: pl.Series, setting: str) -> pl.Series:
    r"""Return the texts that decide which records are exact duplicates.

    Parameters
    ----------
    texts
        (n,) String; nulls stay null.
    setting
        See the table above.

    Examples
    --------
    >>> content_text(pl.Series(["a\r\nb", "a\nb"]), "line_endings").n_unique()
    1
    """
    return texts.to_frame("text").select(normalised(pl.col("text"), setting))["text"]
