"""Arrow's CSV parser on one block of whole, well-quoted records; every cell a string."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv


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
