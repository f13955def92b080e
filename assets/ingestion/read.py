"""One way in: any source as a stream of record batches."""

from __future__ import annotations

from pathlib import Path

from assets.ingestion.model import ReadOptions, RowStream, Source


def read(
    source: Source,
    options: ReadOptions | None = None,
    *,
    batch_rows: int = 8192,
    as_text: bool = False,
    dictionaries: bool = False,
    only: Path | None = None,
) -> RowStream:
    """Open a source for streaming.

    Parameters
    ----------
    source
        As `discover` found it.
    options
        How to read it; settings of other formats are ignored.
    batch_rows
        Most rows a batch. The rows delivered do not depend on it.
    as_text
        For comparing cells as written: CSV and TSV keep rows of any width and bytes of any kind
        (see `read_csv`), JSON values are strings or their JSON text. No effect on other formats.
    dictionaries
        Strings that a Parquet file (of a Delta table, too) stores as a small dictionary come as a dictionary
        array, where they would be string in the stream's schema.
    only
        Of Parquet and Delta, read this one data file of the table; positions count from its start.

    Returns
    -------
    RowStream
        Its schema is known before the first batch. CSV and TSV: strings. JSON: typed by content.
        Text: one column `text`. Parquet and Delta: as stored, in plain types.

    Raises
    ------
    SourceError
        If the source as a whole cannot be read; Parquet and Delta may also raise while iterating.

    Notes
    -----
    Records without errors and rejects with a position add up to `independent_count(source,
    options)`.
    """
    options = options or ReadOptions()
    # imported when used: a run that finds nothing new to read pays for none of them
    match source.format:
        case "csv" | "tsv":
            from assets.ingestion.csv_reader import read_csv

            return read_csv(source, options, batch_rows=batch_rows, as_text=as_text)
        case "jsonl":
            from assets.ingestion.json_reader import read_jsonl

            return read_jsonl(source, options, batch_rows=batch_rows, as_text=as_text)
        case "json":
            from assets.ingestion.json_reader import read_json

            return read_json(source, options, batch_rows=batch_rows, as_text=as_text)
        case "text":
            from assets.ingestion.text_reader import read_text

            return read_text(source, options, batch_rows=batch_rows)
        case "parquet":
            from assets.ingestion.parquet_reader import read_parquet

            return read_parquet(
                source, options, batch_rows=batch_rows, only=only, dictionaries=dictionaries
            )
        case "delta":
            from assets.ingestion.delta_reader import read_delta

            return read_delta(
                source, options, batch_rows=batch_rows, only=only, dictionaries=dictionaries
            )
