"""Near duplicates among the stage's texts, from what earlier runs kept and from texts that are new."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from assets.deduplication.measured_miss import MeasuredMiss, Sample, measured_miss, sample_sets
from assets.deduplication.near import BAND_BYTES, NearDuplicates
from assets.deduplication.near_pairs import NearPairs
from assets.deduplication.set_cache import SetCache
from assets.deduplication.shingles import SHINGLE_TAG
from assets.deduplication.sketch_cache import SketchCache
from assets.deduplication.stage_memory import working_bytes
from assets.deduplication.stage_texts import StageTexts
from resources.run import Run


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes
    ----------
    near
        The near duplicates.
    sketched
        How many texts were sketched, because no run had yet.
    miss
        What the bands missed on a sample.
    """

    near: NearPairs
    sketched: int
    miss: MeasuredMiss


def near_duplicates(run: Run, texts: StageTexts) -> Found:
    """Find near duplicates; of texts that earlier runs sketched only those are read whose set is no longer kept."""
    settings = run.recipe.deduplication
    run.scratch.mkdir(parents=True, exist_ok=True)
    # a text has one character shingle a letter: their sets are eight times the text
    keeps_sets = settings.shingle.startswith("word:")
    rule = f"{settings.shingle}/{SHINGLE_TAG}"
    sets = SetCache(run.scratch / "sets", rule) if keeps_sets else None
    working = working_bytes(run.recipe.limits.memory_bytes, texts.firsts.height)
    finder = NearDuplicates(
        settings.similarity,
        settings.shingle,
        workers=run.recipe.limits.workers,
        memory_bytes=working,
        band_bytes=min(working, BAND_BYTES),
        scratch=run.scratch,
        sets=sets,
    )
    kept_apart = "" if settings.normalise == "none" else f"/text-{settings.normalise}"
    kept_apart += "/with-sets" if keeps_sets else ""  # a sketch without its set is made once more
    cache = SketchCache(run.scratch / "sketches", finder.scheme + kept_apart)
    sample, known = Sample(), np.zeros(texts.firsts.height, bool)
    for places, sketches in cache.known(texts.firsts["content_id"]):
        finder.add_sketches(sketches)
        sample.add(sketches)
        known[places] = True
    done = 0
    for keys, values in texts.batches(texts.firsts.filter(~known)):
        finder.add(values, keys)
        done += len(keys)
        run.report("deduplication", "sketching texts", done, None)
    cache.add(_watched(finder.sketches(), sample))
    asked, chosen = sample.chosen()
    run.report("deduplication", "comparing texts", None, None)
    near = finder.collapsed(texts.batches)

    def of_keys(keys: pl.Series) -> Iterator[tuple[pa.Array, pa.Array]]:
        return texts.batches(texts.firsts.filter(pl.col("content_id").is_in(keys.implode())))

    run.report("deduplication", "measuring what was missed", None, None)
    drawn = sample_sets(chosen, sets, settings.shingle, of_keys)
    return Found(near, done, measured_miss(drawn, asked, near, settings.similarity))


def _watched(sketches: Iterator[pl.DataFrame], sample: Sample) -> Iterator[pl.DataFrame]:
    for some in sketches:
        sample.add(some)
        yield some
