"""Gather what the card shows from the tables of one run, and write the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from assets.deduplication.cut_records import going_on
from assets.publication import frames
from assets.publication.calibration_note import calibration_note
from assets.publication.clauses import RELEASE, evidence, places
from assets.scoring.stored_scores import current
from resources.recipe import Recipe
from resources.rules import matching_rule
from resources.run import Run
from resources.sample import sample_note


def write_card(run: Run, release: Mapping[str, Any], versions: Mapping[str, int]) -> Path:
    """Write `publication/cards/release-N.html`, its Croissant metadata beside it, and `publication/card.html`.

    Returns
    -------
    pathlib.Path
        The release's own page; `card.html` is a copy of the latest.
    """
    from assets.publication.card import render_card
    from assets.publication.croissant_release import document

    folder = run.output / "publication" / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    facts = gather(run, release, versions)
    described = folder / f"release-{release['release']:04d}.croissant.json"
    fresh = described.with_suffix(".new")
    text = json.dumps(document(facts), indent=2, ensure_ascii=False)
    fresh.write_text(f"{text}\n", encoding="utf-8")
    fresh.replace(described)
    html = render_card(
        replace(facts, clauses=clauses_of(run, versions, described, facts.group_name))
    )
    page = folder / f"release-{release['release']:04d}.html"
    for place in (page, run.output / "publication" / "card.html"):
        fresh = place.with_suffix(".new")
        fresh.write_text(html, encoding="utf-8")
        fresh.replace(place)
    return page


def clauses_of(
    run: Run, versions: Mapping[str, int], described: Path, by: str | None
) -> pl.DataFrame:
    """Say which artefacts of this run speak to which clause: each is counted where it should be, none is assumed."""
    names = {"by": by or "(no group)", "croissant": described.name}
    wanted = sorted({one.place.partition(".")[0] for one in RELEASE})
    tables = {table: run.scan(table) for table in wanted if table in versions}
    found = places(RELEASE, tables, **names)
    if described.is_file() and described.stat().st_size:
        found[described.name] = 1
    return evidence(RELEASE, found, **names)


def gather(run: Run, release: Mapping[str, Any], versions: Mapping[str, int]) -> Any:  # noqa: ANN401 - CardFacts
    """Read the facts of a card; nothing is drawn yet."""
    from assets.filtering.proxies.merged_runs import merging_said
    from assets.publication.card_facts import CardFacts

    recipe = run.recipe
    by = recipe.allocation.by if recipe.allocation is not None else None
    analysis = run.read("filtering/analysis").to_dicts()
    answer = json.loads(analysis[recipe.filtering.publish]["answer"]) if analysis else {}
    report = run.read("allocation/report").to_dicts()[0]
    pools = run.read("filtering/pools")
    unit_size = float(analysis[0]["unit_size"]) if analysis else 1.0
    warnings = [
        *_warnings(analysis, recipe.filtering.publish, recipe.unit),
        *json.loads(report["warnings"]),
    ]
    group_curves = frames.group_curves(run)
    allocation = run.read("allocation/plan").with_columns(pl.col("pool").cast(pl.Int64))
    return CardFacts(
        title=recipe.name or Path(recipe.lake).name,
        release=int(release["release"]),
        run_id=str(release["run_id"]),
        recipe_hash=str(release["recipe_hash"]),
        code_version=str(release["code_version"]),
        time=release["time"].strftime("%Y-%m-%d %H:%M UTC"),
        unit=recipe.unit,
        output=recipe.output,
        calibration=calibration_note(
            run.read("scoring/calibration", ["renewed", "reason", "scorer", "drift"]),
            run.read("filtering/calibration"),
            recipe.recalibrate_at,
        ),
        note="" if run.sample is None else sample_note(run.whole_recipe, run.sample),
        versions=dict(versions),
        tables=_tables(run),
        quarantine=run.scan("ingestion/quarantine")
        .select("table", "position", "reason")
        .head(1000)
        .collect(),
        fates=frames.fates(run),
        group_name=by,
        fates_by_group=frames.fates_by_group(run, by),
        survival=frames.survival(run, by),
        edges=run.read("containment/edges"),
        retention=run.read("containment/retention"),
        clusters=frames.clusters(run),
        largest_clusters=run.read("deduplication/clusters"),
        scores=frames.histograms(run),
        quality_by_pool=frames.quality_by_pool(pools),
        samples=_samples(run),
        silences=run.read("scoring/silences").with_columns(pl.col("rows").fill_null(0)),
        curves=frames.curves(run),
        curve_bands=frames.curve_bands(answer),
        plans=frames.plans(run, analysis),
        switch_points=frames.switch_points(answer, unit_size),
        warnings=warnings,
        mixture_check=answer.get("mixture_check", {}),
        merging="" if answer.get("merging") is None else merging_said(answer["merging"]),
        group_curves=group_curves,
        group_bands=frames.group_bands(report, group_curves, allocation),
        allocation=allocation,
        policy=stated_policy(recipe),
        intersections=frames.intersections(run, by),
        **frames.prospects(report),
    )


def stated_policy(recipe: Recipe) -> dict[str, str]:
    """Return the allocation's settings in words, with who decided, why and when; nothing where none is stated."""
    return {} if recipe.allocation is None else _policy(recipe.allocation.model_dump(mode="json"))


def _policy(stated: Mapping[str, Any]) -> dict[str, str]:
    flat = {**{k: v for k, v in stated.items() if k != "policy"}, **stated["policy"]}
    return {k: _said(v) for k, v in flat.items() if v not in (None, {}, "")}


def _said(value: object) -> str:
    """Write a setting for people: ``am 4, hi 20`` rather than a Python dict."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said(inner) for inner in value)
    return str(value)


def _warnings(
    analysis: Sequence[Mapping[str, Any]], publish: int, unit: str
) -> list[dict[str, Any]]:
    """Return the warnings of the published budget, then those that only other budgets have."""
    told: list[dict[str, Any]] = []
    if analysis:
        told += json.loads(analysis[publish]["answer"]).get("warnings", [])
    for place, row in enumerate(analysis):
        if place == publish or row["budget"] is None:
            continue
        for one in json.loads(row["answer"]).get("warnings", []):
            if one not in told:
                at = f"for a budget of {row['budget']:,} {unit}: {one['message']}"
                told.append({**one, "message": at})
    return told


def _tables(run: Run) -> pl.DataFrame:
    """Return the tables that were found, and for each whether a rule of the recipe reads it."""
    rules = run.recipe.records
    tables = run.read("ingestion/tables")
    matched = [matching_rule(rules, name) for name in tables["table"]]
    read = [at is not None and rules[at].role != "ignore" for at in matched]
    return tables.with_columns(read=pl.Series(read, dtype=pl.Boolean))


def _samples(run: Run) -> pl.DataFrame:
    """Pick the best, median and worst records with text, for people to read."""
    scores = (
        current(run.scan("scoring/scores")).select("record_id", "quality").collect().drop_nulls()
    )
    texts = going_on(run.scan).filter(pl.col("text").is_not_null())
    ids = texts.select("record_id").collect()
    ranked = scores.join(ids, on="record_id", how="semi").sort("quality", "record_id")
    count = min(3, ranked.height)
    middle = max(ranked.height // 2 - count // 2, 0)
    picks = [
        ("best", ranked.tail(count).reverse()),
        ("median", ranked.slice(middle, count)),
        ("worst", ranked.head(count)),
    ]
    chosen = pl.concat([part.with_columns(where=pl.lit(where)) for where, part in picks])
    wide = texts.select("record_id", "table", "position", "text").join(
        chosen.lazy().select("record_id").unique(), on="record_id", how="semi"
    )
    return chosen.join(wide.collect(), on="record_id").select(
        "where", "record_id", "table", "position", "quality", "text"
    )
