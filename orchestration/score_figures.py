"""What the UI shows of scores for people to judge them: agreement, and the best, median and worst records.

Texts of records are shown only where `SLUICE_TEXTS=on` asks for it, because what Dagster keeps is seen by whoever may
see the UI; without it the ids stand there, `sluice trace` tells what they say, and so does the release's card.
"""

from __future__ import annotations

import html
import re

import numpy as np
import polars as pl

from assets.deduplication.cut_records import going_on
from assets.scoring.calibration import RANKS, Calibration
from assets.scoring.protocol import Direction
from assets.scoring.statistics import agreement, extremes, keyed_sample
from assets.scoring.stored_scores import current
from orchestration.tables_as_text import markdown
from resources.figures import texts_wanted
from resources.run import Run

SAMPLE_ROWS = 20_000
SHARE = 0.5
EACH = 3
SHOWN_CHARACTERS = 200
PLACES = {"best": ("highest", "lowest"), "median": ("median", "median"), "worst": ("lowest", "highest")}  # fmt: skip


def agreement_shown(run: Run) -> str:
    """Return how much of what one scorer would keep another would too, and chance (`random`), as a table."""
    scores, directions = _scores(run)
    named = {n: d for n, d in directions.items() if scores[n].null_count() < scores.height}
    if not named:
        return "no score to compare"
    rows = keyed_sample(scores["record_id"], SAMPLE_ROWS)
    some = scores[rows]
    columns = {name: _values(some[name]) for name in named}
    found = agreement(columns, named, some["record_id"], SHARE)
    head = f"Share of the better half by `left` that is in the better half by `right`; chance gives {SHARE:g}.\n\n"
    return head + markdown(found)


def records_to_read(run: Run) -> str:
    """Return the best, median and worst records of each score as a table: ids, scores, and texts where wanted."""
    scores, directions = _scores(run)
    rows = []
    for name, direction in {"quality": "high", **directions}.items():
        found = extremes(_values(scores[name]), scores["record_id"], EACH)
        for place, ends in PLACES.items():
            ids = found[ends[0] if direction == "high" else ends[1]]
            rows += [(name, place, one) for one in ids]
    picks = pl.DataFrame(rows, ["score", "place", "record_id"], orient="row")
    if picks.is_empty():
        return "no record has a score"
    values = scores.unpivot(index="record_id", variable_name="score", value_name="value")
    shown = picks.join(values, on=["score", "record_id"], how="left", maintain_order="left")
    if not texts_wanted():
        note = "`sluice trace RECORD_ID` tells what a record says; `SLUICE_TEXTS=on` shows texts here.\n\n"
        return note + markdown(shown, most_rows=shown.height)
    texts = (
        going_on(run.scan)
        .select("record_id", "text")
        .join(picks.lazy().select("record_id").unique(), on="record_id", how="semi")
        .collect(engine="streaming")
    )
    said = texts.with_columns(
        pl.col("text").map_elements(escaped, return_dtype=pl.String).alias("text")
    )
    joined = shown.join(said, on="record_id", how="left", maintain_order="left")
    return markdown(joined.with_columns(pl.col("text").fill_null("")), most_rows=joined.height)


def escaped(text: str) -> str:
    """Write the beginning of a text so that it stands in a cell of Markdown as it is: no markup, no line breaks."""
    one_line = re.sub(r"\s+", " ", text).strip()
    cut = one_line[:SHOWN_CHARACTERS]
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)
    safe = re.sub(r"([\\`*_\[\]{}#~!])", r"\\\1", html.escape(plain, quote=False))
    return safe + ("…" if len(one_line) > SHOWN_CHARACTERS else "")


def _scores(run: Run) -> tuple[pl.DataFrame, dict[str, Direction]]:
    """Return the scores that count, and which end of each combined one is better."""
    calibration = Calibration.from_frame(run.read("scoring/calibration"))
    directions = dict(calibration.states[RANKS].meta["directions"])
    names = ["record_id", "quality", *directions]
    scores = current(run.scan("scoring/scores")).select(names).collect(engine="streaming")
    return scores, directions


def _values(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
