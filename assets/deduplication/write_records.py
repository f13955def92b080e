"""Rows of all tables that rules match become the stage's records; those of unchanged tables are taken over."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from assets.deduplication.errors import DeduplicationError
from assets.deduplication.kept_records import kept_records
from assets.deduplication.reading import held_by_others, read_by_rule, retired_rows
from assets.deduplication.records import RecordMaker, record_schema
from assets.deduplication.tables import RECORDS
from assets.ingestion.listing import pinned_tables
from resources.errors import RecipeError
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec


def write_records(run: Run, stage: Stage, spec: StageSpec) -> tuple[pl.DataFrame, int]:
    """Write `deduplication/records`.

    Parameters
    ----------
    run, stage, spec
        The stage of deduplication in a run.

    Returns
    -------
    unread
        `deduplication/contained`: what was not read.
    read
        How many tables were.

    Raises
    ------
    RecipeError
        A rule can't be applied to a table, or a sample holds nothing.
    """
    recipe = run.recipe
    tables, read = pinned_tables(run)
    rules = read_by_rule(recipe, list(tables))
    held = held_by_others(
        recipe,
        rules,
        {name: table.columns for name, table in tables.items()},
        run.read("containment/edges"),
        {name: table.version for name, table in tables.items()},
    )
    schema = record_schema(recipe.group_names, recipe.kept_columns)
    staged = stage.open(RECORDS, schema)
    unread: list[tuple[str, str | None, int]] = [
        (name, parent, tables[name].rows) for name, parent in sorted(held.items())
    ]
    unread += retired_rows(recipe, run.read("ingestion/tables"), rules, held)
    wanted = [name for name in rules if name not in held]
    kept = kept_records(run, spec, wanted)
    kept.write_to(staged)
    unread += [(name, None, rows) for name, rows in sorted(kept.outside.items())]
    wanted = [name for name in wanted if name not in kept.tables]
    total = sum(tables[name].rows for name in wanted)
    done = 0
    for name in wanted:
        try:
            maker = RecordMaker(
                name, recipe.records[rules[name]], rules[name], schema, tables[name].columns
            )
            outside = 0
            for batch in read(name, None):
                made = maker.make(batch)
                chosen = _sampled(made, run.sample)
                staged.write(chosen)
                outside += made.num_rows - chosen.num_rows
                done += batch.num_rows
                run.report("deduplication", "reading records", done, total)
        except DeduplicationError as error:
            raise RecipeError(str(error)) from error
        if outside:
            unread.append((name, None, outside))
    staged.close()
    if run.sample is not None and not staged.rows:
        message = f"a sample of {run.sample:g} holds no record of this lake; choose a larger share"
        raise RecipeError(message)
    contained = pl.DataFrame(
        unread,
        schema={"table": pl.String, "parent": pl.String, "rows": pl.Int64},
        orient="row",
    )
    return contained, len(wanted)


def _sampled(records: pa.Table, share: float | None) -> pa.Table:
    """Keep the training records of the sample, which a larger share contains, and all that protects or aims.

    Evaluation and target records are never sampled: what must not be trained on stays out of every sample.
    """
    if share is None or not records.num_rows or records.column("role")[0].as_py() != "train":
        return records
    from assets.kernels.keyed_random import uniform

    return records.filter(pa.array(uniform(records.column("record_id"), 0, "sample") < share))
