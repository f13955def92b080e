"""Execute proxy runs: train, evaluate, and return evaluations as rows of a table of curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.filtering.proxies import head, language_model
from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.settings import ProxySettings
from assets.filtering.proxies.spec import RunSpec
from assets.kernels.keyed_random import hash64

NOTE = (
    "Curves from small proxy models rank pools and give a rough half-life; they do not predict "
    "metric values "
    "at the target scale."
)
SCHEMA: dict[str, Any] = {
    "kind": pl.String,
    "pool": pl.String,
    "group": pl.String,
    "weights": pl.String,
    "samples_seen": pl.Int64,
    "unique": pl.Int64,
    "pool_unique": pl.Int64,
    "whole_pool": pl.Int64,
    "metric_name": pl.String,
    "direction": pl.String,
    "chance_level": pl.Float64,
    "metric_value": pl.Float64,
    "se": pl.Float64,
    "seed": pl.Int64,
    "run_id": pl.String,
    "model_size": pl.Int64,
    "annealed": pl.Boolean,
    "bytes_seen": pl.Int64,
    "flops": pl.Float64,
    "reason": pl.String,
    "purpose": pl.String,
}


def execute(
    spec: RunSpec,
    data: ProxyData,
    *,
    device: str = "cpu",
    settings: ProxySettings | None = None,
) -> list[dict[str, Any]]:
    """Train one run and return its evaluations (one row: the end of the run, annealed).

    Parameters
    ----------
    spec
        From ``design`` with the same ``settings`` (they are part of run_id).
    data
        Must hold the contents named by ``spec``.
    device, settings
        ``cpu`` or ``cuda``; those that the design was made with.

    Returns
    -------
    list of dict
        Columns of ``SCHEMA``. ``unique`` and ``pool_unique``: distinct records this run drew from
        (what a law needs); ``whole_pool``: usable records of the whole pool or group in the sample;
        ``samples_seen``: draws in records. A run without a proxy has a null metric and the reason.
        Equal specs give equal rows.
    """
    settings = settings or ProxySettings()
    row = _blank(spec)
    if spec.proxy is None:
        return [row]
    by_content = rows_of(data, spec.content_ids + spec.evaluation_ids)
    train = np.array([by_content[c] for c in spec.content_ids], dtype=np.int64)
    held = np.array([by_content[c] for c in spec.evaluation_ids], dtype=np.int64)
    schedule = order_of_training(spec)
    if spec.kind == "merged":
        from assets.filtering.proxies.merged_runs import parts_of
        from assets.filtering.proxies.merging import measure_merged

        parts = parts_of(spec, data)
        measured = measure_merged(spec, parts, data, settings=settings, device=device)
        row |= {"metric_name": "bits_per_byte/8", "chance_level": 1.0}
    elif spec.proxy == "language_model" and data.text is not None:
        measured = language_model.train_and_measure(
            language_model.encode(data.text, train, settings, data.vocabulary),
            schedule,
            language_model.encode(data.text, held, settings, data.vocabulary),
            settings=settings,
            # one start for all runs of a seed: differences between runs are then differences of
            # data
            seed=spec.seed,
            device=device,
        )
        row |= {"metric_name": "bits_per_byte/8", "chance_level": 1.0}
    else:
        labels, classes = _labels(data)
        if data.embedding is None or labels is None:
            return [row | {"reason": "records have no features with labels"}]
        measured = head.train_and_measure(
            (data.embedding[train], labels[train]),
            schedule,
            (data.embedding[held], labels[held]),
            classes=classes,
            settings=settings,
            seed=spec.seed,
            device=device,
        )
        row |= {"metric_name": "error_rate", "chance_level": head.chance_error(labels[held])}
    return [
        row
        | {
            "metric_value": measured.value,
            "se": measured.se,
            "model_size": measured.parameters,
            "bytes_seen": measured.bytes_seen,
            "flops": measured.flops,
        }
    ]


def order_of_training(spec: RunSpec) -> npt.NDArray[np.int64]:
    """Return positions in ``spec.content_ids`` in training order, new in every pass."""
    count = len(spec.content_ids)
    contents = list(spec.content_ids)
    passes = [
        np.argsort(hash64(contents, spec.seed, f"proxy pass {p}"), kind="stable")
        for p in range(-(-spec.samples // max(count, 1)))
    ]
    return np.asarray(np.concatenate(passes)[: spec.samples], dtype=np.int64)


def execute_all(
    specs: Iterable[RunSpec],
    data: ProxyData,
    *,
    device: str = "cpu",
    settings: ProxySettings | None = None,
    done: pl.DataFrame | None = None,
    progress: Callable[[int, int, RunSpec, float], None] | None = None,
) -> pl.DataFrame:
    """Execute what is not done yet and return all rows, sorted by run_id.

    Parameters
    ----------
    specs, data, device, settings
        See ``execute``.
    done
        Rows of earlier calls; runs with an id among them are not trained again.
    progress
        Called after each run with (finished, total, spec, seconds); seconds are in no result.

    Returns
    -------
    polars.DataFrame
        Columns of ``SCHEMA``.
    """
    wanted = {spec.run_id: spec for spec in specs}
    rows = []
    known: set[str] = set()
    if done is not None and done.height:
        kept = done.filter(pl.col("run_id").is_in(list(wanted)))
        known = set(kept["run_id"].to_list())
        rows = kept.select([name for name in SCHEMA if name in kept.columns]).to_dicts()
    for number, spec in enumerate(wanted.values(), start=1):
        start = time.perf_counter()
        if spec.run_id not in known:
            rows += execute(spec, data, device=device, settings=settings)
        if progress is not None:
            progress(number, len(wanted), spec, time.perf_counter() - start)
    return pl.DataFrame(rows, schema=SCHEMA).sort("run_id")


def pool_curves(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that ``analyse`` reads: measured runs on pools and mixtures."""
    return rows.filter(
        pl.col("kind").is_in(["pool", "mixture"]) & pl.col("metric_value").is_not_null()
    )


def group_curves(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of groups, those without a metric included (with their reason)."""
    return rows.filter(pl.col("kind") == "group")


def _blank(spec: RunSpec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "pool": "+".join(str(p) for p in spec.pools) if spec.pools else None,
        "group": spec.group,
        "weights": "+".join(f"{s:g}" for s in spec.shares) if len(spec.pools) > 1 else None,
        "samples_seen": spec.samples,
        "unique": len(spec.content_ids),
        "pool_unique": len(spec.content_ids),
        "whole_pool": spec.pool_unique,
        "metric_name": None,
        "direction": "lower",
        "chance_level": None,
        "metric_value": None,
        "se": None,
        "seed": spec.seed,
        "run_id": spec.run_id,
        "model_size": None,
        "annealed": True,
        "bytes_seen": None,
        "flops": None,
        "reason": spec.reason,
        "purpose": spec.purpose,
    }


def rows_of(data: ProxyData, contents: tuple[str, ...]) -> dict[str, int]:
    """Return a row of each content."""
    wanted = set(contents)
    out: dict[str, int] = {}
    for row in np.lexsort((data.ids, data.content_ids)):
        content = str(data.content_ids[row])
        if content in wanted:
            out.setdefault(content, int(row))
    return out


def _labels(data: ProxyData) -> tuple[npt.NDArray[np.int64] | None, int]:
    if data.label is None:
        return None, 0
    values = sorted({str(v) for v in data.label if v is not None})
    number = {v: i for i, v in enumerate(values)}
    codes = [number[str(v)] if v is not None else -1 for v in data.label]
    return np.array(codes, dtype=np.int64), len(values)
