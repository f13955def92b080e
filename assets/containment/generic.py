"""Keep edges that mean nothing out of the result.

A table of one column that holds 1, 2, 3 is contained in every table with such an identifier; so is
a table of yes and no. Nothing follows from it. What tells such edges is how much information the
child's rows carry: see `evidence_bits`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.kernels.cell_hash import find_column
from assets.kernels.cell_text import countable

MIN_EVIDENCE_BITS = 64.0
"""An edge whose child carries fewer bits could be a coincidence among the tables of a lake."""

EVIDENCE = "bits/2"
"""Name and version of the rule of `evidence_bits`; part of what is kept of it."""

EVIDENCE_ROWS = 8192
"""So many first rows of a child are looked at."""

TEXT_LENGTH = 256
"""So many first characters (or bytes) of a text are looked at: any text longer than 16 is evidence enough."""

FEW_ROWS = 10
FEW_COLUMNS = 2

_BITS_PER_CHARACTER = 4.0
_BITS_PER_DIGIT = math.log2(10)


def needs_evidence(child_distinct: int, n_columns: int) -> bool:
    """Tell whether a child is so small or narrow that its values must be looked at.

    Parameters
    ----------
    child_distinct : int
        Distinct rows of the child.
    n_columns : int
        Its columns.

    Returns
    -------
    bool
        True for at most two columns or fewer than ten distinct rows.
    """
    return n_columns <= FEW_COLUMNS or child_distinct < FEW_ROWS


def evidence_bits(table: pa.Table, columns: Sequence[str]) -> float:
    """Estimate the information in a table's distinct values.

    The rule: a value carries the bits that are needed to tell it apart, less those that a mere
    list of as many neighbours would carry. Whole numbers, dates and instants: the bits of the
    values' range (in steps of their common divisor), less the bits of their number, so that
    1..n carries nothing; a single one has the bits of its magnitude. Fractions: 3.3 bits a
    digit. Text and bytes: 4 bits a character (who reads them cuts them, see `shortened`).
    Booleans: 1 bit. The sum runs over the distinct values of each column.

    Parameters
    ----------
    table : pa.Table
        The child, or its first `EVIDENCE_ROWS` rows.
    columns : sequence of str
        The columns to look at.

    Returns
    -------
    float
        Bits, at least 0.
    """
    return sum(_column_bits(pc.unique(_flat(find_column(table, name)))) for name in columns)


def shortened(table: pa.Table) -> pa.Table:
    """Cut the texts of plain top-level columns to `TEXT_LENGTH`; no decision depends on the rest of them.

    A column that holds a text which is not UTF-8 becomes one of bytes.
    """
    for number, field in enumerate(table.schema):
        column = table.column(number)
        if _is_text(field.type):
            try:
                cut = pc.utf8_slice_codeunits(column, 0, TEXT_LENGTH)
            except pa.ArrowInvalid:
                cut = pc.binary_slice(column.cast(pa.large_binary()), 0, TEXT_LENGTH)
        elif pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            cut = pc.binary_slice(column, 0, TEXT_LENGTH)
        else:
            continue
        table = table.set_column(number, field.name, cut)
    return table


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_nested(array.type):
        array = pa.array(
            [None if value is None else repr(value) for value in countable(array).to_pylist()],
            pa.string(),
        )
    return array


def _column_bits(distinct: pa.Array) -> float:
    distinct = distinct.drop_null()
    if len(distinct) == 0:
        return 0.0
    if pa.types.is_boolean(distinct.type):
        return float(len(distinct))
    if pa.types.is_temporal(distinct.type) or pa.types.is_integer(distinct.type):
        return _whole_bits([int(tick) for tick in _ticks(distinct)])
    values: list[Any] = distinct.to_pylist()
    if pa.types.is_floating(distinct.type) or pa.types.is_decimal(distinct.type):
        finite = [value for value in values if math.isfinite(value)]
        if all(value == int(value) for value in finite):
            return _whole_bits([int(value) for value in finite])
        return sum(_BITS_PER_DIGIT * sum(map(str.isdigit, str(value))) for value in finite)
    return sum(_BITS_PER_CHARACTER * len(value) for value in values)


def _ticks(array: pa.Array) -> list[Any]:
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())
    ticks: list[Any] = array.to_pylist()
    return ticks


def _whole_bits(values: list[int]) -> float:
    values = list(set(values))  # 0.0 and -0.0 came as two
    if not values:
        return 0.0
    if len(values) == 1:
        return math.log2(abs(values[0]) + 1)
    low = min(values)
    step = math.gcd(*(value - low for value in values))
    reach = (max(values) - low) // step + 1
    return len(values) * (math.log2(reach) - math.log2(len(values)))


def trivial_reason(
    child_distinct: int,
    n_columns: int,
    bits: float | None,
    *,
    min_rows: int = 1,
    min_bits: float = MIN_EVIDENCE_BITS,
) -> str | None:
    """Say why an edge is left out of the result, if it is.

    Parameters
    ----------
    child_distinct : int
        Distinct rows of the child.
    n_columns : int
        Its columns.
    bits : float or None
        Its `evidence_bits`; None where they are unknown or not needed.
    min_rows : int, default 1
        Children with fewer distinct rows are left out.
    min_bits : float, default 64
        Children that need evidence and carry fewer bits are left out.

    Returns
    -------
    str or None
        The reason, or None for an edge that stays.
    """
    if child_distinct == 0:
        return "the child has no rows"
    if n_columns == 0:
        return "the child has no columns"
    if child_distinct < min_rows:
        return f"the child has {child_distinct} distinct rows, fewer than min_rows={min_rows}"
    if bits is not None and needs_evidence(child_distinct, n_columns) and bits < min_bits:
        return f"the child's values carry {bits:.0f} bits, fewer than {min_bits:.0f}: coincidence"
    return None
