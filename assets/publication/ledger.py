"""The ledger: one line for what became of every record, every contained table and every quarantined file.

Its counts are held against counts that the readers had no part in (footers, logs, line scans): *nothing is lost*.
"""

from __future__ import annotations

import polars as pl

FATES = (
    "published",
    "held_out",
    "evaluation",
    "duplicate",
    "contaminated",
    "contained",
    "filtered",
    "not_allocated",
    "not_sampled",
    "quarantined",
    "forgotten",
)
LEDGER = pl.Schema(
    {
        "record_id": pl.String,
        "table": pl.String,
        "fate": pl.String,
        "stage": pl.String,
        "reason": pl.String,
        "by": pl.String,
        "rows": pl.Int64,
    }
)


def record_lines(
    fates: pl.DataFrame,
    selected: pl.DataFrame,
    unselected: pl.DataFrame,
    cuts: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Write a line for every record.

    Parameters
    ----------
    fates
        `record_id`, `table`, `fate` (null: survived deduplication), `reason`, `by` of every record that was read.
    selected
        `record_id` of the published ones.
    unselected
        `record_id`, `fate`, `stage`, `reason` of survivors that the plan leaves out.
    cuts
        `record_id`, `cuts`: how many spans were cut out of a record that others keep.

    Returns
    -------
    polars.DataFrame
        The ledger's columns; exactly one line a record, or `ValueError`.
    """
    stages = {
        "duplicate": "deduplication",
        "contaminated": "deduplication",
        "evaluation": "deduplication",
    }
    lines = (
        fates.join(
            selected.select("record_id", published=pl.lit(value=True)), on="record_id", how="left"
        )
        .join(
            unselected.select("record_id", _fate="fate", _stage="stage", _reason="reason"),
            on="record_id",
            how="left",
        )
        .join(
            pl.DataFrame(schema={"record_id": pl.String, "cuts": pl.UInt32})
            if cuts is None
            else cuts,
            on="record_id",
            how="left",
        )
        .with_columns(
            stage=pl.when(pl.col("fate").is_not_null())
            .then(pl.col("fate").replace_strict(stages, default="deduplication"))
            .when(pl.col("published"))
            .then(pl.lit("publication"))
            .otherwise(pl.col("_stage")),
            reason=pl.coalesce(
                "reason",
                pl.when(pl.col("published") & pl.col("cuts").is_not_null()).then(
                    pl.format(
                        "chosen by allocation/plan, without {} spans that other records keep "
                        "(deduplication/cuts)",
                        "cuts",
                    )
                ),
                pl.when(pl.col("published")).then(pl.lit("chosen by allocation/plan")),
                "_reason",
            ),
            fate=pl.coalesce(
                "fate", pl.when(pl.col("published")).then(pl.lit("published")), "_fate"
            ),
        )
        .with_columns(rows=pl.lit(1, pl.Int64))
        .select(*LEDGER)
        .cast(LEDGER)
    )
    if lines.height != fates.height or lines["fate"].null_count():
        none = lines["fate"].null_count()
        message = f"{fates.height} records got {lines.height} lines, {none} of them without a fate"
        raise ValueError(message)
    return lines


def table_lines(
    contained: pl.DataFrame, quarantine: pl.DataFrame, readable: pl.DataFrame
) -> pl.DataFrame:
    """Write a line for every contained table and for every file with quarantined rows.

    Parameters
    ----------
    contained
        `table`, `parent`, `rows`: tables that were not read, because another table that was read holds all their rows;
        with a null parent, the rows of a table that lie outside the sample of a sampled run.
    quarantine
        `table`, `position`, `reason` of what was set aside (`ingestion/quarantine`).
    readable
        `table`, `rows` of the tables that were read, to tell rows set aside from whole files.
    """
    whole = pl.col("parent").is_not_null()
    held = contained.select(
        record_id=pl.lit(None, pl.String),
        table="table",
        fate=pl.when(whole).then(pl.lit("contained")).otherwise(pl.lit("not_sampled")),
        stage=pl.lit("deduplication"),
        reason=pl.when(whole)
        .then(pl.lit("all its rows are held by another table that is read"))
        .otherwise(pl.lit("outside the share of the records that this run is on")),
        by="parent",
        rows="rows",
    )
    aside = (
        quarantine.join(readable.select("table", _rows="rows"), on="table", how="left")
        .group_by("table")
        .agg(
            rows=pl.col("position").is_not_null().sum().cast(pl.Int64),
            reason=pl.col("reason").sort().first(),
            kinds=pl.col("reason").n_unique(),
        )
        .select(
            record_id=pl.lit(None, pl.String),
            table="table",
            fate=pl.lit("quarantined"),
            stage=pl.lit("ingestion"),
            reason=pl.when(pl.col("kinds") > 1)
            .then(pl.format("{} (and {} more reasons)", "reason", pl.col("kinds") - 1))
            .otherwise(pl.col("reason")),
            by=pl.lit(None, pl.String),
            rows="rows",
        )
        .sort("table")
    )
    return pl.concat([held.cast(LEDGER), aside.cast(LEDGER)])


def unbalanced(ledger: pl.LazyFrame, counted: pl.DataFrame) -> pl.DataFrame:
    """Find the tables whose ledger doesn't add up to an independent count of their rows.

    Parameters
    ----------
    ledger
        The ledger, staged or committed.
    counted
        `table` and `counted` (rows by footer, log or line scan; null where the file could not be
        read at all) of each table that a rule matches.

    Returns
    -------
    polars.DataFrame
        `table`, `counted`, `accounted` where they differ; empty is good.
    """
    accounted = ledger.group_by("table").agg(accounted=pl.col("rows").sum()).collect()
    return (
        counted.join(accounted, on="table", how="left")
        .with_columns(pl.col("accounted").fill_null(0))
        .filter(pl.col("counted").is_not_null(), pl.col("counted") != pl.col("accounted"))
        .select("table", "counted", "accounted")
        .sort("table")
    )
