"""Rows of any table become records of one schema, by the recipe's rule for that table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assets.deduplication.errors import DeduplicationError
from assets.kernels.identity import RecordIds, content_ids
from resources.recipe_records import RecordRule
from resources.rules import group_value_from_path

POSITION = "sluice_position"
# words with their marks, or one other sign; counted by polars, whose expressions know today's Unicode and run at
# several times the speed of Arrow's
_TOKENS = r"[\p{L}\p{M}\p{N}_]+|[^\p{L}\p{M}\p{N}_\p{Z}\s\p{Cc}]"


class RecordRuleError(DeduplicationError):
    """A rule can't be applied to a table; the message names rule, table, column and remedy."""


def record_schema(groups: Sequence[str], kept: Sequence[str]) -> pa.Schema:
    """Return the schema of `deduplication/records` for a recipe's groups and kept columns."""
    return pa.schema(
        [
            ("record_id", pa.string()),
            ("content_id", pa.string()),
            ("table", pa.string()),
            ("position", pa.int64()),
            ("role", pa.string()),
            ("text", pa.string()),
            ("features", pa.list_(pa.float64())),
            ("uri", pa.string()),
            ("label", pa.string()),
            *[(name, pa.string()) for name in groups],
            *[(name, pa.string()) for name in kept],
            ("rule", pa.int32()),
            ("tokens", pa.int64()),
        ]
    )


@dataclass
class RecordMaker:
    """Turn typed rows of one table into records.

    Parameters
    ----------
    table
        Name of the table.
    rule, rule_index
        The rule that matched it, and its place in the recipe (for messages and for feature names downstream).
    schema
        Of the result, from `record_schema`.
    columns
        The table's own columns; the record id is taken over all of them.

    Raises
    ------
    RecordRuleError
        When a column that the rule needs is missing, a feature is no number, or an id (or its
        absence) repeats.
    """

    table: str
    rule: RecordRule
    rule_index: int
    schema: pa.Schema
    columns: Sequence[str]

    def __post_init__(self) -> None:
        self._ids = RecordIds(self.table, self.rule.id)
        self._without_id = 0
        needed = [c for c in (self.rule.id, self.rule.uri, *self.rule.features) if c is not None]
        for column in needed:
            if column not in self.columns:
                raise self._missing(column)
        if self.rule.text and not any(c in self.columns for c in self.rule.text):
            raise self._missing(self.rule.text[0])

    def _missing(self, column: str) -> RecordRuleError:
        message = (
            f"records.{self.rule_index}: table {self.table} has no column {column!r}; it has "
            f"{', '.join(list(self.columns)[:20])}"
        )
        return RecordRuleError(message)

    def make(self, rows: pa.Table) -> pa.Table:
        """Make records of the next typed rows (with their `sluice_position`)."""
        count = rows.num_rows
        kind, value = self._learned(rows)
        record_ids = self._ids.add(rows, self.columns)
        if self.rule.id is not None and self._ids.repeated is not None:
            message = (
                f"records.{self.rule_index}.id: column {self.rule.id!r} of {self.table} holds "
                f"{self._ids.repeated!r} more "
                "than once, so it identifies no row; name another column or take `id` out"
            )
            raise RecordRuleError(message)
        if self.rule.id is not None:
            self._without_id += rows.column(self.rule.id).null_count
            if self._without_id > 1:  # numbered by arrival, so their ids would depend on the order
                message = (
                    f"records.{self.rule_index}.id: column {self.rule.id!r} of {self.table} is "
                    "null in more than one row, so it identifies no row; name another column or "
                    "take `id` out"
                )
                raise RecordRuleError(message)
        data: dict[str, Any] = {
            "record_id": pa.array(record_ids, pa.string()),
            "content_id": pa.array(content_ids(kind, value), pa.string()),
            "table": pa.repeat(pa.scalar(self.table, pa.string()), count),
            "position": rows.column(POSITION),
            "role": pa.repeat(pa.scalar(self.rule.role, pa.string()), count),
            "text": pa.nulls(count, pa.string()),
            "features": pa.nulls(count, pa.list_(pa.float64())),
            "uri": pa.nulls(count, pa.string()),
            "label": self._text_of(rows, self.rule.label),
            "rule": pa.array([self.rule_index] * count, pa.int32()),
            "tokens": self._tokens(kind, value),
        }
        data[kind] = value
        for name in self.schema.names:
            if name in data:
                continue
            source = self.rule.groups.get(name)
            if source is None:
                data[name] = self._text_of(rows, name if name in self.rule.keep else None)
            elif source.column is not None:
                data[name] = self._text_of(rows, source.column)
            else:
                fixed = (
                    source.value
                    if source.value is not None
                    else group_value_from_path(source.path or "", self.table)
                )
                data[name] = pa.array([fixed] * count, pa.string())
        return pa.table([data[name] for name in self.schema.names], schema=self.schema)

    def _learned(self, rows: pa.Table) -> tuple[str, pa.Array]:
        if self.rule.text:
            fields = [self._text_of(rows, name) for name in self.rule.text if name in self.columns]
            if len(fields) == 1:
                return "text", fields[0].fill_null("")
            # an empty field takes no line: null it, then join what is left
            # (in polars: Arrow 26's join with null_handling="skip" drops a last row of nulls)
            parts = {str(i): pl.Series(field, dtype=pl.String) for i, field in enumerate(fields)}
            frame = pl.DataFrame(parts).with_columns(
                pl.when(pl.all() != "").then(pl.all())  # null where empty
            )
            joined = frame.select(pl.concat_str(pl.all(), separator="\n", ignore_nulls=True))
            return "text", joined.to_series().fill_null("").to_arrow().cast(pa.string())
        if self.rule.features:
            return "features", self._features(rows)
        return "uri", self._text_of(rows, self.rule.uri)

    def _features(self, rows: pa.Table) -> pa.Array:
        numbers = []
        for name in self.rule.features:
            column = _flat(rows.column(name))
            try:
                numbers.append(pc.cast(column, pa.float64()))
            except pa.ArrowInvalid as error:
                message = f"records.{self.rule_index}.features: column {name!r} of {self.table} is no number: {error}"
                raise RecordRuleError(message) from error
            except pa.ArrowNotImplementedError as error:
                message = f"records.{self.rule_index}.features: column {name!r} of {self.table} has type {column.type}"
                raise RecordRuleError(message) from error
        width = len(numbers)
        order = pa.array(
            [
                row + column * rows.num_rows
                for row in range(rows.num_rows)
                for column in range(width)
            ],
            pa.int64(),  # or a batch without rows has indices of no type
        )
        flat = pa.concat_arrays(numbers).take(order)
        offsets = pa.array(range(0, rows.num_rows * width + 1, width), pa.int32())
        return pa.ListArray.from_arrays(offsets, flat)

    def _text_of(self, rows: pa.Table, name: str | None) -> pa.Array:
        if name is None or name not in self.columns:
            return pa.nulls(rows.num_rows, pa.string())
        column = _flat(rows.column(name))
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            return pa.array(
                [None if v is None else str(v) for v in column.to_pylist()], pa.string()
            )
        return pc.cast(column, pa.string())

    def _tokens(self, kind: str, value: pa.Array) -> pa.Array:
        if kind == "text":
            return text_tokens(value)
        if kind == "features":
            return pc.cast(pc.list_value_length(value), pa.int64()).fill_null(0)
        return pa.array([1] * len(value), pa.int64())


def text_tokens(texts: pa.Array) -> pa.Array:
    """Count words and marks of each text; 0 for null."""
    counts = pl.Series(texts, dtype=pl.String).str.count_matches(_TOKENS)
    return counts.cast(pl.Int64).fill_null(0).to_arrow()


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column
