"""Spans that the records which go on share: reported, and cut out of all but one where the recipe asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from assets.deduplication.cut_records import (
    LATE_SCHEMA,
    LEFT_SCHEMA,
    cut_records,
    late_fates,
    what_is_left,
)
from assets.deduplication.records import record_schema
from assets.deduplication.stage_memory import working_bytes
from assets.deduplication.stage_spans import CUTS_SCHEMA, REPEATED_SCHEMA, spans_among
from assets.deduplication.stage_texts import StageTexts
from assets.deduplication.survivor_order import wanted_columns
from assets.deduplication.tables import CUT_RECORDS, CUTS, RECORDS, SPANS
from resources.run import Run
from resources.stage import Stage


@dataclass(frozen=True)
class Removed:
    """The fates after removal, and what the UI shows of it."""

    fates: pl.DataFrame
    facts: Mapping[str, Mapping[str, Any]]


def since_when(fates: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Fill `since`: what the base release says of a record that it kept; one more than all that for the others.

    Parameters
    ----------
    fates
        record_id, fate and the rest.
    before
        record_id, fate, since of the base release.
    """
    known = before.filter(pl.col("fate").is_null()).select(
        "record_id", _since=pl.col("since").fill_null(0)
    )
    newest = known["_since"].max()
    fresh = 0 if newest is None else int(str(newest)) + 1
    joined = fates.join(known, on="record_id", how="left", maintain_order="left")
    since = pl.coalesce("_since", pl.lit(fresh, pl.Int32)).cast(pl.Int32)
    return joined.with_columns(since=pl.when(pl.col("fate").is_null()).then(since)).drop("_since")


def remove_spans(
    run: Run,
    stage: Stage,
    texts: StageTexts,
    own: pl.DataFrame,
    fates: pl.DataFrame,
    duplicates: pl.DataFrame,
) -> Removed:
    """Write `deduplication/spans`, `/cuts` and `/cut_records`.

    Parameters
    ----------
    run, stage
        With `deduplication/records` staged.
    texts
        The records' texts as they were read.
    own
        record_id, content_id, role, label, rule, length, and the columns that the order names.
    fates
        What was decided so far.
    duplicates
        Twins with other labels are kept whole: they stay by the recipe's wish.

    Notes
    -----
    Only records that go on take part. Held-out ones are neither cut nor keep anything for others.
    """
    settings = run.recipe.deduplication
    spans, remove = settings.spans, settings.spans is not None and settings.spans.remove
    recipe = run.recipe
    schema = record_schema(recipe.group_names, recipe.kept_columns)
    repeated, cuts = pl.DataFrame(schema=REPEATED_SCHEMA), pl.DataFrame(schema=CUTS_SCHEMA)
    conflicting = duplicates.filter("label_conflict")["record_id"]
    if spans is not None:
        run.report("deduplication", "looking for repeated spans", None, None)
        going = (
            fates.filter(pl.col("fate").is_null())
            .select("record_id", "since")
            .join(own, on="record_id")
            .with_columns(whole=pl.col("record_id").is_in(conflicting.implode()))
        )
        repeated, cuts = spans_among(
            texts,
            going.select(
                *("record_id", "content_id", "rule", "length", "since", "whole"),
                *wanted_columns(settings.order),
            ),
            spans.tokens,
            settings.order,
            working_bytes(recipe.limits.memory_bytes, own.height),
            remove=remove,
        )
    staged = stage.open(CUT_RECORDS, schema)
    left = [pl.DataFrame(schema=LEFT_SCHEMA)]
    lost = 0
    if cuts.height:
        for rows in cut_records(stage.files(RECORDS), schema.names, cuts):
            left.append(what_is_left(rows))
            staged.write(rows.filter(~left[-1]["nothing"]))
            run.report("deduplication", "cutting repeated spans", sum(map(len, left)), None)
        lost = _characters(cuts)
    staged.close()
    stage.put(SPANS, repeated)
    stage.put(CUTS, cuts)
    late, done, gone = pl.DataFrame(schema=LATE_SCHEMA), fates, cuts
    if cuts.height:
        late = late_fates(pl.concat(left), cuts, _standing(fates, own))
        done = fates.update(late, on="record_id", how="left").with_columns(
            since=pl.when(~pl.col("record_id").is_in(late["record_id"].implode())).then("since")
        )
        alive = done.filter(pl.col("fate").is_null()).select(keeper="record_id")
        gone = cuts.join(alive, on="keeper", how="anti")
    stage.check(
        "cut_spans_are_kept",
        gone.is_empty(),
        blocking=False,
        spans=cuts.height,
        in_dropped=gone.height,
    )
    return Removed(
        done,
        {
            SPANS: {"texts_with_a_repeated_span": repeated["content_id"].n_unique()},
            CUTS: {"spans_cut": cuts.height, "characters_cut": lost},
            CUT_RECORDS: {
                "records_cut": cuts["record_id"].n_unique(),
                "nothing_left": late.filter(pl.col("fate") == "filtered").height,
                "left_with_the_content_of_another": late.filter(
                    pl.col("fate") != "filtered"
                ).height,
            },
        },
    )


def _standing(fates: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """Return what is not dropped so far, as `late_fates` takes it."""
    stays = pl.col("fate").is_null() | pl.col("fate").is_in(["held_out", "evaluation"])
    return (
        fates.filter(stays)
        .select("record_id", held=pl.col("fate") == "held_out")
        .join(own.select("record_id", "content_id", "role", "label"), on="record_id")
        .with_columns(pl.col("held").fill_null(value=False))
    )


def _characters(cuts: pl.DataFrame) -> int:
    from assets.deduplication.span_cuts import merged

    spans = merged(cuts.select("start", "end", key="record_id"))
    return int((spans["end"] - spans["start"]).sum())
