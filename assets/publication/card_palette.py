"""Colours of the card: one token a meaning, with a light and a dark value.

The hues are those of Okabe and Ito (2008), distinct under the common colour blindnesses; every use
also carries a label or a hatch, so that nothing is said by colour alone. Figures are drawn in the
light values; when one is put in the page, each is replaced by its CSS variable.
"""

from __future__ import annotations

#: token: (light, dark). Light values are all different, since figures are recoloured by value.
TOKENS: dict[str, tuple[str, str]] = {
    "page": ("#fdfdfc", "#15171a"),
    "panel": ("#f4f4f1", "#1e2125"),
    "ink": ("#1b1d20", "#eceae6"),
    "soft": ("#5a5f66", "#a5abb3"),
    "line": ("#dcdcd7", "#363b42"),
    "ghost": ("#c3c5c4", "#4b5058"),
    "link": ("#00548a", "#7cc0ee"),
    "alert": ("#a33a00", "#ff9d66"),
    "published": ("#0072b2", "#3d9bd6"),
    "held_out": ("#56b4e9", "#9ad4f5"),
    "evaluation": ("#009e73", "#2cbf96"),
    "not_allocated": ("#c9ccce", "#636a73"),
    "filtered": ("#8d9297", "#8b929b"),
    "duplicate": ("#e69f00", "#e3a72a"),
    "contaminated": ("#d55e00", "#ec7a2c"),
    "contained": ("#cc79a7", "#d88cb6"),
    "not_sampled": ("#e4e3dc", "#2d3036"),
    "quarantined": ("#3f4348", "#d3d6da"),
    "forgotten": ("#efe03f", "#f0e75f"),
    "other": ("#7a6a58", "#b5a38f"),
}

#: In the order of the bars: what became of a row, and what that means for someone new to it.
FATES: dict[str, str] = {
    "published": "is in the training set",
    "held_out": "kept aside to measure training; never trained on",
    "evaluation": "belongs to an evaluation or target set; never published",
    "not_allocated": "good enough, but the budget was better spent elsewhere",
    "filtered": "its quality pool is not worth its cost at this budget",
    "duplicate": "a twin of a row that was kept",
    "contaminated": "a copy or near copy of an evaluation row",
    "contained": "its whole table is held by another table that was read",
    "not_sampled": "outside the share of the records that this trial run is on",
    "quarantined": "could not be read",
    "forgotten": "removed because somebody asked for it",
}

#: Hatches tell neighbours apart where colours can't.
HATCHES: dict[str, str] = {
    "held_out": "////",
    "not_allocated": "||||",
    "duplicate": "\\\\\\\\",
    "contained": "xxxx",
    "not_sampled": "....",
    "forgotten": "----",
}

#: Line and marker colours for things that have no meaning of their own, such as pools.
SERIES = ("published", "contaminated", "evaluation", "contained", "duplicate", "held_out")


def light(token: str) -> str:
    """Return the light value of a token."""
    return TOKENS[token][0]


def fate_token(fate: str) -> str:
    """Return the token of a fate, known or not."""
    return fate if fate in FATES else "other"


def fate_order(fate: str) -> tuple[int, str]:
    """Return the sort key of a fate: published first, unknown ones last by name."""
    known = list(FATES)
    return (known.index(fate) if fate in FATES else len(known), fate)


def css_variables() -> str:
    """Return CSS that defines every token for light, for dark, and for paper."""

    def block(which: int) -> str:
        return "".join(
            f"--{token.replace('_', '-')}:{pair[which]};" for token, pair in TOKENS.items()
        )

    return (
        f":root{{color-scheme:light dark;{block(0)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{block(1)}}}}}"
    )
