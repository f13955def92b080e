"""Arrow's CSV parser on one block of whole, well-quoted records; every cell a string."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from assets.ingestion.csv_cells import Cell, CellParser


def parse_block(
    block: bytes,
    names: list[str],
    delimiter: str,
    quote: str,
    set_aside: Callable[[Any], str] | None = None,
) -> pa.Table:
    """Parse a block.

    Parameters
    ----------
    block
        Whole records, the last with its line end.
    names
        A name for each cell of a record.
    delimiter, quote
        One ASCII character each; an empty quote turns quoting off.
    set_aside
        Receives each record of another width and returns "skip"; without it one is an error.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a record has another width, or the parser gives up.
    """
    return pa_csv.read_csv(
        pa.py_buffer(block),
        pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 16, column_names=names),
        pa_csv.ParseOptions(
            delimiter=delimiter,
            quote_char=quote or False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=True,
            ignore_empty_lines=True,
            invalid_row_handler=set_aside,
        ),
        pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    )


def refitted_block(
    block: bytes, names: list[str], width: int, delimiter: str, quote: str
) -> pa.Table:
    """Parse a block whose records all have `width` cells: drop those beyond the names, or add nulls."""
    table = parse_block(block, [str(i) for i in range(width)], delimiter, quote)
    columns = table.columns[: len(names)]
    missing = [pa.nulls(table.num_rows, pa.string())] * (len(names) - len(columns))
    return pa.table([*columns, *missing], names=names)


def with_refitted_rows(
    table: pa.Table, ragged: list[tuple[int, int, str]], names: list[str], parser: CellParser
) -> pa.Table | None:
    """Put rows of other widths (number, width, text) back in their places among those of a table.

    Returns
    -------
    pa.Table or None
        None if the parsers do not agree on one of them.
    """
    cells: list[list[Cell]] = []
    for _, width, text in ragged:
        record = next(parser.records(text.encode(), final=True), None)
        if record is None or record.cells is None or len(record.cells) != width:
            return None
        cells.append(fitted(record.cells, len(names)))
    columns = [
        pa.array(column, pa.binary()).cast(pa.string()) for column in zip(*cells, strict=True)
    ]
    both = pa.concat_tables([table, pa.table(columns, names=names)])
    rows = np.array([row for row, _, _ in ragged])
    places = np.concatenate([np.delete(np.arange(both.num_rows), rows), rows])
    return both.take(pa.array(np.argsort(places)))


def fitted(cells: list[Cell], width: int) -> list[Cell]:
    """Drop cells beyond a width, or add nulls."""
    return [*cells[:width], *[None] * (width - len(cells))]
