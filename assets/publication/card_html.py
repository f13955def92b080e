"""The few HTML parts of the card; every one escapes what it is given, unless it is `Markup`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assets.publication.card_format import count, escape
from assets.publication.card_palette import css_variables
from assets.publication.card_style import CSS
from resources.figures import figures_wanted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Characters that a cell shows of names, reasons and messages.
LONGEST = 400
#: Bytes that a page may take; beyond them its longest folded tables, then figures, are left out, and said so.
LARGEST = 1_900_000


class Markup(str):
    """HTML that one of these functions has made, and that is therefore not escaped again."""

    __slots__ = ()


def markup(value: object) -> Markup:
    """Return markup as it is, and all else escaped."""
    return value if isinstance(value, Markup) else Markup(escape(value))


def joined(parts: Iterable[object], between: str = "") -> Markup:
    """Return parts one after the other, each escaped unless it is markup."""
    return Markup(between.join(markup(part) for part in parts))


def element(tag: str, *content: object, **attributes: str) -> Markup:
    """Return an element; a trailing underscore of an attribute is dropped (``class_``)."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{written}>{joined(content)}</{tag}>")


def paragraph(*content: object, class_: str = "") -> Markup:
    """Return a paragraph."""
    return element("p", *content, **({"class_": class_} if class_ else {}))


def foreign(text: object) -> Markup:
    """Return text that came out of the lake, cut where it is endless.

    It is isolated, so that its direction harms no neighbour.
    """
    clean = str(text)
    if len(clean) > LONGEST:
        clean = f"{clean[:LONGEST]}… ({count(len(clean))} characters)"
    return element("bdi", clean)


def code(text: object) -> Markup:
    """Return an identifier, path or command."""
    return element("code", foreign(text))


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    most: int = 200,
    elsewhere: str = "",
    collapsed: bool | None = None,
) -> Markup:
    """Return a table.

    Parameters
    ----------
    caption
        Says what a row is.
    columns, rows
        Headings, and as many cells in each row. The first cell of a row is its heading.
    numeric
        Places of the columns to align at the right.
    most
        Rows to show at most; what is left out is said.
    elsewhere
        Name of the table that holds all of them.
    collapsed
        Whether it is folded away until asked for; left out, it is beyond 12 rows. On paper folded
        tables are open, and those of more than 60 rows are left out.
    """
    right = frozenset(numeric)
    side = [' class="n"' if place in right else "" for place in range(len(columns))]
    head = "".join(
        f'<th scope="col"{mark}>{markup(name)}</th>'
        for name, mark in zip(columns, side, strict=True)
    )
    body = []
    for row in rows[:most]:
        cells = [
            f'<th scope="row"{mark}>{markup(cell)}</th>'
            if place == 0
            else f"<td{mark}>{markup(cell)}</td>"
            for place, (cell, mark) in enumerate(zip(row, side, strict=True))
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    rest = ""
    if len(rows) > most:
        where = f" They are in the table {escape(elsewhere)}." if elsewhere else ""
        rest = f'<p class="note">{count(len(rows) - most)} more rows are not shown.{where}</p>'
    inner = (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{rest}"
    )
    if collapsed if collapsed is not None else len(rows) > 12:
        label = f"{escape(caption)} ({count(len(rows))} rows)"
        long = ' class="long"' if len(rows) > 60 else ""
        return Markup(f"<details{long}><summary>{label}</summary>{inner}</details>")
    return Markup(inner)


def meter(part: float, whole: float, token: str = "published") -> Markup:
    """Return a small bar for a cell; its number stands beside it in the table."""
    percent = 0.0 if whole <= 0 else max(0.0, min(100.0, 100 * part / whole))
    return Markup(
        f'<span class="meter" aria-hidden="true"><i style="width:{percent:.1f}%;'
        f'background:var(--{token.replace("_", "-")})"></i></span>'
    )


def swatch(token: str) -> Markup:
    """Return a colour sample for a legend in a table."""
    name = token.replace("_", "-")
    return Markup(
        f'<span class="swatch" aria-hidden="true" style="background:var(--{name})"></span> '
    )


@dataclass
class Page:
    """Gather the sections of one page and number its figures."""

    sections: list[tuple[str, str, Markup]] = field(default_factory=list)
    figures: int = 0

    def figure(self, drawing: Figure, title: str, description: str, caption: object = "") -> Markup:
        """Return a figure with what it shows in words; the caption may say how to read it."""
        from assets.publication.card_svg import inline_svg

        self.figures += 1
        if figures_wanted():
            svg = Markup(inline_svg(drawing, f"f{self.figures}", title, description))
        else:
            svg = element("p", f"{description} Not drawn, as SLUICE_FIGURES=off asked.")
        words = joined([element("b", f"Figure {self.figures}. {title}."), " ", caption])
        return element("figure", element("div", svg, class_="scroll"), element("figcaption", words))

    def section(self, key: str, title: str, *content: object) -> None:
        """Add a section."""
        self.sections.append((key, title, joined(content, "\n")))

    def render(self, title: str, header: Markup) -> str:
        """Return the whole page."""
        links = joined(element("a", name, href=f"#{key}") for key, name, _ in self.sections)
        body = "\n".join(
            f'<section id="{escape(key)}" aria-labelledby="{escape(key)}-h">'
            f'<h2 id="{escape(key)}-h">{escape(name)}</h2>\n{content}\n</section>'
            for key, name, content in self.sections
        )
        return _within(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # nothing is loaded and no script runs, even if something slipped through the escaping
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
            "base-uri 'none'; form-action 'none'\">\n"
            '<meta name="referrer" content="no-referrer">\n'
            f"<title>{escape(title)}</title>\n<style>{css_variables()}{CSS}</style>\n</head>\n"
            f'<body>\n<a class="skip" href="#main">Skip to the card</a>\n<header>{header}</header>\n'
            f'<nav aria-label="Sections">{links}</nav>\n<main id="main">\n{body}\n</main>\n'
            "</body>\n</html>\n"
        )


def _within(page: str) -> str:
    """Leave out folded tables, then figures, longest first, until the page is small enough."""
    note = '<p class="note">{} is left out, to keep the page small.</p>'
    # what stands between these tags is escaped, so that the next closing tag is the right one
    folded = re.compile("<details[^>]*>(<summary>.*?</summary>).*?</details>", re.DOTALL)
    page = _without_longest(
        page,
        folded,
        lambda found: note.format(
            found.group(1).removeprefix("<summary>").removesuffix("</summary>")
        ),
    )
    drawn = re.compile("<svg.*?</svg>", re.DOTALL)
    return _without_longest(page, drawn, lambda _: note.format("The figure"))


def _without_longest(
    page: str, blocks: re.Pattern[str], instead: Callable[[re.Match[str]], str]
) -> str:
    excess = len(page.encode()) - LARGEST
    gone: set[str] = set()
    for block in sorted((match.group() for match in blocks.finditer(page)), key=len, reverse=True):
        if excess <= 0:
            break
        gone.add(block)
        excess -= len(block.encode()) - 200
    return blocks.sub(
        lambda match: instead(match) if match.group() in gone else match.group(), page
    )


def definitions(pairs: Mapping[str, object]) -> Markup:
    """Return a list of terms with what they stand for."""
    return element(
        "dl",
        *(joined([element("dt", term), element("dd", value)]) for term, value in pairs.items()),
    )
