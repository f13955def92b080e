"""Merged runs: the average of pool models by hand, kept out of the laws, and their error against trained mixtures."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.filtering.proxies import language_model as lm
from assets.filtering.proxies.design import design
from assets.filtering.proxies.merged_runs import merged_runs, merging_error, merging_said, parts_of
from assets.filtering.proxies.run import SCHEMA, execute, order_of_training, pool_curves, rows_of
from assets.filtering.proxies.settings import ProxyLimits
from assets.filtering.proxies.spec import Maker
from tests.filtering.test_proxies import SETTINGS, head_data, text_data

LIMITS = ProxyLimits(seconds=2.0, flops_per_second=2e9, largest=120, seeds=2)


@pytest.fixture(scope="module")
def made():
    data = text_data(700, pools=(0.0, 0.3, 0.6), groups=1)
    specs = [s for s in design(data, limits=LIMITS, settings=SETTINGS) if s.kind != "group"]
    maker = Maker(data, SETTINGS)
    merged = merged_runs(maker, specs, seed=0)
    fresh = [s for s in specs if s.kind == "mixture" and s.passes == 1.0]
    rows = [row for s in [*fresh, *merged] for row in execute(s, data, settings=SETTINGS)]
    return data, specs, merged, pl.DataFrame(rows, schema=SCHEMA, orient="row")


def test_every_subset_is_estimated_and_trained_mixtures_with_their_own_records(made):
    data, specs, merged, _ = made
    assert {s.pools for s in merged} == {(0, 1), (0, 2), (1, 2), (0, 1, 2)}
    trained = {s.content_ids for s in specs if s.kind == "mixture" and s.passes == 1.0}
    assert trained <= {s.content_ids for s in merged}
    assert not {s.run_id for s in merged} & {s.run_id for s in specs}
    for spec in merged:
        parts = parts_of(spec, data)
        together = sorted(c for part, _ in parts for c in part.content_ids)
        assert together == list(spec.content_ids)
        assert sum(share for _, share in parts) == pytest.approx(1.0)
    assert merged_runs(Maker(head_data(), SETTINGS), specs, seed=0) == []


def test_a_merged_run_is_the_average_of_pool_models(made):
    """Mutants: average of losses; plain mean of unequal parts; another start for each pool."""
    data, _, merged, rows = made
    spec = merged[0]
    at = rows_of(data, spec.content_ids + spec.evaluation_ids)
    total = None
    for part, share in parts_of(spec, data):
        train = lm.encode(data.text, np.array([at[c] for c in part.content_ids]), SETTINGS)
        found = lm.train_weights(train, order_of_training(part), settings=SETTINGS, seed=spec.seed)
        scaled = [share * w for w in found]
        total = scaled if total is None else [a + b for a, b in zip(total, scaled, strict=True)]
    held = lm.encode(data.text, np.array([at[c] for c in spec.evaluation_ids]), SETTINGS)
    expected = lm.measure(total, held, settings=SETTINGS)[0]
    row = rows.filter(pl.col("run_id") == spec.run_id)
    assert row["metric_value"][0] == pytest.approx(expected, rel=1e-6)
    assert row["kind"][0] == "merged"


def test_no_law_reads_them_and_their_error_is_told(made):
    _, _, merged, rows = made
    assert "merged" not in set(pool_curves(rows)["kind"])
    told = merging_error(rows)
    pairs = [row for row in told["mixtures"] if row["trained"] is not None]
    assert len(told["mixtures"]) == len(merged)
    assert len(pairs) == rows.filter(pl.col("kind") == "mixture").height == 4
    gaps = [row["merged"] - row["trained"] for row in pairs]
    assert told["mean_error"] == pytest.approx(np.mean(gaps))
    assert told["spread"] == pytest.approx(np.std(gaps, ddof=1))
    # each averaged model saw a part only
    assert told["mean_error"] > 0
    assert f"too high by {told['mean_error']:.4g}" in merging_said(told)


def test_without_merged_runs_or_pairs_nothing_is_claimed(made):
    _, _, _, rows = made
    assert merging_error(rows.filter(pl.col("kind") != "merged")) is None
    assert merging_said(None) == "not asked for"
    alone = merging_error(rows.filter(pl.col("kind") == "merged"))
    assert alone["mean_error"] is None
    assert "not to be used" in merging_said(alone)
