"""Check a table of evaluations, and refuse what no law can use, naming row and remedy."""

from __future__ import annotations

import numpy as np
import polars as pl

REQUIRED = ("pool", "pool_unique", "samples_seen", "metric_value")
OPTIONAL = (
    "metric_name",
    "direction",
    "chance_level",
    "seed",
    "run_id",
    "model_size",
    "annealed",
    "se",
    "weight",
    "weights",
    "purpose",
)

#: samples and metrics beyond these are slips, and numbers near the ends of floating point
LEAST, MOST, MOST_METRIC = 1e-6, 1e30, 1e12
TRUTH = dict.fromkeys(("true", "yes", "1", "1.0"), True) | dict.fromkeys(
    ("false", "no", "0", "0.0"), False
)


class CurveError(ValueError):
    """A table of curves that cannot be used, with the row and what to do about it."""


def refuse(frame: pl.DataFrame, bad: pl.Expr, what: str, remedy: str) -> None:
    """Raise CurveError that names the first row where ``bad`` holds, how many more, and the remedy."""
    rows = frame.with_row_index("_row").filter(bad)
    if rows.height:
        row = int(rows["_row"][0])
        pool = rows["pool"][0] if "pool" in rows.columns else None
        more = f" (and {rows.height - 1} more)" if rows.height > 1 else ""
        message = f"curves, row {row} (pool {pool!r}){more}: {what}; {remedy}"
        raise CurveError(message)


def one_value(frame: pl.DataFrame, column: str, default: object) -> object:
    """Return the single value of a column, ``default`` where it has none; two are refused."""
    if column not in frame.columns:
        return default
    values = frame[column].drop_nulls().unique().sort().to_list()
    if len(values) > 1:
        row = frame.with_row_index("_row").filter(pl.col(column) != values[0])["_row"][0]
        message = (
            f"curves, row {row}: column {column!r} has more than one value ({values[0]!r}, "
            f"{values[1]!r}); fit one metric at a time: filter the table first"
        )
        raise CurveError(message)
    return values[0] if values else default


def prepare(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table with numbers as float64 and names stripped.

    Raises
    ------
    CurveError
        A missing column, no rows, or a value that no law can use, with row and remedy.
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        message = (
            f"curves: column {missing[0]!r} is missing (have {', '.join(frame.columns)}); "
            f"required: "
            f"{', '.join(REQUIRED)}"
        )
        raise CurveError(message)
    frame = _without_empty_end(frame)
    if not frame.height:
        message = "curves: the table has no rows; give at least 4 evaluations a pool"
        raise CurveError(message)
    for name in (
        "pool_unique",
        "samples_seen",
        "metric_value",
        "se",
        "weight",
        "model_size",
        "chance_level",
    ):
        if name in frame.columns:
            frame = _numbers(frame, name)
    frame = frame.with_columns(pl.col("pool").cast(pl.String).str.strip_chars())
    refuse(
        frame,
        pl.col("pool").is_null() | (pl.col("pool") == ""),
        "no pool",
        "name the pool of each row",
    )
    for name in ("pool_unique", "samples_seen"):
        refuse(
            frame,
            pl.col(name).is_null() | ~pl.col(name).is_between(LEAST, MOST),
            f"{name} is not a positive number of samples ({LEAST:g} to {MOST:g})",
            "give the number of unique samples of the pool"
            if name == "pool_unique"
            else "give samples drawn so far, repeats included",
        )
    refuse(
        frame,
        pl.col("metric_value").is_null() | ~pl.col("metric_value").is_finite(),
        "metric_value is missing or not finite",
        "drop the row or give the value",
    )
    refuse(
        frame,
        pl.col("metric_value") > MOST_METRIC,
        f"metric_value is above {MOST_METRIC:g}",
        "check the column; an error or loss in other units is smaller",
    )
    refuse(
        frame,
        pl.col("metric_value") < 0,
        "metric_value is negative",
        "laws need an error or loss that falls to a floor of at least 0: give for example 1 - metric",
    )
    if "annealed" in frame.columns:
        frame = _truth(frame, "annealed")
    if "chance_level" in frame.columns:
        refuse(
            frame,
            ~pl.col("chance_level").is_between(0.0, MOST_METRIC),
            "chance_level is negative or not finite",
            "give the metric of a guess, in the units of metric_value, or leave the column out",
        )
    for name in ("se", "weight"):
        if name in frame.columns:
            refuse(
                frame,
                ~pl.col(name).is_between(0.0, MOST_METRIC),
                f"{name} is negative or not finite, or above {MOST_METRIC:g}",
                "leave it empty where it is unknown",
            )
    if "model_size" in frame.columns:
        refuse(
            frame,
            ~pl.col("model_size").fill_nan(None).is_between(LEAST, MOST),
            "model_size is not a positive number",
            "give the number of parameters, or leave it empty where it is unknown",
        )
    return frame


def _numbers(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the table with a column as float64; a word among the numbers is told with its row."""
    found = frame[name].cast(pl.Float64, strict=False)
    lost = found.is_null() & frame[name].is_not_null()
    if lost.any():
        row = int(lost.arg_max() or 0)
        message = (
            f"curves, row {row}: {name} is {frame[name][row]!r}, which is not a number; write plain "
            "numbers, as 1000000 or 0.54"
        )
        raise CurveError(message)
    return frame.with_columns(found)


def _truth(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the table with a column of words or of 0 and 1 as Boolean; what is neither is refused."""
    kind = frame.schema[name]
    if kind == pl.Boolean:
        return frame
    text = pl.col(name).cast(pl.String).str.strip_chars().str.to_lowercase()
    if kind.is_numeric():
        text = pl.col(name).cast(pl.Float64).cast(pl.String)
    refuse(
        frame,
        pl.col(name).is_not_null() & ~text.is_in(list(TRUTH)),
        f"{name} is neither true nor false",
        "write true where the learning rate had come down at the evaluation, else false",
    )
    return frame.with_columns(text.replace_strict(TRUTH, default=None).alias(name))


def _without_empty_end(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table without empty lines at its end, as editors leave them."""
    full = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    return frame.head(int(np.flatnonzero(full).max(initial=-1)) + 1)
