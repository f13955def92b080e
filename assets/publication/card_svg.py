"""Turns figures into bytes that depend on the figure alone: inline SVG for the card, PNG elsewhere."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

from assets.publication.card_format import escape
from assets.publication.card_palette import TOKENS, light
from resources.figures import figures_wanted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")

# matplotlib's settings are process-wide, so that only one thread may draw
_DRAWING = threading.RLock()
_BY_HEX = {pair[0]: f"var(--{token.replace('_', '-')})" for token, pair in TOKENS.items()}


@contextmanager
def drawing() -> Iterator[None]:
    """Hold matplotlib's settings at ours, whatever a user's matplotlibrc says."""
    import matplotlib as mpl

    with _DRAWING, mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        # names of groups may be in scripts that the bundled font lacks; the browser has fonts
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        warnings.filterwarnings("ignore", message=r"Matplotlib currently does not support")
        mpl.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "sluice",
                "text.parse_math": False,
                "axes.unicode_minus": True,
                "font.family": "sans-serif",
                "font.sans-serif": ["DejaVu Sans"],
                "font.size": 11,
                "text.color": light("ink"),
                "axes.labelcolor": light("soft"),
                "axes.edgecolor": light("ghost"),
                "axes.facecolor": "none",
                "figure.facecolor": "none",
                "figure.dpi": 72,
                "xtick.color": light("soft"),
                "ytick.color": light("soft"),
                "xtick.labelsize": 10,
                "ytick.labelsize": 10,
                "axes.labelsize": 10.5,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "grid.color": light("line"),
                "grid.linewidth": 0.8,
                "hatch.linewidth": 0.9,
                "legend.frameon": False,
                "xtick.major.size": 3,
                "ytick.major.size": 0,
                "xtick.minor.size": 0,
                "ytick.minor.size": 0,
            }
        )
        yield


def drawn(make: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Wrap a function that makes a figure, so that it draws under our settings; an empty one where none are wanted."""

    @wraps(make)
    def inside(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        if not figures_wanted():
            from matplotlib.figure import Figure as Empty

            return Empty()
        with drawing():
            return make(*args, **kwargs)

    return inside


def inline_svg(figure: Figure, key: str, title: str, description: str) -> str:
    """Return a figure as one ``<svg>`` element for a page.

    Parameters
    ----------
    figure
        Drawn in the light values of the palette, 72 dots an inch, so that a point is a pixel.
    key
        Prefix of all ids, unique in the page.
    title, description
        What a screen reader says; escaped here.

    Notes
    -----
    Text stays text. Colours become CSS variables, so that the page's light or dark theme holds.
    Equal figures give equal bytes. The figure is cleared.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with drawing():
        FigureCanvasSVG(figure).print_svg(
            buffer,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
        width, height = (round(float(side) * 72, 1) for side in figure.get_size_inches())
        figure.clear()
    raw = buffer.getvalue()
    body = raw[raw.index(">", raw.index("<svg")) + 1 : raw.rindex("</svg>")]
    body = re.sub(
        r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL
    )
    # in matplotlib's output "<" in text is escaped, so that what is between angles is a tag
    body = re.sub(r"<[^>]*>", lambda tag: _restyled(tag.group(), key), body)
    body = re.sub(r">\s*\n\s*<", ">\n<", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'style="width:{width:g}px" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(description)}</desc>{body.strip()}</svg>'
    )


def _restyled(tag: str, key: str) -> str:
    tag = tag.replace("xlink:href=", "href=")
    tag = re.sub(r'\b(id|href)="(#?)', rf'\1="\2{key}-', tag)
    tag = tag.replace("url(#", f"url(#{key}-")
    tag = re.sub(r"font: (?:bold|700) ([\d.]+px) [^;\"]*", r"font-weight: 600; font-size: \1", tag)
    tag = re.sub(r"font: (?:\w+ )*?([\d.]+px) [^;\"]*", r"font-size: \1", tag)
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda hexa: _BY_HEX.get(hexa.group(), hexa.group()), tag)
    return re.sub(r"-?\d+\.\d{3,}", lambda long: f"{float(long.group()):.2f}", tag)


def png(figure: Figure, max_bytes: int = 110_000, most_dots: int = 120) -> bytes:
    """Return a figure as a PNG of at most `max_bytes` where a lower resolution can reach that.

    The default, written as a base64 data URI, stays below 150 kB. At 72 dots an inch (`most_dots`) a point is a
    pixel. Flat drawings need few colours: 64 take a third of the bytes. The figure is cleared, so that it holds no
    memory.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with drawing():
        for dots in (dots for dots in (120, 96, 72, 54, 36) if dots <= most_dots):
            buffer = io.BytesIO()
            FigureCanvasAgg(figure)
            figure.savefig(
                buffer, format="png", dpi=dots, facecolor="white", metadata={"Software": None}
            )
            data = _few_colours(buffer)
            if len(data) <= max_bytes:
                break
        figure.clear()
    return data


def _few_colours(source: io.BytesIO) -> bytes:
    from PIL import Image  # comes with matplotlib

    target = io.BytesIO()
    colours = Image.open(source).convert("RGB")
    colours.quantize(64, dither=Image.Dither.NONE).save(target, "png", optimize=True)
    return target.getvalue()
