"""Estimate trained mixtures by merging as runs of their own, and compare the estimates with what was trained.

A merged run trains one model on each pool's part of a mixture, from one start, and evaluates the
average of their weights by sampling share. It is logged with kind ``merged``, which no law reads. Where
the mixture itself was trained with the same records and seed, the pair measures the estimate's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import xxhash

from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.merging import Merged
from assets.filtering.proxies.spec import Maker, RunSpec

MERGED, MERGING = "merged", "merging"
#: every subset of so many pools is estimated; of more only the mixtures that were trained
MOST_POOLS = 4
SCHEME = "merged/1"


def merged_runs(maker: Maker, specs: Sequence[RunSpec], *, seed: int) -> list[RunSpec]:
    """Return merged runs: for each fresh mixture that is trained, and for the other subsets of up to four pools.

    Only text can be merged: of other records there are none.
    """
    if maker.data.kind != "language_model":
        return []
    trained = [s for s in specs if s.kind == "mixture" and s.proxy and s.passes == 1.0]
    out = [_merged(spec) for spec in trained]
    pools = sorted({s.pools[0] for s in specs if s.kind == "pool" and s.proxy})
    if not trained or len(pools) > MOST_POOLS:
        return out
    rows = {p: maker.data.train_rows(pool=p) for p in pools}
    most = max(len(s.content_ids) for s in specs if s.kind == "pool" and s.proxy)
    part = min(most, *(len(found) for found in rows.values())) // len(pools)
    known = {spec.pools for spec in trained}
    for count in range(2, len(pools) + 1):
        for members in combinations(pools, count):
            if members not in known:
                parts = [rows[p][:part] for p in members]
                held = maker.evaluation()
                spec = maker.mixture(members, parts, part * count, seed=seed, held=held)
                out.append(_merged(spec))
    return out


def _merged(spec: RunSpec) -> RunSpec:
    name = xxhash.xxh3_128_hexdigest(f"{SCHEME}|{spec.run_id}".encode())
    return replace(spec, kind=MERGED, run_id=name, purpose=MERGING)


def parts_of(spec: RunSpec, data: ProxyData) -> list[tuple[RunSpec, float]]:
    """Return the run on each pool's part of a merged run, and its share.

    A content that is in two pools is trained on as part of the better one.
    """
    pool_of: dict[str, int] = {}
    order = np.argsort(data.pool, kind="stable")
    for row in order[~data.held_out[order]]:
        pool_of.setdefault(str(data.content_ids[row]), int(data.pool[row]))
    out = []
    for pool, share in zip(spec.pools, spec.shares, strict=True):
        contents = tuple(c for c in spec.content_ids if pool_of.get(c) == pool)
        part = replace(spec, kind="pool", pools=(pool,), shares=(1.0,), content_ids=contents)
        out.append((replace(part, samples=len(contents), passes=1.0), share))
    return out


def merging_error(rows: pl.DataFrame) -> dict[str, Any] | None:
    """Compare merged runs with the trained mixtures of the same records, shares and seed.

    Parameters
    ----------
    rows
        ``filtering/curves``.

    Returns
    -------
    dict or None
        ``mixtures`` (pools, samples, seed, merged, trained or None), ``mean_error`` and ``spread`` of
        merged less trained, ``rank_correlation`` (None below two, two and three pairs); None where
        nothing was merged.
    """
    key = ["pool", "weights", "samples_seen", "unique", "seed"]
    found = rows.filter(pl.col("metric_value").is_not_null())
    merged = found.filter(pl.col("kind") == MERGED).select(*key, merged="metric_value")
    if merged.is_empty():
        return None
    trained = found.filter(pl.col("kind") == "mixture").select(*key, trained="metric_value")
    pairs = merged.join(trained, on=key, how="left", nulls_equal=True).sort(key)
    told = Merged(
        pools=tuple((name,) for name in pairs["pool"]),
        merged=tuple(pairs["merged"].to_list()),
        trained=tuple(pairs["trained"].fill_null(float("nan")).to_list()),
    )
    mean, spread = told.error or (None, None)
    return {
        "mixtures": pairs.select("pool", "samples_seen", "seed", "merged", "trained").to_dicts(),
        "mean_error": mean,
        "spread": spread,
        "rank_correlation": told.rank_correlation,
    }


def merging_said(told: dict[str, Any] | None) -> str:
    """Say in a sentence how far merged estimates were from trained mixtures."""
    if told is None:
        return "not asked for"
    pairs = sum(row["trained"] is not None for row in told["mixtures"])
    head = (
        f"{len(told['mixtures'])} mixtures estimated by averaged weights, {pairs} of them trained"
    )
    if told["mean_error"] is None:
        return f"{head}: too few to tell the error, so the estimates are not to be used"
    rank = told["rank_correlation"]
    order = "" if rank is None else f"; rank correlation {rank:.2f}"
    return f"{head}: too high by {told['mean_error']:.4g} on average, spread {told['spread']:.4g}{order}"
