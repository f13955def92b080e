"""The paper's mode: its false-keep rate is g^t, and it loses no true edge."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from assets.containment import paper_content
from assets.containment.folder import search_folder
from assets.containment.paper_content import PaperSettings, lacking_children, sample_child

ROWS = 400
TRIALS = 2000


def tables(share: float) -> tuple[pa.Table, pa.Table]:
    """A child of which the parent holds a share of the rows; what it lacks comes last."""
    common = round(share * ROWS)

    def rows(start, count):
        return pa.table(
            {
                "a": pa.array([None if i % 7 == 0 else i for i in range(start, start + count)]),
                "b": [f"{i % 10}" for i in range(start, start + count)],
                "c": [i / 3 for i in range(start, start + count)],
            }
        )

    return rows(0, ROWS), pa.concat_tables([rows(0, common), rows(ROWS, 300)])


def keeps(child: pa.Table, parent: pa.Table, settings: PaperSettings) -> bool:
    columns = ("a", "b", "c")
    sample = sample_child([child], child.num_rows, columns, "value", settings)
    lacking, _, _ = lacking_children([parent], {columns: {"child": sample}}, "value", settings)
    return not lacking


def kept_in(share: float, rows: int, trials: int = TRIALS) -> int:
    child, parent = tables(share)
    return sum(keeps(child, parent, PaperSettings(2, rows, seed)) for seed in range(trials))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 10])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_a_false_edge_is_kept_with_probability_share_to_the_rows(share, rows):
    kept = kept_in(share, rows)
    interval = binomtest(kept, TRIALS).proportion_ci(0.99)
    assert interval.low <= share**rows <= interval.high


def test_a_tenth_missing_is_kept_in_a_third_of_trials():
    kept = kept_in(0.9, 10, 300)
    assert binomtest(kept, 300, 0.9**10).pvalue > 1e-3


def test_limit_sampling_is_caught(monkeypatch):
    """The first rows instead of drawn ones: what is missing comes last and is never seen."""
    monkeypatch.setattr(paper_content, "draw_rows", lambda rows, count, seed: np.arange(count))
    kept = kept_in(0.9, 10, 50)
    assert binomtest(kept, 50, 0.9**10).pvalue < 1e-6


def test_a_true_edge_is_never_lost_to_nulls():
    child, _ = tables(1.0)
    for seed in range(100):
        assert keeps(child, child.take(pa.array(range(ROWS)[::-1])), PaperSettings(2, 10, seed))


def test_batches_do_not_matter():
    child, parent = tables(0.9)
    settings, columns = PaperSettings(2, 10, 5), ("a", "b", "c")
    one = sample_child([child], ROWS, columns, "value", settings)
    many = sample_child(child.to_batches(max_chunksize=7), ROWS, columns, "value", settings)
    assert one.rows.tolist() == many.rows.tolist()
    assert one.predicates.tolist() == many.predicates.tolist()
    samples = {columns: {"child": one}}
    whole = lacking_children([parent], samples, "value", settings)
    assert lacking_children(parent.to_batches(max_chunksize=9), samples, "value", settings) == whole
    assert 0 < whole[2] < parent.num_rows  # the predicates fetch some rows, not all


def test_every_contained_table_of_a_folder_is_kept(tmp_path):
    rng = np.random.default_rng(3)
    whole = pl.DataFrame(
        {
            "n": rng.permutation(2000),
            "x": [(None, 0.5, float("nan"), -0.0)[i] for i in rng.integers(0, 4, 2000)],
            "text": [f"the text of row {i}" for i in range(2000)],
        }
    )
    whole.write_parquet(tmp_path / "whole.parquet")
    for i in range(8):
        part = whole.sample(300, seed=i).with_columns(pl.col("x") + 0.0)
        part.select(rng.permutation(part.columns).tolist()).write_csv(tmp_path / f"{i}.csv")
        part.drop("x").write_parquet(tmp_path / f"{i}.parquet")
    far = whole.with_columns(pl.col("text") + "!")
    far.write_parquet(tmp_path / "far.parquet")
    exact = search_folder(tmp_path, min_containment=1.0).edges.filter(pl.col("containment") == 1)
    found = search_folder(tmp_path, paper=PaperSettings())
    pairs = set(found.edges.select("child", "parent").rows())
    assert set(exact.select("child", "parent").rows()) <= pairs
    assert exact.height >= 8
    assert not any("far.parquet" in pair for pair in pairs)
    assert not found.edges["exact"].any()
    assert set(found.edges["containment"]) == {1.0}
    assert set(found.edges["low"].round(3)) == {0.692}
    assert found.stages["stage"].to_list() == ["tables", "schema", "metadata", "content"]
    content = found.stages.row(3, named=True)
    assert content["candidates_out"] == found.edges.height < content["candidates_in"]
    assert content["bytes_read"] > 0
