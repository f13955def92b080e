"""What goes where repeated spans are removed: each window of k tokens stays in one text, and stays whole there.

Texts are taken in the survivor order. A window is cut out of a text if an earlier one keeps it; a text keeps the
windows of which no token was cut. So a window goes only where it stands uncut in a text before.

Theorem. (a) Each window that is cut stands, whole and uncut, in an earlier text, the one that is named.
(b) No window of k tokens that is left in one piece stands in one piece in two texts.
Proof. (a) Only windows of which no token was cut are ever noted as kept, and a text changes no more once it was
taken. (b) When the later of the two was taken, the window was noted as kept by the earlier one or by one before it,
so it was cut. ∎

It follows that a text that keeps a window is never emptied. What is cut are all tokens of all windows that are cut;
where pieces meet at a cut, tokens stand side by side that did not before, and (b) does not speak of them. Neither
does it hold of texts that are to stay `whole`.

Cost: two binary searches a repeated window. Scratch files: 16 bytes a token, sparse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.repeated_spans import FOUND_AT_ONCE, match_frame
from assets.deduplication.span_partners import scratch_array
from assets.deduplication.token_files import Tokens

I64 = npt.NDArray[np.int64]


def span_cuts(
    tokens: Tokens,
    partner: I64,
    k: int,
    places: I64,
    whole: npt.NDArray[np.bool_] | None = None,
) -> Iterator[pl.DataFrame]:
    """Say what is cut out of each text, and where it is kept.

    Parameters
    ----------
    tokens, k, places
        As for `exact_partners`.
    partner
        What that gave.
    whole
        (texts,) texts of which nothing is cut; they keep what they have.

    Yields
    ------
    DataFrame
        `MATCH_SCHEMA`: `text` loses what `other` keeps; by text and start. Spans of one text overlap where they are
        kept in different places.
    """
    from assets.deduplication.span_kernels import choose_cuts, cut_runs

    total, texts = int(tokens.offsets[-1]), len(tokens.offsets) - 1
    stays = np.zeros(texts, np.uint8) if whole is None else whole.astype(np.uint8)
    order = np.argsort(places)
    with scratch_array(total) as cut:
        with scratch_array(total) as keeper:
            choose_cuts(tokens.offsets, partner, places, order, stays, k, keeper, cut)
        text, token = 0, 0
        while text < texts:
            found = np.empty((FOUND_AT_ONCE, 4), np.int64)
            text, token, count = cut_runs(tokens.offsets, cut, k, text, token, found)
            yield match_frame(tokens, found[:count], places)


CUT_SCHEMA = pl.Schema({"key": pl.String, "start": pl.Int64, "end": pl.Int64})


def merged(cuts: pl.DataFrame) -> pl.DataFrame:
    """Join spans (key, start, end) of a text that overlap; sorted."""
    reach = pl.col("end").cum_max().shift(1).over("key", order_by="start")
    return (
        cuts.sort("key", "start", "end")
        .with_columns(apart=(pl.col("start") > reach).fill_null(value=True))
        .with_columns(block=pl.col("apart").cum_sum())
        .group_by("key", "block")
        .agg(pl.col("start").min(), pl.col("end").max())
        .select(list(CUT_SCHEMA))
        .sort("key", "start")
    )


def cut_text(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return a text without some spans, sorted and apart, given as characters.

    Examples
    --------
    >>> cut_text("keep this, not that", [(9, 19)])
    'keep this'
    """
    kept, at = [], 0
    for start, end in spans:
        if not at <= start <= end <= len(text):
            message = f"span {start} to {end} lies outside a text of {len(text)} characters or overlaps another"
            raise ValueError(message)
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])
