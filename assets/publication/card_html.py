"""The few HTML parts of the card; every one escapes what it is given, unless it is `Markup`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assets.publication.card_format import count, escape
from assets.publication.card_palette import css_variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Characters that a cell shows of names, reasons and messages.
LONGEST = 400
#: Bytes that a page may take; beyond them its longest folded tables are left out, and said so.
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
        svg = Markup(inline_svg(drawing, f"f{self.figures}", title, description))
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
            f"<title>{escape(title)}</title>\n<style>{css_variables()}{_CSS}</style>\n</head>\n"
            f'<body>\n<a class="skip" href="#main">Skip to the card</a>\n<header>{header}</header>\n'
            f'<nav aria-label="Sections">{links}</nav>\n<main id="main">\n{body}\n</main>\n'
            "</body>\n</html>\n"
        )


def _within(page: str) -> str:
    """Leave out folded tables, longest first, until the page is small enough."""
    excess = len(page.encode()) - LARGEST
    # what stands between these tags is escaped, so that the next closing tag is the right one
    folded = re.compile("<details[^>]*>(<summary>.*?</summary>).*?</details>", re.DOTALL)
    note = '<p class="note">{} is left out, to keep the page small.</p>'
    gone: set[str] = set()
    for block in sorted((match.group() for match in folded.finditer(page)), key=len, reverse=True):
        if excess <= 0:
            break
        gone.add(block)
        excess -= len(block.encode()) - 200

    def shorter(match: re.Match[str]) -> str:
        if match.group() not in gone:
            return match.group()
        return note.format(match.group(1).removeprefix("<summary>").removesuffix("</summary>"))

    return folded.sub(shorter, page)


def definitions(pairs: Mapping[str, object]) -> Markup:
    """Return a list of terms with what they stand for."""
    return element(
        "dl",
        *(joined([element("dt", term), element("dd", value)]) for term, value in pairs.items()),
    )


_CSS = """
*{box-sizing:border-box}
html{scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
Roboto,"Noto Sans","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
header,main{max-width:1040px;margin:0 auto;padding:0 28px}
header{padding-top:44px}
h1{font-size:2.1rem;line-height:1.15;letter-spacing:-.015em;margin:0 0 .25em;overflow-wrap:anywhere}
.kicker{color:var(--soft);font-size:.9rem;margin:0 0 1.4em;overflow-wrap:anywhere}
.lead{font-size:1.22rem;line-height:1.5;max-width:46em;margin:0 0 1.2em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;margin:1.4em 0;
background:var(--line);border:1px solid var(--line);border-radius:8px;overflow:hidden;padding:0}
.tiles>div{background:var(--page);padding:14px 16px;display:flex;flex-direction:column-reverse;
justify-content:flex-end}
.tiles dt{color:var(--soft);font-size:.82rem;line-height:1.3}
.tiles dd{margin:0;font-size:1.6rem;font-weight:600;letter-spacing:-.01em;line-height:1.25;
font-variant-numeric:tabular-nums}
nav{position:sticky;top:0;z-index:2;background:var(--page);border-bottom:1px solid var(--line);
margin-top:20px;padding:8px max(28px,calc((100% - 984px)/2));display:flex;flex-wrap:wrap;gap:2px 20px;
font-size:.9rem}
nav a,.skip{color:var(--link);text-decoration:none;padding:2px 0}
nav a:hover{text-decoration:underline}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);
outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--page);padding:6px 10px}
section{padding:34px 0 14px;border-bottom:1px solid var(--line);scroll-margin-top:44px}
section:last-child{border-bottom:0;padding-bottom:60px}
h2{font-size:1.42rem;letter-spacing:-.01em;margin:0 0 .5em;line-height:1.25}
h3{font-size:1.04rem;margin:2em 0 .4em}
p{margin:.5em 0 .9em;max-width:46em}
.note,.empty{color:var(--soft);font-size:.92rem}
.empty{border-left:3px solid var(--line);padding-left:12px}
figure{margin:1.5em 0 1.2em;break-inside:avoid}
figcaption{color:var(--soft);font-size:.9rem;line-height:1.45;max-width:54em;margin-top:.5em}
figcaption b{color:var(--ink);font-weight:600}
svg *{stroke-linejoin:round;stroke-linecap:butt}
svg{display:block;max-width:100%;min-width:640px;height:auto;font-family:inherit}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.89rem;line-height:1.4;margin:.4em 0 1em}
caption{caption-side:top;text-align:left;color:var(--soft);font-size:.88rem;padding:0 0 .45em}
th,td{text-align:left;vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600;font-size:.82rem;white-space:nowrap;
border-bottom-color:var(--ghost)}
tbody th{font-weight:500;min-width:11em}
td{min-width:6.6em}td.n{min-width:0}
td.n,th.n{padding-right:20px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;overflow-wrap:normal}
th:last-child,td:last-child,th.n:last-child,td.n:last-child{padding-right:0}
details{margin:.3em 0 1em}
summary{cursor:pointer;color:var(--link);font-size:.92rem;padding:3px 0}
details caption{display:none}
@media screen and (max-width:620px){table{min-width:540px}}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.2em}
.meter{display:inline-block;width:100%;min-width:90px;height:.62em;background:var(--panel);border-radius:2px}
.meter i{display:block;height:100%;border-radius:2px}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.87em}
code{overflow-wrap:anywhere}
pre{background:var(--panel);padding:12px 14px;border-radius:6px;overflow-x:auto;white-space:pre-wrap;
overflow-wrap:anywhere;margin:.6em 0 1em}
.record{background:var(--panel);border-radius:6px;padding:10px 14px;margin:.7em 0;break-inside:avoid}
.record p{margin:0 0 .4em;color:var(--soft);font-size:.84rem;max-width:none}
.record div{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.92rem;unicode-bidi:isolate}
.warn{border-left:3px solid var(--alert);padding:2px 0 2px 14px;margin:.9em 0}
.warn p{margin:.15em 0}
.warn b{color:var(--alert)}
dl{display:grid;grid-template-columns:minmax(9em,max-content) 1fr;gap:5px 20px;font-size:.93rem;margin:.6em 0 1.2em}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:620px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}header,main{padding:0 16px}
nav{position:static;padding:8px 16px}h1{font-size:1.6rem}header{padding-top:24px}}
@media print{@page{margin:14mm}body{font-size:10.5pt;background:none}nav,.skip{display:none}
header,main{max-width:none;padding:0}section{padding:14px 0 4px}svg{min-width:0}.scroll{overflow:visible}
h2,h3{break-after:avoid}tr{break-inside:avoid}
.tiles{grid-template-columns:repeat(6,1fr)}.tiles dd{font-size:1.2rem}
details.long{display:none}details::details-content{content-visibility:visible;height:auto;display:block}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
