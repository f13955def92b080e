"""Train proxies on a bounded sample of a run's records: small models whose curves stand for the large one's.

A trained run is kept by the hash of all that determines it, so a run that was killed, or a lake whose sampled records
are the same, trains nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assets.deduplication.cut_records import going_on
from assets.filtering.analyse import study
from assets.filtering.pool_sizes import measure_pools
from assets.filtering.proxies.data import ProxyData, sample_for_proxies
from assets.filtering.proxies.design import design
from assets.filtering.proxies.finished import Finished
from assets.filtering.proxies.further import Further, widen
from assets.filtering.proxies.merged_runs import merged_runs
from assets.filtering.proxies.run import SCHEMA, pool_curves
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
from assets.filtering.proxies.spec import Maker, RunSpec
from assets.filtering.proxies.vocabulary import vocabulary_of
from assets.filtering.proxies.workers import count_workers, train_runs
from assets.filtering.study import Study
from assets.scoring.embedders import Embedder
from assets.scoring.hashed import from_stored
from assets.scoring.recipe_models import embedder
from resources.device import all_devices, available_cores, choose_device
from resources.recipe_budget import Proxy
from resources.run import Run
from resources.stage_spec import digest

EMBEDDINGS, POOLS = "scoring/embeddings", "filtering/pools"


def train_proxies(run: Run) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Design the runs that laws and groups need, train those that no earlier run has, then those that plans ask for.

    Returns
    -------
    tuple
        `filtering/curves`, and what `further.widen` decided about further runs.
    """
    proxy = run.recipe.filtering.proxy
    limits = ProxyLimits(
        seconds=proxy.seconds,
        seeds=proxy.seeds,
        group_seeds=proxy.seeds,
        largest=proxy.records_per_pool,
    )
    model = embedder(run.recipe)
    frame = _proxy_records(run)
    by_pool, text_groups, number_groups = _proxy_sets(frame, proxy.kind)
    rows: list[dict[str, Any]] = []
    widened: dict[str, Any] = {}
    for records, kinds in (
        (by_pool, ("pool", "mixture")),
        (text_groups, ("group",)),
        (number_groups, ("group",)),
    ):
        if records.height:
            data, settings = _trained_on(run, model, records)
            wanted = _designed(run, data, settings, limits, kinds)
            train = _trainer(run, model, data, settings)
            found = train(wanted)
            if "pool" in kinds:
                maker = Maker(data, settings)
                found, widened = _widened(run, wanted, found, maker, train, limits)
                if proxy.merging:
                    found = found + train(merged_runs(maker, wanted, seed=run.recipe.seed))
            rows += found
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("run_id"), widened


def train_group_proxies(run: Run, held: pl.Series) -> pl.DataFrame:
    """Return the rows of `filtering/curves` for groups, as far as a part of the training records can tell.

    Parameters
    ----------
    run
        Its pools, fates, records and embeddings are read.
    held
        `record_id` of the training records that may be learned from; at most `records_per_pool` of a group are.

    Returns
    -------
    polars.DataFrame
        The design of `filtering/curves` on these records: four nested fresh sizes of each group, evaluated on the same
        held-out records. A group that nothing of is held has no rows.
    """
    proxy = run.recipe.filtering.proxy
    limits = ProxyLimits(
        seconds=proxy.seconds, group_seeds=proxy.seeds, largest_group=proxy.records_per_pool
    )
    model = embedder(run.recipe)
    _, text_groups, number_groups = _proxy_sets(_proxy_records(run, held), proxy.kind)
    rows: list[dict[str, Any]] = []
    for records in (text_groups, number_groups):
        if records.height:
            data, settings = _trained_on(run, model, records)
            wanted = _designed(run, data, settings, limits, ("group",))
            rows += _trainer(run, model, data, settings)(wanted)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("run_id")


def _trained_on(
    run: Run, model: Embedder, records: pl.DataFrame
) -> tuple[ProxyData, ProxySettings]:
    data = _proxy_data(records, model.dim)
    return _with_vocabulary(data, run.recipe.filtering.proxy, _folder(run) / "vocabularies")


def _folder(run: Run) -> Path:
    return run.scratch / "proxy_runs"


def _designed(
    run: Run,
    data: ProxyData,
    settings: ProxySettings,
    limits: ProxyLimits,
    kinds: Sequence[str],
) -> list[RunSpec]:
    specs = design(data, limits=limits, settings=settings, seed=run.recipe.seed)
    return [spec for spec in specs if spec.kind in kinds]


def _trainer(
    run: Run, model: Embedder, data: ProxyData, settings: ProxySettings
) -> Callable[[list[RunSpec]], list[dict[str, Any]]]:
    device = str(choose_device(run.recipe.limits.device))
    # what a head learns depends on the space that its vectors live in
    finished = Finished(_folder(run) / device[:4] / digest(model.embedder_id))
    # a card that is named is the only one used
    devices = all_devices(device) if run.recipe.limits.device in {"auto", "cuda"} else [device]
    cores = len(devices) if device.startswith("cuda") else available_cores()

    def train(chosen: list[RunSpec]) -> list[dict[str, Any]]:
        return train_runs(
            chosen,
            data,
            settings=settings,
            devices=devices,
            workers=count_workers(
                chosen, data, settings, cores=cores, asked=run.recipe.limits.proxy_workers
            ),
            finished=finished,
            progress=lambda n, of: run.report("filtering", "training proxies", n, of),
        )

    return train


def _widened(
    run: Run,
    specs: list[RunSpec],
    rows: list[dict[str, Any]],
    maker: Maker,
    train: Callable[[list[RunSpec]], list[dict[str, Any]]],
    limits: ProxyLimits,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train further runs where they can change the plan of a budget; none where a pool has no curve."""
    recipe = run.recipe
    proxy = recipe.filtering.proxy
    pools = measure_pools(run.read(POOLS, ["pool", "held_out", "tokens"]), recipe)
    measured = {row["pool"] for row in rows if row["metric_value"] is not None}
    if not set(pools.records) <= measured:
        return rows, {"stopped": "a pool has no training curve"}
    seconds = limits.seconds / 2.0 if proxy.further_seconds is None else proxy.further_seconds

    def fit(found: list[dict[str, Any]]) -> Study:
        run.report("filtering", "asking which proxy runs are worth adding", None, None)
        return study(
            pool_curves(pl.DataFrame(found, schema=SCHEMA, orient="row")),
            law=recipe.filtering.law,
            pool_sizes={name: float(size) for name, size in pools.records.items()},
            seed=recipe.seed,
        )

    return widen(
        specs,
        rows,
        maker=maker,
        fit=fit,
        train=train,
        budgets=[pools.spent(budget.amount) for budget in recipe.filtering.budgets],
        further=Further(
            flops=seconds * limits.flops_per_second,
            runs=proxy.further_runs,
            target=proxy.target_loss,
        ),
        max_passes=recipe.filtering.max_passes,
        seed=recipe.seed,
    )


def _with_vocabulary(
    data: ProxyData, proxy: Proxy, folder: Path
) -> tuple[ProxyData, ProxySettings]:
    """Train the vocabulary that the recipe asks for, on the records that are trained on, and size the model to it."""
    settings = ProxySettings()
    if proxy.vocabulary == "bytes" or data.kind != "language_model":
        return data, settings
    made = vocabulary_of(
        data,
        size=min(proxy.vocabulary_size, settings.largest_vocabulary),
        bytes_per_record=settings.bytes_per_record,
        folder=folder,
    )
    sized = replace(
        settings,
        vocabulary=made.identity,
        vocabulary_size=made.size,
        tokens_per_byte=made.tokens_per_byte,
    )
    return replace(data, vocabulary=made), sized


def _proxy_records(run: Run, held: pl.Series | None = None) -> pl.DataFrame:
    """Take a bounded number of records of every pool and group, and of the target, with what they are learned from.

    Where `held` names training records, only those are taken, as many of a group as of a pool.
    """
    proxy = run.recipe.filtering.proxy
    pools = run.read(POOLS, ["record_id", "pool", "group", "held_out"])
    records = going_on(run.scan)
    contents = records.select("record_id", "content_id").collect(engine="streaming")
    narrow = pools.join(contents, on="record_id").with_columns(target=pl.lit(value=False))
    bounds = {"per_pool": proxy.records_per_pool}
    if held is not None:
        narrow = narrow.filter(pl.col("held_out") | pl.col("record_id").is_in(held.to_list()))
        bounds["per_group"] = proxy.records_per_pool
    chosen = narrow.join(
        sample_for_proxies(narrow, **bounds, seed=run.recipe.seed),
        on="record_id",
    )
    target = (
        records.filter(pl.col("role") == "target")
        .select(
            "record_id",
            pool=pl.lit(0, pl.Int32),
            group=pl.lit(None, pl.String),
            held_out=pl.lit(value=True),
            content_id="content_id",
            target=pl.lit(value=True),
        )
        .collect()
    )
    if target.height:
        keep = sample_for_proxies(target, seed=run.recipe.seed)
        chosen = pl.concat([chosen, target.join(keep, on="record_id")])
    vectors = (
        run.scan(EMBEDDINGS)
        .filter(pl.col("embedder_id") == embedder(run.recipe).embedder_id)
        .select("content_id", "vector")
        .unique("content_id", keep="any")
    )
    learned = records.select("record_id", "text", "label")
    return (
        chosen.lazy()
        .join(learned, on="record_id")
        .join(vectors, on="content_id", how="left")
        .collect(engine="streaming")
        .sort("record_id")
    )


def _proxy_sets(frame: pl.DataFrame, kind: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Divide the records by what is trained on them.

    Pools are compared on the target where there is one (what the data is for), else on held-out
    records; groups always on
    their own held-out records. A record of text is learned by its text, a record of numbers by its label.
    """
    no_text, no_label = (
        pl.lit(None, pl.String).alias("text"),
        pl.lit(None, pl.String).alias("label"),
    )
    if kind == "head":
        frame = frame.with_columns(no_text)
    elif kind == "language_model":
        frame = frame.with_columns(no_label)
    texts = frame.filter(pl.col("text").is_not_null()).with_columns(no_label)
    numbers = frame.filter(pl.col("text").is_null() & ~pl.col("target"))
    pooled = texts if texts.height else frame.filter(~pl.col("target"))
    if pooled["target"].any():
        pooled = pooled.filter(pl.col("target") | ~pl.col("held_out"))
    return pooled, texts.filter(~pl.col("target")), numbers


def _proxy_data(frame: pl.DataFrame, dimensions: int) -> ProxyData:
    table = frame.to_arrow()
    has_text = frame["text"].null_count() < frame.height
    return ProxyData(
        ids=frame["record_id"].to_numpy().astype(str),
        content_ids=frame["content_id"].to_numpy().astype(str),
        text=table.column("text").combine_chunks().cast(pa.string()) if has_text else None,
        embedding=from_stored(table.column("vector").combine_chunks(), dimensions),
        label=np.array(frame["label"].to_list(), dtype=object),
        group=np.array(frame["group"].to_list(), dtype=object),
        pool=frame["pool"].to_numpy().astype(np.int64),
        held_out=frame["held_out"].to_numpy().astype(bool),
    )
