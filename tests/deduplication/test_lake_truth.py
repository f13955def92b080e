from __future__ import annotations

import polars as pl
import pytest

from tests.deduplication.corpora import find, key_of
from tests.deduplication.lake_texts import LAKE, SETS, documents

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LAKE.exists(), reason="the shared lake is not here"),
]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("exhaustive", [False, True])
def test_near_duplicates_of_real_texts(name, exhaustive):
    texts, shingle = documents(name)
    ids = {key_of(i): i for i in texts}
    got = find(
        {key_of(i): t for i, t in texts.items()}, 0.7, shingle, batch=4096, exhaustive=exhaustive
    )
    got = {tuple(sorted((ids[a], ids[b]))): s for (a, b), s in got.items()}
    truth = {(a, b): s for a, b, s in pl.read_csv(LAKE / f"neardup_truth_{name}.csv").iter_rows()}
    assert got.keys() <= truth.keys()
    assert all(abs(s - truth[pair]) < 1e-6 for pair, s in got.items())
    if exhaustive:
        assert got.keys() == truth.keys()
    assert len(got) >= 0.98 * len(truth)
    close = [pair for pair, s in truth.items() if s >= 0.8]
    assert sum(pair in got for pair in close) >= 0.995 * len(close)
