from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assets.filtering.analyse import analyse
from assets.filtering.proxies.data import ProxyData, ProxyError, sample_for_proxies
from assets.filtering.proxies.design import design
from assets.filtering.proxies.merging import merge_pools
from assets.filtering.proxies.run import SCHEMA, execute, execute_all, group_curves, pool_curves
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings

WORDS = [
    "data",
    "of",
    "lake",
    "flows",
    "into",
    "pools",
    "where",
    "every",
    "record",
    "has",
    "reason",
]
SMALL = ProxyLimits(seconds=6.0, flops_per_second=2e9, largest=400, largest_group=96)
SETTINGS = ProxySettings(bytes_per_record=40, hidden=48, evaluation_records=96)


def text_data(count=1600, seed=0, pools=(0.0, 0.5), groups=3):
    rng = np.random.default_rng(seed)
    pool = np.arange(count) % len(pools)
    held = np.arange(count) % 11 == 0
    texts = []
    for i in range(count):
        text = list(" ".join(rng.choice(WORDS, 9)))
        if not held[i]:
            text = [
                chr(rng.integers(97, 123)) if rng.random() < pools[pool[i]] else c for c in text
            ]
        texts.append("".join(text))
    ids = np.array([f"{i * 7919 % 2**40:032x}" for i in range(count)])
    group = np.array([f"g{i % groups}" for i in range(count)], dtype=object)
    return ProxyData(ids, ids, pa.array(texts), None, None, group, pool, held)


def shuffled(data, seed=1):
    order = np.random.default_rng(seed).permutation(len(data))

    def pick(x):
        if isinstance(x, pa.Array):
            return x.take(pa.array(order))
        return None if x is None else x[order]

    return ProxyData(*[pick(getattr(data, n)) for n in ProxyData.__dataclass_fields__])


@pytest.fixture(scope="module")
def measured():
    data = text_data()
    specs = design(data, limits=SMALL, settings=SETTINGS)
    return data, specs, execute_all(specs, data, settings=SETTINGS)


def test_the_design_varies_size_and_repeats_at_equal_samples(measured):
    _, specs, _ = measured
    assert len({s.run_id for s in specs}) == len(specs)
    for pool in (0, 1):
        runs = [s for s in specs if s.kind == "pool" and s.pools == (pool,)]
        fresh = [s for s in runs if s.passes == 1.0]
        repeated = [s for s in runs if s.passes > 2]
        assert len({s.samples for s in fresh}) >= 3
        assert repeated
        largest = max(s.samples for s in fresh)
        assert abs(repeated[0].samples - largest) <= 16
        # sizes are nested
        sets = sorted((set(s.content_ids) for s in runs), key=len)
        assert all(a <= b for a, b in pairwise(sets))
    fitted = [s for s in specs if s.kind == "mixture" and s.purpose == "design"]
    assert [s.pools for s in fitted] == [(0, 1)]
    for name in ("g0", "g1", "g2"):
        runs = [s for s in specs if s.group == name]
        assert len({s.samples for s in runs if s.passes == 1.0}) >= 4
        assert any(s.passes > 2 for s in runs)


def test_training_never_sees_held_out_records(measured):
    data, specs, _ = measured
    held = set(data.content_ids[data.held_out].tolist())
    assert all(not held & set(s.content_ids) for s in specs)
    assert all(set(s.evaluation_ids) <= held for s in specs)


def test_proxies_learn_and_rank_the_pools(measured):
    _, _, rows = measured
    assert rows.schema == pl.Schema(SCHEMA)
    pools = pool_curves(rows).filter(pl.col("kind") == "pool")
    fresh = pools.filter(pl.col("samples_seen") == pl.col("unique"))
    best = {
        p: fresh.filter(pl.col("pool") == p).sort("samples_seen")["metric_value"]
        for p in ("0", "1")
    }
    assert best["0"][-1] < best["0"][0] < 1.0
    assert best["0"][-1] < best["1"][-1] - 0.02
    repeated = pools.filter(
        (pl.col("pool") == "0") & (pl.col("samples_seen") > 2 * pl.col("unique"))
    )
    assert best["0"][-1] < repeated["metric_value"][0] < best["0"][0]
    assert (rows["se"] > 0).all()


def test_curves_feed_the_laws(measured):
    _, _, rows = measured
    result = analyse(
        pool_curves(rows), budget=20_000.0, bootstraps=20, pool_sizes={"0": 5e3, "1": 5e3}
    )
    assert result["plans"][0]["pools"][0] == "0"
    assert "single_pool_size" not in {w["code"] for w in result["warnings"]}
    assert "mixture_unchecked" not in {w["code"] for w in result["warnings"]}
    assert group_curves(rows)["group"].n_unique() == 3


def test_equal_specs_give_equal_rows_for_any_order_of_records(measured):
    data, specs, rows = measured
    other = shuffled(data)
    again = design(other, limits=SMALL, settings=SETTINGS)
    assert [s.run_id for s in again] == [s.run_id for s in specs]
    spec = again[1]
    row = execute(spec, other, settings=SETTINGS)[0]
    assert row == rows.filter(pl.col("run_id") == spec.run_id).to_dicts()[0]


def test_finished_runs_are_not_trained_again(measured):
    data, specs, rows = measured
    seconds = []
    again = execute_all(
        specs,
        data,
        settings=SETTINGS,
        done=rows,
        progress=lambda i, n, s, t: seconds.append((i, n)),
    )
    assert again.equals(rows)
    assert seconds[-1] == (len(specs), len(specs))
    # a changed seed or setting is another run
    other = design(data, limits=SMALL, settings=SETTINGS, seed=1)
    assert not {s.run_id for s in other} & {s.run_id for s in specs}
    bigger = design(
        data,
        limits=SMALL,
        settings=ProxySettings(bytes_per_record=40, hidden=64, evaluation_records=96),
    )
    assert not {s.run_id for s in bigger} & {s.run_id for s in specs}


def test_chance_is_one_for_an_untrained_model():
    data = text_data(64)
    spec = design(text_data(1600), limits=SMALL, settings=SETTINGS)[0]
    from assets.filtering.proxies import language_model as lm

    batch = lm.encode(data.text, np.arange(64), SETTINGS)
    tiny = lm.train_and_measure(
        batch, np.array([0]), batch, settings=ProxySettings(learning_rate=1e-9), seed=0
    )
    # other widths: the settings of the model must fit the data, so encode again
    assert spec.proxy == "language_model"
    assert 0.9 < tiny.value < 1.3


def head_data(count=900, classes=3, noise=(0.0, 0.6), groups=2):
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, count)
    centers = rng.standard_normal((classes, 12)) * 0.8
    x = (centers[label] + rng.standard_normal((count, 12))).astype(np.float32)
    pool = np.arange(count) % 2
    held = np.arange(count) % 5 == 0
    flip = ~held & (rng.random(count) < np.array(noise)[pool])
    label = np.where(flip, rng.integers(0, classes, count), label)
    ids = np.array([f"{i:032x}" for i in range(count)])
    return ProxyData(
        ids,
        ids,
        None,
        x,
        np.array([f"c{v}" for v in label], dtype=object),
        np.array([f"g{i % groups}" for i in range(count)], dtype=object),
        pool,
        held,
    )


def test_head_on_features_ranks_pools_by_label_noise():
    data = head_data()
    assert data.kind == "head"
    specs = design(data, limits=ProxyLimits(seconds=3, largest=300))
    rows = pool_curves(execute_all(specs, data))
    assert set(rows["metric_name"]) == {"error_rate"}
    last = {
        p: rows.filter((pl.col("pool") == p) & (pl.col("unique") == pl.col("samples_seen"))).sort(
            "samples_seen"
        )["metric_value"][-1]
        for p in ("0", "1")
    }
    assert last["0"] <= last["1"]
    assert last["0"] < rows["chance_level"][0]
    assert 0.4 < rows["chance_level"][0] < 0.7


def test_where_no_proxy_applies_the_reason_is_a_row():
    ids = np.array([f"{i:032x}" for i in range(40)])
    plain = ProxyData(
        ids,
        ids,
        None,
        np.zeros((40, 3), np.float32),
        None,
        None,
        np.arange(40) % 2,
        np.arange(40) % 4 == 0,
    )
    rows = execute_all(design(plain), plain)
    assert rows["metric_value"].null_count() == rows.height == 2
    assert "neither text nor labels" in rows["reason"][0]
    data = text_data(1600)
    specs = design(data, limits=SMALL, settings=SETTINGS, groups=["g0", "absent"])
    absent = [s for s in specs if s.group == "absent"]
    assert len(absent) == 1
    assert "no held-out records" in absent[0].reason
    assert execute(absent[0], data, settings=SETTINGS)[0]["metric_value"] is None


def test_columns_of_different_lengths_are_refused():
    ids = np.array(["a", "b"])
    with pytest.raises(ProxyError, match="pool has 1 rows"):
        ProxyData(
            ids, ids, None, None, None, None, np.zeros(1, dtype=np.int64), np.zeros(2, dtype=bool)
        )


def test_the_sample_is_bounded_nested_and_free_of_order():
    count = 3000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "record_id": [f"{i:032x}" for i in range(count)],
            "content_id": [f"{i * 31:032x}" for i in range(count)],
            "pool": rng.integers(0, 4, count),
            "held_out": rng.random(count) < 0.05,
            "group": [f"g{i}" for i in rng.integers(0, 5, count)],
        }
    )
    small = sample_for_proxies(frame, per_pool=100, per_group=50, held_out=20, held_out_per_group=5)
    large = sample_for_proxies(frame, per_pool=200, per_group=80, held_out=40, held_out_per_group=9)
    assert set(small["record_id"]) <= set(large["record_id"])
    assert small.height <= 4 * 100 + 5 * 55 + 20
    again = sample_for_proxies(
        frame.sample(fraction=1.0, shuffle=True, seed=4),
        per_pool=100,
        per_group=50,
        held_out=20,
        held_out_per_group=5,
    )
    assert again.equals(small)


def test_merged_pool_models_estimate_mixtures_and_state_their_error():
    data = text_data(900, pools=(0.0, 0.3, 0.6))
    mixtures = [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)]
    found = merge_pools(
        data, mixtures, samples=160, check=[*mixtures[:2], *mixtures[3:]], settings=SETTINGS
    )
    # one pool alone is its own average
    assert found.merged[0] == pytest.approx(found.trained[0], abs=1e-6)
    assert np.isnan(found.trained[2])
    assert found.error is not None
    # a trained mixture saw more than any of the averaged models
    assert all(m > t for m, t in zip(found.merged[3:], found.trained[3:], strict=True))
    assert found.error[0] > 0
    assert found.rank_correlation is not None
    assert found.merged[0] < found.merged[1] < found.merged[2] < 1.0
    with pytest.raises(ProxyError, match="not asked for"):
        merge_pools(data, [(0,)], samples=16, check=[(1,)], settings=SETTINGS)
    with pytest.raises(ProxyError, match="no text"):
        merge_pools(head_data(60), [(0,)], samples=16, settings=SETTINGS)


def test_the_design_keeps_mixtures_out_of_the_fit(measured):
    _, specs, rows = measured
    kept = [s for s in specs if s.purpose == "validation"]
    assert {s.kind for s in kept} == {"mixture"}
    assert sorted(s.passes for s in kept) == [1.0, 4.0]
    # none of them is a mixture that is fitted or weighed as well
    weighed = {s.content_ids for s in specs if s.kind == "mixture" and s.purpose == "design"}
    assert not weighed & {s.content_ids for s in kept}
    assert rows.filter(pl.col("purpose") == "validation").height == 2
    answer = analyse(pool_curves(rows), bootstraps=20, pool_sizes={"0": 5e3, "1": 5e3})
    assert len(answer["mixture_check"]["mixtures"]) == 2
    three = design(text_data(1600, pools=(0.0, 0.2, 0.5)), limits=SMALL, settings=SETTINGS)
    fresh = next(s for s in three if s.purpose == "validation" and s.passes == 1.0)
    assert fresh.pools == (0, 1, 2)
    assert fresh.shares == pytest.approx([1 / 3] * 3, abs=0.01)
    without = ProxyLimits(seconds=6, flops_per_second=2e9, largest=400, held_out_mixtures=0)
    assert all(s.purpose == "design" for s in design(text_data(), limits=without))
