"""Score the records of a run: new ones by the kept calibration, or all of them by one that is fitted here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.scoring.calibration import (
    NO_RANKS,
    RANKS,
    Calibration,
    contents_identity,
    drift_since,
    worst,
)
from assets.scoring.combine import COMBINERS, RankCombiner
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
from assets.scoring.made_with import Surroundings, made_with, why_not_kept
from assets.scoring.protocol import AnyScorer, Needs, ScoreContext, Scorer, ScorerState
from assets.scoring.recipe_models import embedder, model_settings
from assets.scoring.redundancy import RedundancyScorer
from assets.scoring.registry import from_recipe, split_by_needs
from resources.base import Base
from resources.device import choose_device
from resources.run import Run
from resources.stage_spec import StageSpec

CALIBRATION = "scoring/calibration"
NOTHING_KEPT = Calibration({}, "", "")


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

    Of the base release's calibration every state is kept that was made with what it would be made with now, as long
    as no combined score that is kept has drifted by more than `recalibrate_at`. With kept states only records that the
    base release doesn't hold are scored, and semantic redundancy is sought for them, against them, and where a
    neighbour is gone; the other states are fitted, and every record is scored with those.
    Scorers whose needs no record meets are left out; where none is left no record has a quality.
    """
    recipe = run.recipe
    target = contents_identity(targets(run).select("content_id").collect()["content_id"])
    active, left_out = split_by_needs(
        from_recipe(recipe.scoring.scorers, model_settings(recipe, run.scratch / "tokens")),
        _available(run),
    )
    context = ScoreContext(seed=recipe.seed, device=choose_device(recipe.limits.device))
    redundancy = active.get(RedundancyScorer.name, RedundancyScorer())
    assert isinstance(redundancy, RedundancyScorer)
    local = {n: s for n, s in active.items() if isinstance(s, Scorer)}
    scoring = LakeScores(run, local, context, redundancy)
    around = Surroundings(
        spec.code_version,
        recipe.seed,
        run.sample,
        embedder(recipe).embedder_id,
        target,
        scoring.language,
        scoring.cohort,
    )
    made = {n: made_with(s, around) for n, s in {**active, redundancy.name: redundancy}.items()}
    combiner = COMBINERS[recipe.scoring.combine]()
    kept, base, reason = _kept(run, combiner, made, set(active))
    scored, fresh = None, 0
    about: dict[str, Any] = {}
    drift: dict[str, float] = {}
    if kept.states and base is not None:
        scored, fresh, about = scoring.update(kept, base)
        drift = drift_since(kept, scoring.train_columns(scored))
        name, far = worst(drift)
        if far > recipe.recalibrate_at:
            reason = f"{name} has drifted by {far:.3f}, more than {recipe.recalibrate_at:g}"
            kept, scored, drift = NOTHING_KEPT, None, {}
    if scored is None or reason:
        states, scored, found = scoring.complete(kept.states, scored)
        ranks = _ranks(combiner, kept, active, states, scoring.train_columns(scored))
        own = {n: text for n, text in made.items() if n in states}
        calibration = Calibration(
            {**states, RANKS: ranks}, target, reason, own, frozenset(kept.states) - {RANKS}, drift
        )
        fresh, about = scored.height, found or about
    else:
        calibration = replace(kept, drift=drift)
    frame = _finished(scored, calibration, recipe.scoring.combine)
    return Scored(frame, calibration, left_out, fresh, about)


def _ranks(
    combiner: RankCombiner,
    kept: Calibration,
    active: Mapping[str, AnyScorer],
    states: Mapping[str, ScorerState],
    columns: Mapping[str, NDArray[np.float64]],
) -> ScorerState:
    """Fit the ranks that combine scores; those of kept scores stand."""
    directions = {n: s.direction(states.get(n)) for n, s in active.items()}
    if not directions:
        return NO_RANKS
    standing = kept.combined & set(directions) if RANKS in kept.states else set()
    rest = {n: d for n, d in directions.items() if n not in standing}
    ranks = combiner.take(kept.ranks, standing) if standing else None
    fitted = combiner.fit_ranks([columns], rest) if rest else None
    if ranks is None or fitted is None:
        one = ranks or fitted
        assert one is not None  # one of the two has a column
        return one
    return combiner.join(ranks, fitted)


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


def _kept(
    run: Run, combiner: RankCombiner, made: Mapping[str, str], scorers: set[str]
) -> tuple[Calibration, Base | None, str]:
    """Return what stands of the base release's calibration, the base, and why the rest is fitted.

    The reason is empty where everything stands.
    """
    base, reason = run.calibration_base()
    frame = None if base is None else base.scan(CALIBRATION)
    if frame is None:
        return NOTHING_KEPT, None, reason or "it is the first"
    before = Calibration.from_frame(frame.collect())
    wanted = scorers | (before.made.keys() & made.keys())
    changed, reasons = why_not_kept(before.made, {n: made[n] for n in sorted(wanted)})
    ranks = before.ranks
    if scorers and (ranks.scorer, ranks.version) != (combiner.name, combiner.version):
        reasons.append("scoring.combine changed")
    elif not reasons and before.combined != scorers:
        reasons.append("other scores are combined")
    if not reasons:
        return before, base, ""
    standing = wanted - changed
    combined = before.combined & standing
    states = {n: before.states[n] for n in sorted(standing)}
    if combined and ranks.version == combiner.version:
        states[RANKS] = combiner.take(ranks, combined)
    kept = replace(before, states=states, kept=frozenset(states))
    if standing:
        reasons.append(f"kept: {', '.join(sorted(standing))}")
    return kept, base, "; ".join(reasons)
