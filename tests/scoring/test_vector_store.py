"""Vectors that do not fit are gathered from a scratch file, and no result depends on where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assets.scoring import score_files, vector_store
from assets.scoring.knn_shapley import KnnShapley
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError
from assets.scoring.redundancy import Known, RedundancyScorer, fit_cells, semantic_redundancy
from assets.scoring.vector_store import Places, StoredRows, VectorStore
from assets.scoring.whole_records import WholeRecords
from tests.scoring.test_redundancy import sample


def stored(rows: np.ndarray, folder: Path, memory: int = 0) -> StoredRows:
    store = VectorStore(rows.shape[1], folder, memory)
    for start in range(0, len(rows), 700):
        store.add(rows[start : start + 700])
    return StoredRows(store.close(), np.arange(len(rows)))


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_rows_come_back_as_they_were_in_any_order(tmp_path: Path, memory: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3000, 7)).astype(np.float32)
    found = stored(rows, tmp_path, memory)
    assert found.store.in_memory == (memory > 0)
    half = rows.astype(np.float16)
    at = np.random.default_rng(1).integers(3000, size=5000)
    assert np.array_equal(found[at], half[at])
    assert np.array_equal(found[10:30], half[10:30])
    lacking = StoredRows(found.store, np.array([-1, 5, -1]))
    assert np.array_equal(lacking[:], np.stack([0 * half[0], half[5], 0 * half[0]]))
    assert lacking.usable().tolist() == [False, True, False]
    assert list(tmp_path.iterdir()) == []  # nothing is left of it, whatever happens


def test_an_empty_store_has_no_rows(tmp_path: Path) -> None:
    store = VectorStore(4, tmp_path, 0).close()
    assert store.gather(np.array([-1])).tolist() == [[0, 0, 0, 0]]


def test_another_length_is_refused(tmp_path: Path) -> None:
    store = VectorStore(4, tmp_path, 0)
    with pytest.raises(ScoringError, match="5 numbers where 4 were expected"):
        store.add(np.ones((2, 5)))


def test_places_of_ids_are_found_also_where_their_first_words_agree() -> None:
    ids = [f"{a:016x}{b:016x}" for a in (7, 7, 7, 1, 9) for b in (3, 1, 2)]
    ids = list(dict.fromkeys(ids))
    places = Places()
    places.add(pl.Series(ids[:4]))
    places.add(pl.Series(ids[4:]))
    places.close()
    asked = [*ids[::-1], f"{7:016x}{9:016x}", f"{99:016x}{1:016x}", f"{0:032x}"]
    found = places.find(pl.Series(asked))
    assert found.tolist() == [*range(len(ids))[::-1], -1, -1, -1]
    assert Places().close().find(pl.Series(["x"])).tolist() == [-1]


@pytest.mark.parametrize("cells", [1, 9])
def test_redundancy_of_stored_rows_is_that_of_rows_in_memory(tmp_path: Path, cells: int) -> None:
    rows, rank, ids = sample(5000, d=16, seed=cells)
    rows[3], rows[4] = 0, np.nan
    rows = rows.astype(np.float16)
    file = stored(rows, tmp_path)
    model = fit_cells(rows, ids, cells=cells)
    again = fit_cells(file, ids, cells=cells)
    assert np.array_equal(model.centroids, again.centroids)
    want, got = (semantic_redundancy(v, rank, ids, model) for v in (rows, file))
    assert np.array_equal(got.values, want.values, equal_nan=True)
    assert np.array_equal(got.neighbour, want.neighbour)
    assert got.about() == want.about()
    nearest = want.neighbour.copy()
    fresh = np.random.default_rng(0).random(5000) < 0.1
    nearest[fresh] = -2
    nearest[np.isin(want.neighbour, np.flatnonzero(fresh))] = -2
    known = semantic_redundancy(file, rank, ids, model, Known(nearest, fresh))
    assert np.array_equal(known.values, want.values, equal_nan=True)


@pytest.mark.parametrize("scorer", [RedundancyScorer(), KnnShapley(k=3)])
def test_whole_scorers_do_not_mind_where_vectors_lie(tmp_path: Path, scorer) -> None:
    rng = np.random.default_rng(2)
    batches = [
        ScoreBatch(
            [f"{i}-{j}" for j in range(40)],
            text=pa.array([f"text {i} {j}" for j in range(40)]),
            label=pa.array([str(v) for v in rng.integers(3, size=40)]),
            embedding=rng.normal(size=(40, 8)).astype(np.float32) if i else np.zeros((40, 1)),
            role="target" if i == 4 else "train",
        )
        for i in range(5)
    ]
    columns = []
    for memory in (0, 1 << 30):
        gathered = WholeRecords(tmp_path, memory)
        for batch in batches:
            gathered.add(batch)
        batch, rank = gathered.batch(with_target=scorer.name != "redundancy")
        assert isinstance(batch.embedding, StoredRows) == (memory == 0)
        columns.append(scorer.score_all(batch, rank, ScoreContext())[0])
    assert np.array_equal(columns[0].values, columns[1].values, equal_nan=True)
    assert np.isnan(columns[0].values[:40]).all()  # the batch without vectors
    assert np.isfinite(columns[0].values[40:160]).all()
    assert columns[0].reasons.equals(columns[1].reasons)


def test_what_is_mapped_is_let_go_again(tmp_path: Path) -> None:
    def resident() -> int:
        told = Path("/proc/self/status")
        if not told.exists():
            pytest.skip("the kernel does not tell")
        return int(told.read_text().split("RssFile:")[1].split()[0]) // 1000

    rows = np.ones((60_000, 512), dtype=np.float16)  # 61 MB
    file = stored(rows, tmp_path)
    before = resident()
    for start in range(0, 60_000, 5_000):
        file[start : start + 5_000]
    assert resident() - before < 20


def test_the_command_spills_by_its_memory(tmp_path: Path, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(score_files, "WholeRecords", lambda *a: seen.append(a) or WholeRecords(*a))
    from tests.orchestration.test_score_command import call

    rows = np.random.default_rng(0).normal(size=(50, 4)).tolist()
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"v": rows}).write_parquet(path)
    frames = []
    for memory in ("100B", "1GB"):
        out = tmp_path / "o.parquet"
        given = ("--embedding", "v", "--scorers", "redundancy", "--memory", memory, "--out", out)
        assert call(path, *given).exit_code == 0
        frames.append(pl.read_parquet(out))
    assert [a[1] for a in seen] == [50, 500_000_000]
    assert frames[0].equals(frames[1])
    assert vector_store.WORKING_BYTES > 0
    result = call(path, *given[:-3], "much", "--out", out)
    assert result.exit_code == 2
    assert "--memory: 'much' is no size" in result.stderr
