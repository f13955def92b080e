"""Counts of unchanged pairs are kept, and a search that uses them equals one from nothing."""

from __future__ import annotations

import random

import polars as pl
import pytest

from assets.containment.content import contained_rows
from assets.containment.folder import search_folder


def write(lake, name, rows):
    lake.mkdir(exist_ok=True)
    pl.DataFrame({"a": rows, "b": [f"value {row}" for row in rows]}).write_parquet(lake / name)


@pytest.mark.parametrize("seed", range(4))
def test_any_changes_give_what_a_search_from_nothing_gives(tmp_path, seed):
    draw = random.Random(seed)
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    for step in range(6):
        for _ in range(draw.randint(1, 3)):
            name = f"{draw.randint(0, 5)}.parquet"
            if (lake / name).exists() and draw.random() < 0.3:
                (lake / name).unlink()
            else:
                start = draw.randint(0, 40)
                write(lake, name, list(range(start, start + draw.randint(10, 60))))
        least = draw.choice([0.0, 0.5, 1.0])
        kept = search_folder(lake, min_containment=least, cache=cache)
        assert kept.edges.equals(search_folder(lake, min_containment=least).edges), step


def test_only_new_pairs_are_counted_and_only_their_tables_looked_up(tmp_path, monkeypatch):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    for number in range(5):
        write(lake, f"{number}.parquet", list(range(number, 60)))
    pl.DataFrame({"other": range(50)}).write_parquet(lake / "x.parquet")
    pl.DataFrame({"other": range(40)}).write_parquet(lake / "y.parquet")
    search_folder(lake, cache=cache)
    counted = []

    def counts(hashes, pairs, **settings):
        counted.append(set(pairs))
        return contained_rows(hashes, pairs, **settings)

    monkeypatch.setattr("assets.containment.edges.contained_rows", counts)
    search_folder(lake, cache=cache)
    assert counted == []
    write(lake, "new.parquet", list(range(10, 60)))
    for file in cache.rglob("*.u64"):
        file.touch()
    found = search_folder(lake, cache=cache)
    old = [f"{number}.parquet" for number in range(5)]
    new = "new.parquet"
    assert counted == [{(new, p) for p in old} | {(c, new) for c in old}]
    assert found.stages.filter(pl.col("stage") == "content")["tables"].item() == 1
