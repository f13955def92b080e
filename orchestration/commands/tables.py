"""Read a small table that a person names, whatever its format; and write one."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from resources.errors import RecipeError


def read_table(path: Path) -> pl.DataFrame:
    """Read CSV, TSV, JSON, JSONL, Parquet, or a Delta folder.

    Raises
    ------
    RecipeError
        Naming the file and the formats.
    """
    name = path.name.lower()
    try:
        if path.is_dir():
            return pl.read_delta(str(path))
        if name.endswith(".parquet"):
            return pl.read_parquet(path)
        if name.endswith((".csv", ".tsv")):
            return pl.read_csv(
                path, separator="\t" if name.endswith(".tsv") else ",", infer_schema_length=None
            )
        if name.endswith((".jsonl", ".ndjson")):
            return pl.read_ndjson(path, infer_schema_length=None)
        if name.endswith(".json"):
            return pl.read_json(path, infer_schema_length=None)
    except (OSError, PolarsError) as error:
        message = f"{path}: can't be read: {error}"
        raise RecipeError(message) from error
    message = f"{path}: is none of .csv, .tsv, .json, .jsonl, .parquet or a Delta folder"
    raise RecipeError(message)
