"""The lake's listing, made once a run: the pin of everything that is read in place."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from assets.ingestion.access import RegisteredTable, read_table, registered_tables
from assets.ingestion.discover import discover
from assets.ingestion.model import Discovery, ReadOptions, SourceError
from resources.errors import RecipeError, StoreError
from resources.recipe import Recipe
from resources.rules import matching_rule
from resources.run import Run


def listing(run: Run) -> Discovery:
    """List the lake, or return what this run listed before."""
    if run.listing is None:
        known = run.scratch / "footers.json"
        try:
            footers = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
            run.listing = discover(Path(run.recipe.lake), footers=footers)
            if run.listing.footers != footers:
                _save(known, run.listing.footers)
        except SourceError as error:
            message = f"lake: {error}"
            raise RecipeError(message) from error
    found: Discovery = run.listing
    return found


def _save(file: Path, footers: dict[str, str]) -> None:
    """Remember what had to be looked up inside files, so that unchanged ones are not opened again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{uuid.uuid4().hex}.new")
    fresh.write_text(json.dumps(footers), encoding="utf-8")
    fresh.replace(file)


def read_options(recipe: Recipe, table: str) -> ReadOptions:
    """Return how a table is read: by the first rule that matches it, else by what the file says."""
    index = matching_rule(recipe.records, table)
    if index is None:
        return ReadOptions()
    return ReadOptions(**recipe.records[index].read.model_dump(exclude_none=True))


def pinned_tables(
    run: Run,
) -> tuple[dict[str, RegisteredTable], Callable[[str, Sequence[str] | None], Iterable[pa.Table]]]:
    """Return every readable table that the run stands on, and a function that streams one.

    Raises
    ------
    StoreError
        From the function, when a file in place is not what was registered.
    """
    tables = registered_tables(
        run.read("ingestion/tables"), run.read("ingestion/columns"), run.state
    )
    sources = {source.table: source for source in listing(run).sources}

    def read(table: str, columns: Sequence[str] | None = None) -> Iterable[pa.Table]:
        try:
            yield from read_table(tables[table], sources, columns)
        except SourceError as error:
            raise StoreError(str(error)) from error

    return tables, read
