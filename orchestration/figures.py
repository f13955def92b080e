"""What the UI shows of a table beside its numbers: figures and small tables as Markdown, drawn from what was committed.

Counts, ids and scorers only; never record text (but see `score_figures`). A figure is a PNG of at most 60 kB inside the
Markdown, so that it lives in Dagster's event log and needs no file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from orchestration.tables_as_text import markdown
from resources.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BYTES = 60_000
MOST_SAVINGS = 10


def image(figure: Figure, title: str) -> str:
    """Write a figure as a Markdown image that holds its own bytes; the figure is cleared."""
    from assets.publication.plots import png

    # the UI shows an image pixel by pixel in a dialog of some thousand
    data = base64.b64encode(png(figure, MOST_BYTES, most_dots=72)).decode()
    return f"![{title}](data:image/png;base64,{data})"


def _formats(run: Run) -> dict[str, str]:
    tables = run.read("ingestion/tables", ["format", "status", "rows", "bytes"])
    counted = tables.group_by("format", "status").agg(
        tables=pl.len(), rows=pl.col("rows").sum(), bytes=pl.col("bytes").sum()
    )
    return {"by_format": markdown(counted.sort("rows", "format", descending=[True, False]))}


def _reasons(run: Run) -> dict[str, str]:
    aside = run.scan("ingestion/quarantine").group_by("table").agg(set_aside=pl.len()).collect()
    return {"by_table": markdown(aside.sort("set_aside", "table", descending=[True, False]))}


def _containment(run: Run) -> dict[str, str]:
    from assets.containment.savings import droppable_tables
    from assets.publication.plots import containment_graph

    edges = run.read("containment/edges")
    if edges.is_empty():
        return {}
    sizes = dict(run.read("ingestion/tables", ["table", "bytes"]).drop_nulls().iter_rows())
    largest = (
        droppable_tables(edges, sizes)
        .sort("bytes", "table", descending=[True, False])
        .head(MOST_SAVINGS)
        .select("table", "rows", "bytes", "kind", held_by="kept")
    )
    return {
        "graph": image(containment_graph(edges), "which table holds which"),
        "largest_savings": markdown(largest),
    }


def _retention(run: Run) -> dict[str, str]:
    from assets.publication.plots import containment_graph

    edges, plan = run.read("containment/edges"), run.read("containment/retention")
    gone = plan.filter(pl.col("decision") == "retire")
    kept = plan.filter(pl.col("decision") == "keep").group_by("reason").agg(tables=pl.len())
    shown = {
        "to_retire": markdown(
            gone.sort("saving", "table", descending=[True, False]).select(
                "table",
                "bytes",
                "saving",
                rebuilt_from="parents",
                seconds="rebuild_latency",
                pays_up_to_accesses="break_even_accesses",
                pays_from_storage_price="break_even_storage_per_gb",
            )
        ),
        "kept_because": markdown(kept.sort("tables", "reason", descending=[True, False])),
    }
    if not edges.is_empty():
        drawn = containment_graph(edges, frozenset(gone["table"]))
        shown["graph"] = image(drawn, "which table holds which, and what could be retired")
    return shown


def _clusters(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import cluster_sizes

    sizes = frames.clusters(run)
    if sizes.is_empty():
        return {}
    columns = ["cluster", "records", "kept", "bytes_saved", "weakest", "diameter"]
    largest = run.read("deduplication/clusters", columns)
    return {
        "cluster_sizes": image(cluster_sizes(sizes), "clusters"),
        "largest_clusters": markdown(largest),
    }


def _scores(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import score_histograms
    from orchestration.score_figures import agreement_shown, records_to_read

    scores = frames.histograms(run)
    drawn = {"histograms": image(score_histograms(scores), "scores by scorer")} if scores else {}
    return {**drawn, "agreement": agreement_shown(run), "to_read": records_to_read(run)}


def _silences(run: Run) -> dict[str, str]:
    return {"silences": markdown(run.read("scoring/silences"))}


def _pools(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import pool_quality

    pools = run.read("filtering/pools", ["pool", "group", "quality", "held_out"])
    sizes = (
        pools.filter(~pl.col("held_out"))
        .group_by("group", "pool")
        .agg(records=pl.len())
        .sort("group", "pool")
    )
    quality = frames.quality_by_pool(pools)
    drawn = {} if quality.is_empty() else {"quality": image(pool_quality(quality), "quality")}
    return {"records": markdown(sizes), **drawn}


def _curves(run: Run) -> dict[str, str]:
    from assets.publication import frames

    return _panels(frames.curves(run), frames.curve_bands({}), by="pool", predicted="predicted")


def _laws(run: Run) -> dict[str, str]:
    from assets.publication import frames

    analysis = run.read("filtering/analysis").to_dicts()
    bands = frames.curve_bands(json.loads(analysis[run.recipe.filtering.publish]["answer"]))
    return _panels(frames.curves(run), bands, by="pool", predicted="predicted")


def _plan(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import plan_frontier

    analysis = run.read("filtering/analysis").to_dicts()
    plans = frames.plans(run, analysis)
    chosen = run.read("filtering/plan").filter("chosen")
    shown = {
        "chosen": markdown(chosen.select("budget", "pools", "passes", "predicted", "lo80", "hi80"))
    }
    if not plans.is_empty():
        published = analysis[run.recipe.filtering.publish]
        points = frames.switch_points(json.loads(published["answer"]), published["unit_size"])
        drawn = plan_frontier(plans, points, run.recipe.unit)
        shown["frontier"] = image(drawn, "predicted metric by budget")
    return shown


def _group_curves(run: Run) -> dict[str, str]:
    from assets.publication import frames

    plan = run.read("allocation/plan")
    report = run.read("allocation/report").to_dicts()[0]
    points = frames.group_curves(run)
    bands = frames.group_bands(report, points, plan)
    return _panels(points, bands, by="group", predicted="performance")


def _allocation(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import allocation_bars, where_to_collect

    plan = run.read("allocation/plan").with_columns(pl.col("pool").cast(pl.Int64))
    cells = plan.select("group", "pool", "available", "samples", "records", "passes")
    shown = {"cells": markdown(cells.sort("group", "pool"))}
    if not plan.is_empty():
        report = run.read("allocation/report").to_dicts()[0]
        rules = frames.prospects(report)["rules"]
        shown["bars"] = image(allocation_bars(plan, "records", rules), "plan beside simple rules")
        values = frames.marginal_values(plan)
        if values["marginal_value"].count():
            shown["where_to_collect"] = image(where_to_collect(values), "where to collect next")
    return shown


def _allocation_report(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.facts import stated_policy
    from assets.publication.plots import price_of_fairness

    report = run.read("allocation/report").to_dicts()[0]
    found = frames.prospects(report)
    policy = stated_policy(run.recipe)
    told = [(one["code"], one["message"], one["remedy"]) for one in json.loads(report["warnings"])]
    columns = {"code": pl.String, "message": pl.String, "remedy": pl.String}
    shown = {
        "policy": markdown(pl.DataFrame(list(policy.items()), ["setting", "value"], orient="row"))
        if policy
        else "no policy stated",
        "warnings": markdown(pl.DataFrame(told, columns, orient="row")),
    }
    if not found["sweep"].is_empty():
        drawn = price_of_fairness(found["sweep"], found["rule_points"], found["chosen"])
        shown["price_of_fairness"] = image(drawn, "overall against worst group over the aversion")
    return shown


def _training_set(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import intersections

    by = run.recipe.allocation.by if run.recipe.allocation is not None else None
    group = pl.col(by).fill_null("(unknown)") if by else pl.lit("(all)")
    rows = run.scan("publication/training_set").group_by(group=group).agg(records=pl.len())
    shown = {"records": markdown(rows.collect().sort("group"))}
    crossed = frames.intersections(run, by)
    for attribute in crossed["attribute"].unique().sort():
        part = crossed.filter(pl.col("attribute") == attribute)
        drawn = intersections(part, str(by), attribute, "records")
        words = f"records by {by} and {attribute}; cells below {frames.LEAST} suppressed"
        shown[f"by_{attribute}"] = image(drawn, words)
    return shown


def _fates(run: Run) -> dict[str, str]:
    from assets.publication import frames
    from assets.publication.plots import fates_bar, fates_by_group_bars

    by = run.recipe.allocation.by if run.recipe.allocation is not None else None
    shown = {"fates": image(fates_bar(frames.fates(run)), "rows by fate")}
    if by is not None:
        grouped = fates_by_group_bars(frames.fates_by_group(run, by))
        shown["fates_by_group"] = image(grouped, f"fates by {by}")
    return shown


def _panels(
    points: pl.DataFrame, bands: pl.DataFrame, *, by: str, predicted: str
) -> dict[str, str]:
    from assets.publication.plots import curve_panels

    if points.is_empty():
        return {}
    drawn = curve_panels(points, bands, by=by, predicted=predicted, unit="records")
    return {"curves": image(drawn, f"training curves by {by}")}


FIGURES: Mapping[str, Callable[[Run], Mapping[str, Any]]] = {
    "ingestion/tables": _formats,
    "ingestion/quarantine": _reasons,
    "containment/edges": _containment,
    "containment/retention": _retention,
    "deduplication/duplicates": _clusters,
    "scoring/scores": _scores,
    "scoring/silences": _silences,
    "filtering/pools": _pools,
    "filtering/curves": _curves,
    "filtering/laws": _laws,
    "filtering/plan": _plan,
    "allocation/group_curves": _group_curves,
    "allocation/plan": _allocation,
    "allocation/report": _allocation_report,
    "publication/training_set": _training_set,
    "publication/ledger": _fates,
}
