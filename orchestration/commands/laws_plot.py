"""Draw the answer of `sluice laws`: what was measured, the fitted curves with bands, and the frontier."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from resources.errors import RecipeError

if TYPE_CHECKING:
    from assets.filtering.study import Study

MOST_BYTES = 400_000


def write_plot(fitted: Study, answer: dict[str, Any], path: Path) -> None:
    """Write a PNG (curves, and below them the frontier) or a self-contained HTML page.

    Raises
    ------
    RecipeError
        The name ends in neither .png nor .html.
    """
    if path.suffix.lower() not in (".png", ".html"):
        message = f"--plot {path}: give a file that ends in .png or .html"
        raise RecipeError(message)
    images = [_curves(fitted)]
    if answer["plans"]:
        images.append(_frontier(fitted, answer))
    if path.suffix.lower() == ".png":
        path.write_bytes(_stacked(images))
        return
    pictures = "".join(
        f'<p><img alt="figure" src="data:image/png;base64,{base64.b64encode(data).decode()}"></p>'
        for data in images
    )
    rows = "".join(
        f"<li><b>{warning['code']}</b>: {_plain(warning['message'])}. {_plain(warning['remedy'])}</li>"
        for warning in answer["warnings"]
    )
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sluice laws</title>'
        "<style>body{font:15px sans-serif;max-width:70em;margin:2em auto}</style></head><body>"
        f"<h1>Training curves and plan</h1>{pictures}<h2>What the curves can't say</h2>"
        f"<ul>{rows or '<li>nothing was found</li>'}</ul></body></html>",
        encoding="utf-8",
    )


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _curves(fitted: Study) -> bytes:
    from assets.publication.plots import curve_panels, png

    read = fitted.curves
    points = pl.DataFrame(
        {
            "pool": [read.pools[i] for i in read.pool],
            "samples_seen": read.samples,
            "metric_value": read.to_metric(read.error),
            "se": read.se,
        }
    )
    low, high = float(read.samples.min()), 4.0 * float(read.samples.max())
    grid = np.geomspace(low, high, 24)
    asked = pl.DataFrame(
        [(pool, n) for pool in read.pools for n in grid],
        schema={"pool": pl.String, "samples_seen": pl.Float64},
        orient="row",
    )
    predicted = fitted.answer(predict=asked)["predictions"]
    bands = pl.DataFrame(predicted).rename({"samples_seen": "samples"})
    drawn = curve_panels(points, bands, by="pool", predicted="predicted", unit="samples")
    return png(drawn, MOST_BYTES)


def _frontier(fitted: Study, answer: dict[str, Any]) -> bytes:
    from assets.filtering.frontier import plans_by_budget
    from assets.publication.plots import plan_frontier, png

    budgets = [row["budget"] for row in answer["frontier"]]
    chosen = answer["plans"][0]
    budget = chosen["samples"] + answer["unspent"]
    wanted = list(dict.fromkeys(tuple(row["pools"]) for row in answer["frontier"]))
    wanted += [
        tuple(plan["pools"]) for plan in answer["plans"][:6] if tuple(plan["pools"]) not in wanted
    ]
    rows = plans_by_budget(fitted.ensemble, np.unique([*budgets, budget]), wanted, fitted.setting)
    plans = pl.DataFrame(rows).with_columns(
        chosen=(pl.col("budget") == budget) & (pl.col("pools") == "+".join(chosen["pools"]))
    )
    switches = pl.DataFrame(
        [(p["samples"], "+".join(p["from"]), "+".join(p["to"])) for p in answer["switch_points"]],
        schema={"samples": pl.Float64, "from": pl.String, "to": pl.String},
        orient="row",
    )
    return png(plan_frontier(plans, switches, "samples"), MOST_BYTES)


def _stacked(images: list[bytes]) -> bytes:
    """Put figures below each other on one white page."""
    from matplotlib import image

    parts = [image.imread(io.BytesIO(data), format="png")[..., :3] for data in images]
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=1.0)
        for part in parts
    ]
    out = io.BytesIO()
    image.imsave(out, np.vstack(padded), format="png")
    return out.getvalue()
