"""Columns of other names: maps that rows confirm, and nothing that they do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.containment.folder import search_folder

WORDS = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jade"]


def base(seed: int, rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": rng.permutation(rows * 3)[:rows] + seed * 10**6,
            "word": rng.choice(WORDS, rows),
            "home": rng.integers(0, 30, rows),
            "away": rng.integers(0, 30, rows),
            "share": rng.random(rows).round(6),
            "flag": rng.random(rows) < 0.5,
            "name": [f"name {seed} {i}" for i in rng.integers(0, rows, rows)],
        }
    )


def maps(found) -> dict[tuple[str, str], dict[str, str]]:
    edges = found.edges.select("child", "parent", "column_map").rows()
    return {(child, parent): json.loads(text) for child, parent, text in edges}


@pytest.mark.parametrize("equality", ["value", "typed", "text"])
def test_a_renamed_and_reordered_part_is_found_with_its_map(tmp_path: Path, equality) -> None:
    whole = base(1, 3000)
    whole.write_parquet(tmp_path / "whole.parquet")
    renamed = {"id": "key", "home": "h", "away": "a", "name": "label", "flag": "flag"}
    part = whole[300:900].select("flag", "away", "name", "home", "id").rename(renamed)
    part.write_parquet(tmp_path / "part.parquet")
    other = pl.concat(
        [part[:540], base(2, 60).select("flag", "away", "name", "home", "id").rename(renamed)]
    )
    other.write_parquet(tmp_path / "near.parquet")
    assert not any(
        pair[1] == "whole.parquet" for pair in maps(search_folder(tmp_path, equality=equality))
    )
    found = search_folder(tmp_path, equality=equality, renamed=True, min_containment=0.85)
    expected = {theirs: mine for mine, theirs in renamed.items()}
    assert maps(found)["part.parquet", "whole.parquet"] == expected
    assert maps(found)["near.parquet", "whole.parquet"] == expected
    shares = {
        child: (share, rows, name)
        for child, parent, share, rows, name in found.edges.select(
            "child", "parent", "containment", "parent_rows", "equality"
        ).rows()
        if parent == "whole.parquet"
    }
    assert shares == {"part.parquet": (1.0, 3000, "typed"), "near.parquet": (0.9, 3000, "typed")}


def test_columns_of_equal_values_are_told_apart_by_rows(tmp_path: Path) -> None:
    for seed in range(6):
        whole = base(seed, 500)
        whole.select("id", "home", "away").write_parquet(tmp_path / f"{seed}.parquet")
        first, second = ("x", "y") if seed % 2 else ("y", "x")
        part = whole[:200].select("id", pl.col("home").alias(first), pl.col("away").alias(second))
        part.write_parquet(tmp_path / f"{seed}-part.parquet")
    found = maps(search_folder(tmp_path, renamed=True))
    for seed in range(6):
        first, second = ("x", "y") if seed % 2 else ("y", "x")
        assert found[f"{seed}-part.parquet", f"{seed}.parquet"] == {
            "id": "id", first: "home", second: "away",
        }  # fmt: skip


def test_equal_columns_of_other_rows_are_no_edge(tmp_path: Path) -> None:
    whole = base(3, 400).select("id", "name", "share")
    whole.write_parquet(tmp_path / "whole.parquet")
    shuffled = whole.with_columns(pl.all().shuffle(seed=5)).with_columns(
        pl.col("name").shuffle(seed=6)
    )
    shuffled.rename({"id": "key", "name": "label"}).write_parquet(tmp_path / "shuffled.parquet")
    pl.DataFrame({"a": range(20), "b": [True, False] * 10}).write_parquet(
        tmp_path / "generic.parquet"
    )
    pl.DataFrame({"n": range(90), "c": [1] * 90}).write_parquet(tmp_path / "numbers.parquet")
    assert search_folder(tmp_path, renamed=True, min_containment=0.1).edges.is_empty()


def test_recall_and_precision_over_many_random_renames(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    tables, truth = {}, {}
    for seed in range(25):
        whole = base(seed, int(rng.integers(60, 1500)))
        columns = list(rng.permutation(whole.columns)[: rng.integers(2, 8)])
        names = {c: f"col_{i}" for i, c in enumerate(columns)}
        part = whole.sample(fraction=0.5, seed=seed).select(columns).rename(names)
        tables[f"{seed}"], tables[f"{seed}-part"] = whole, part
        if {"id", "name", "share"} & set(columns):
            truth[f"{seed}-part", f"{seed}"] = {new: old for old, new in names.items()}
    for name, frame in tables.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    found = {
        tuple(name.removesuffix(".parquet") for name in pair): own
        for pair, own in maps(search_folder(tmp_path, renamed=True, workers=2)).items()
    }
    for (child, parent), own in found.items():  # every edge is true on its map
        mine = set(tables[child].select(list(own)).rows())
        theirs = set(tables[parent].select(list(own.values())).rows())
        assert len(mine & theirs) / len(mine) >= 0.9
    right = [pair for pair, own in truth.items() if found.get(pair) == own]
    assert len(right) >= 0.97 * len(truth)
    assert len(truth) > 15
