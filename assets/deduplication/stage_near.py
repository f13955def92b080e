"""Near duplicates among the stage's texts, from what earlier runs kept and from texts that are new."""

from __future__ import annotations

import polars as pl

from assets.deduplication.measured_miss import MeasuredMiss, measured_miss, sample_keys
from assets.deduplication.near import NearDuplicates
from assets.deduplication.near_pairs import NearPairs
from assets.deduplication.set_cache import SetCache
from assets.deduplication.shingles import SHINGLE_TAG
from assets.deduplication.sketch_cache import SketchCache
from assets.deduplication.stage_texts import StageTexts
from resources.run import Run


def near_duplicates(run: Run, texts: StageTexts) -> tuple[NearPairs, int]:
    """Find near duplicates; returns also how many texts were sketched, because no run had yet."""
    settings = run.recipe.deduplication
    run.scratch.mkdir(parents=True, exist_ok=True)
    # a text has one character shingle a letter: their sets are eight times the text
    keeps_sets = settings.shingle.startswith("word:")
    rule = f"{settings.shingle}/{SHINGLE_TAG}"
    finder = NearDuplicates(
        settings.similarity,
        settings.shingle,
        workers=run.recipe.limits.workers,
        memory_bytes=run.recipe.limits.memory_bytes // 8,
        scratch=run.scratch,
        sets=SetCache(run.scratch / "sets", rule) if keeps_sets else None,
    )
    kept_apart = "" if settings.normalise == "none" else f"/text-{settings.normalise}"
    kept_apart += "/with-sets" if keeps_sets else ""  # a sketch without its set is made once more
    cache = SketchCache(run.scratch / "sketches", finder.scheme + kept_apart)
    known = cache.known(texts.firsts["content_id"])
    fresh = texts.firsts.join(known.select(content_id="key"), on="content_id", how="anti")
    done = 0
    for keys, values in texts.batches(fresh):
        finder.add(values, keys)
        done += len(keys)
        run.report("deduplication", "sketching texts", done, None)
    cache.add(finder.sketches())
    finder.add_sketches(known)
    run.report("deduplication", "comparing texts", None, None)
    return finder.collapsed(texts.batches), done


def missed_pairs(run: Run, texts: StageTexts, near: NearPairs) -> MeasuredMiss:
    """Compare a sample of the texts without bands, to see what the bands missed."""
    settings = run.recipe.deduplication
    asked, against = sample_keys(texts.firsts["content_id"])
    chosen = texts.firsts.filter(pl.col("content_id").is_in(against.implode()))
    return measured_miss(texts.batches(chosen), asked, near, settings.similarity, settings.shingle)
