"""Measurements of text that quality rules look at, for a whole column at once, compiled.

Words are WordPunct tokens (`tokens`), lines are separated by newlines and blank ones don't count,
paragraphs are separated by blank lines. Repetition follows the definitions of Rae et al. 2021
(Gopher, table A1): shares of characters that sit in repeated lines, paragraphs and n-grams, where a
repeated n-gram is passed over as a whole. Cost: O(tokens), about 30 MB/s on one core; a row's
numbers depend on that row alone.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from assets.scoring.line_metrics import measure
from assets.scoring.tokens import character_table, tokenise, utf8

METRICS = (
    "characters",
    "words",
    "plain_words",
    "mean_word_length",
    "longest_word",
    "alpha_word_share",
    "hash_per_word",
    "ellipsis_per_word",
    "lines",
    "bullet_line_share",
    "ellipsis_line_share",
    "punctuated_line_share",
    "short_line_share",
    "duplicate_line_share",
    "duplicate_line_characters",
    "duplicate_paragraph_share",
    "duplicate_paragraph_characters",
    "newlines_per_word",
    "sentences",
    "braces",
    "latin_share",
    "spaceless_share",
    "top_2gram_characters",
    "top_3gram_characters",
    "top_4gram_characters",
    "duplicate_5gram_characters",
    "duplicate_6gram_characters",
    "duplicate_7gram_characters",
    "duplicate_8gram_characters",
    "duplicate_9gram_characters",
    "duplicate_10gram_characters",
)
_COUNT = len(METRICS)


def text_metrics(text: pa.Array) -> pl.DataFrame:
    """Measure each text.

    Parameters
    ----------
    text
        n Arrow strings; null counts as empty.

    Returns
    -------
    polars.DataFrame
        One Float64 column for each of `METRICS`, n rows. Shares are of 1; ``…_characters`` are
        shares of the text's characters.
    """
    column = utf8(text)
    tokens = tokenise(column)
    out = np.zeros((len(column.present), _COUNT))
    measure(
        column.data,
        column.offsets,
        character_table(),
        tokens.hashes,
        tokens.kinds,
        tokens.lengths,
        tokens.offsets,
        out,
    )
    return pl.DataFrame(out, schema=list(METRICS), orient="row")
