"""Estimates from a sample: their interval holds the truth, a miss is certain, doubt is counted."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from assets.containment.folder import search_folder
from assets.containment.sampling import Sampling, interval, least_hashes, sampled_containment


@settings(max_examples=200)
@given(size=st.integers(1, 3000), confidence=st.sampled_from([0.9, 0.95, 0.999]), data=st.data())
def test_the_interval_is_the_one_whose_ends_the_sample_just_contradicts(size, confidence, data):
    hits = data.draw(st.integers(0, size))
    low, high = interval(hits, size, confidence)
    tail = (1 - confidence) / 2
    assert 0 <= low <= hits / size <= high <= 1
    if hits:
        assert binom.sf(hits - 1, size, low) == pytest.approx(tail, rel=1e-6)
    else:
        assert low == 0
    if hits < size:
        assert binom.cdf(hits, size, high) == pytest.approx(tail, rel=1e-6)
    else:
        assert high == 1
        assert low == pytest.approx(tail ** (1 / size))  # the certificate of no miss


def test_no_miss_among_4096_proves_what_the_formula_says():
    low, _ = interval(4096, 4096, 1 - 2e-6)
    assert low == pytest.approx(0.99663, abs=1e-5)


class Pieces:
    def __init__(self, whole, count):
        self.parts = np.array_split(whole, count)
        self.size = whole.size

    def pieces(self):
        return self.parts


@pytest.mark.parametrize("pieces", [1, 7])
def test_the_least_hashes_whatever_the_pieces(pieces):
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2**64, 5000, np.uint64)
    rows = np.concatenate([rows, rows[:700]])
    least, whole = least_hashes(Pieces(rows, pieces), 100)
    assert least.tolist() == np.unique(rows)[:100].tolist()
    assert not whole
    few = np.repeat(rows[:100], 30)
    least, whole = least_hashes(Pieces(few, pieces), 100)
    assert whole
    assert least.size == 100
    assert least_hashes(Pieces(np.repeat(rows[:101], 30), pieces), 100)[1] is False


def test_intervals_hold_the_truth_as_often_as_they_say_and_errors_are_small():
    """Row 6 of the acceptance table: 95 % intervals hold in at least 95 %, errors within 3 sigma in 99 %."""
    rng = np.random.default_rng(2)
    size, held, near, total = 256, 0, 0, 0
    parent = rng.integers(0, 2**64, 40_000, np.uint64)
    tables = {"p": parent}
    truth = {}
    for share in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        for i in range(60):
            n = int(rng.integers(1000, 4000))
            common = round(share * n)
            own = rng.choice(parent, common, replace=False)
            name = f"{share}-{i}"
            tables[name] = np.concatenate([own, rng.integers(0, 2**64, n - common, np.uint64)])
            truth[name] = common / n
    found = sampled_containment(tables, [(c, "p") for c in truth], Sampling(size))
    for row in found.iter_rows(named=True):
        share = truth[row["child"]]
        total += 1
        held += row["low"] <= share <= row["high"]
        near += (
            abs(row["containment"] - share) <= 3 * np.sqrt(share * (1 - share) / size) + 1 / size
        )
        assert row["exact"] is False
        assert (row["witness"] is None) == (row["containment"] == 1)
        assert row["child_distinct"] == pytest.approx(tables[row["child"]].size, rel=0.35)
    assert total == len(truth)
    assert held >= 0.95 * total
    assert near >= 0.99 * total


def lake(folder, n=3000):
    rows = pl.DataFrame({"n": range(n), "text": [f"the text of row {i}" for i in range(n)]})
    rows.write_parquet(folder / "whole.parquet")
    rows[:2000].write_parquet(folder / "part.parquet")
    near = rows[:1999].extend(pl.DataFrame({"n": [-1], "text": ["elsewhere"]}))
    near.write_parquet(folder / "near.parquet")
    rows[1000:].write_parquet(folder / "late.parquet")
    rows[:50].write_parquet(folder / "small.parquet")


def test_a_search_counts_where_the_sample_leaves_doubt(tmp_path):
    lake(tmp_path)
    exact = search_folder(tmp_path, min_containment=1.0).edges
    found = search_folder(tmp_path, min_containment=1.0, sampling=Sampling(100)).edges
    # at 1 nothing is certain but by counting: a sample alone would let `near` pass
    assert found.equals(exact)
    assert set(found["parent"].filter(found["child"] == "near.parquet")) == set()
    half = search_folder(tmp_path, min_containment=0.4, sampling=Sampling(200)).edges
    truth = search_folder(tmp_path, min_containment=0.4).edges
    assert half.select("child", "parent").rows() == truth.select("child", "parent").rows()
    told = half.join(truth, on=["child", "parent"], suffix="_true")
    assert told.filter(~pl.col("exact")).height > 3
    assert told.filter(pl.col("child") == "small.parquet")["exact"].all()
    for row in told.iter_rows(named=True):
        assert row["low"] <= row["containment_true"] <= row["high"]
        if row["exact"]:
            assert row["containment"] == row["low"] == row["high"] == row["containment_true"]
        else:
            assert row["multiset_containment"] is None


def test_the_witness_of_an_estimate_is_a_row_that_the_parent_lacks(tmp_path):
    lake(tmp_path)
    found = search_folder(tmp_path, min_containment=0.4, sampling=Sampling(200)).edges
    frames = {f.name: pl.read_parquet(f) for f in tmp_path.glob("*.parquet")}
    told = found.filter(~pl.col("exact") & pl.col("witness").is_not_null())
    assert not told.is_empty()
    for row in told.iter_rows(named=True):
        assert frames[row["child"]].row(row["witness"]) not in frames[row["parent"]].rows()


def test_counts_that_are_taken_over_stay_exact_beside_estimates(tmp_path):
    (tmp_path / "lake").mkdir()
    lake(tmp_path / "lake")
    settings_ = {"min_containment": 0.4, "cache": tmp_path / "cache"}
    truth = search_folder(tmp_path / "lake", **settings_).edges
    found = search_folder(tmp_path / "lake", sampling=Sampling(200), **settings_)
    assert found.edges.equals(truth)
    assert found.edges["exact"].all()
