"""Score the records of a run: new ones by the kept calibration, or all of them by one that is fitted here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from assets.scoring.calibration import (
    NO_RANKS,
    RANKS,
    Calibration,
    contents_identity,
    drift_since,
    worst,
)
from assets.scoring.combine import COMBINERS
from assets.scoring.lake_scores import (
    ABOUT,
    BETWEEN,
    NEAREST,
    SILENT,
    LakeScores,
    cohort_group,
    scored_records,
    targets,
)
from assets.scoring.protocol import Needs, ScoreContext, Scorer
from assets.scoring.recipe_models import model_identities, model_settings
from assets.scoring.registry import from_recipe, split_by_needs
from resources.base import Base
from resources.device import choose_device
from resources.run import Run
from resources.stage_spec import StageSpec, digest

CALIBRATION = "scoring/calibration"


@dataclass(frozen=True)
class Scored:
    """The scores of a lake.

    Attributes
    ----------
    frame
        One row a record, by record_id: a column a scorer, `quality`, `calibration`, `silent`.
    calibration
        What they were made with.
    left_out
        Scorers that can't run here, with the reason.
    fresh
        Records that were scored in this run; the others kept the score of the base release.
    about
        Facts of the search for semantic redundancy.
    """

    frame: pl.DataFrame
    calibration: Calibration
    left_out: Mapping[str, str]
    fresh: int
    about: Mapping[str, Any]


def score_lake(run: Run, spec: StageSpec) -> Scored:
    """Score every surviving and held-out record.

    The calibration of the base release is kept while the stage's code and settings and the target's contents are the
    same and no combined score has drifted by more than `recalibrate_at`; then only records that the base release
    doesn't hold are scored, and semantic redundancy is sought for them, against them, and where a neighbour is gone.
    Scorers whose needs no record meets are left out; where none is left no record has a quality.
    """
    recipe = run.recipe
    target = contents_identity(targets(run).select("content_id").collect()["content_id"])
    models = model_identities(recipe)
    if models:
        target = digest([target, models])
    active, left_out = split_by_needs(
        from_recipe(recipe.scoring.scorers, model_settings(recipe, run.scratch / "tokens")),
        _available(run),
    )
    context = ScoreContext(seed=recipe.seed, device=choose_device(recipe.limits.device))
    scoring = LakeScores(run, {n: s for n, s in active.items() if isinstance(s, Scorer)}, context)
    base, reason = _kept(run, spec, target, set(active))
    if base is not None:
        kept = _read_calibration(base)
        scored, fresh, about = scoring.update(kept, base)
        drift = drift_since(kept, scoring.train_columns(scored))
        name, far = worst(drift)
        if far <= recipe.recalibrate_at:
            calibration = replace(kept, drift=drift)
            return Scored(
                _finished(scored, calibration, recipe.scoring.combine),
                calibration,
                left_out,
                fresh,
                about,
            )
        reason = f"{name} has drifted by {far:.3f}, more than {recipe.recalibrate_at:g}"
    states, scored, about = scoring.anew()
    directions = {n: s.direction(states.get(n)) for n, s in active.items()}
    columns = scoring.train_columns(scored)
    combiner = COMBINERS[recipe.scoring.combine]()
    ranks = combiner.fit_ranks([columns], directions) if directions else NO_RANKS
    calibration = Calibration({**states, RANKS: ranks}, target, reason)
    return Scored(
        _finished(scored, calibration, recipe.scoring.combine),
        calibration,
        left_out,
        scored.height,
        about,
    )


def _finished(scored: pl.DataFrame, calibration: Calibration, combine: str) -> pl.DataFrame:
    """Combine the scores, and order the columns as they are stored."""
    quality = np.full(scored.height, np.nan)
    if calibration.combined:
        taken = {n: scored[n].to_numpy() for n in calibration.combined}
        quality = COMBINERS[combine]().apply(taken, calibration.ranks)
    columns = sorted(set(scored.columns) - {*ABOUT, SILENT, NEAREST})
    return scored.select(
        "record_id",
        *columns,
        NEAREST,
        pl.Series("quality", quality),
        SILENT,
        calibration=pl.lit(calibration.identity),
    ).with_columns(pl.selectors.float().fill_nan(None))


def silence_counts(frame: pl.DataFrame) -> list[tuple[str, str, int]]:
    """Count (scorer, reason) over the `silent` column of scores, sorted."""
    counted = (
        frame.select(pl.col(SILENT).drop_nulls().str.split(BETWEEN).explode())
        .group_by(SILENT)
        .len()
        .sort(SILENT)
    )
    return [(*entry.split(": ", 1), rows) for entry, rows in counted.iter_rows()]


def _available(run: Run) -> Needs:
    """Tell what the training records have, and whether there is a target."""
    read = scored_records(run).select(pl.col("rule").unique()).collect()["rule"]
    rules = [run.recipe.records[index] for index in read]
    has = {
        Needs.TEXT: any(rule.text for rule in rules),
        Needs.FEATURES: any(rule.features for rule in rules),
        Needs.EMBEDDING: any(rule.text or rule.features for rule in rules),
        Needs.LABEL: any(rule.label is not None for rule in rules),
        Needs.GROUP: cohort_group(run.recipe) is not None,
        Needs.TARGET: bool(targets(run).select(pl.len()).collect().item()),
    }
    found = ~Needs.NONE
    for need, there in has.items():
        found = found if there else found & ~need
    return found


def _kept(run: Run, spec: StageSpec, target: str, scorers: set[str]) -> tuple[Base | None, str]:
    """Return the base release if its calibration may be kept, else why a new one is fitted."""
    base, reason = run.kept_calibration(spec)
    if base is None:
        return None, reason
    kept = _read_calibration(base)
    if kept.target != target:
        models = " or a model or its examples" if model_identities(run.recipe) else ""
        return None, f"the target{models} has changed"
    if kept.combined != scorers:
        return None, "the records have more or less to score than before"
    return base, ""


def _read_calibration(base: Base) -> Calibration:
    frame = base.scan(CALIBRATION)
    assert frame is not None  # `kept_settings` has found the stage's tables
    return Calibration.from_frame(frame.collect())
