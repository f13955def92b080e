"""A generated lake with known truth: every row of the acceptance table that containment has."""

from __future__ import annotations

import json
from pathlib import Path

import deltalake
import numpy as np
import polars as pl
import pytest

from assets.containment import schema_graph
from assets.containment.folder import search_folder
from assets.containment.paper_content import PaperSettings
from assets.containment.sampling import Sampling

WORDS = ["amber", "birch", "cedar", "dune", "ember", "fjord", None, "", "é" * 20, "p" * 70]


def seed_table(seed: int, rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(rows) + 10_000 * seed
    shares = rng.integers(0, 5, rows)
    return pl.DataFrame(
        {
            "id": numbers,
            "word": [WORDS[i] for i in rng.integers(0, len(WORDS), rows)],
            "share": [(None, float("nan"), -0.0, 0.5, 1e-300)[i] for i in shares],
            "name": [f"{'long shared prefix ' * 4}{i}" for i in numbers],
            "day": pl.Series(rng.integers(19_000, 20_000, rows), dtype=pl.Int32).cast(pl.Date),
        }
    )


def write(frame: pl.DataFrame, place: Path, how: int) -> str:
    """Write by one of several writers; returns the table's name."""
    match how % 4:
        case 0:
            frame.write_parquet(place.with_suffix(".parquet"))
            return f"{place.name}.parquet"
        case 1:
            deltalake.write_deltalake(place, frame.to_arrow())
            return place.name
        case 2:
            place.mkdir()
            frame[: frame.height // 2].write_parquet(place / "1.parquet")
            frame[frame.height // 2 :].write_parquet(place / "2.parquet")
            return place.name
        case _:
            frame.sample(fraction=1, shuffle=True, seed=how).write_delta(place)
            return place.name


def positives(base: pl.DataFrame, other: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Tables that lie wholly in `base`."""
    return {
        "filter": base.filter(pl.col("id") % 3 == 0),
        "head": base.head(200),
        "sample": base.sample(150, seed=1),
        "window": base.filter(pl.col("day") < pl.date(2023, 6, 1)),
        "projection": base.select("id", "name"),
        "projected filter": base.filter(pl.col("word") == "amber").select("name", "day", "id"),
        "reordered": base.select(sorted(base.columns, reverse=True)),
        "shuffled": base.sample(fraction=1, shuffle=True, seed=2),
        "repeated": pl.concat([base.head(100)] * 3),
        "chain": base.filter(pl.col("id") % 2 == 0).head(120).select("day", "id", "word"),
        "integral": base.select(pl.col("id").cast(pl.Float64), "name"),
    }


def negatives(base: pl.DataFrame, other: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Tables that do not, though schema, ranges and marginals are those of `base`."""
    shuffled = base.with_columns(pl.col("name").shuffle(seed=3), pl.col("word").shuffle(seed=4))
    changed = base.with_columns(
        word=pl.when(pl.int_range(pl.len()) == 77).then(pl.lit("odd")).otherwise("word")
    )
    tables = {"marginals": shuffled, "one cell": changed, "other": other}
    for share in (0.5, 0.8, 0.9, 0.95, 0.99):
        common = round(share * 200)
        tables[f"near {share:.0%}"] = pl.concat([base.head(common), other.tail(200 - common)])
    return tables


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Three families of tables under one schema or a part of it, by mixed writers."""
    root = tmp_path_factory.mktemp("acceptance")
    tables, how = {}, 0
    for seed in range(3):
        base, other = seed_table(seed, 600), seed_table(seed + 10, 600)
        made = {"base": base, **positives(base, other), **negatives(base, other)}
        for name, frame in made.items():
            how += 1
            tables[write(frame, root / f"{seed} {name}", how)] = frame
    return root, tables


def cells(frame: pl.DataFrame, names: list[str]) -> list[tuple]:
    def plain(value):
        if isinstance(value, float):
            return "NaN" if value != value else value + 0.0
        return value

    return [tuple(plain(v) for v in row) for row in frame.select(names).iter_rows()]


@pytest.fixture(scope="module")
def truth(lake):
    """Brute force over all pairs whose columns allow it: set and multiset containment."""
    _, tables = lake
    found = {}
    for child, left in tables.items():
        names = sorted(left.columns)
        mine = cells(left, names)
        for parent, right in tables.items():
            if child == parent or not set(names) <= set(right.columns):
                continue
            theirs = cells(right, names)
            counts = dict.fromkeys(mine, 0)
            for row in theirs:
                if row in counts:
                    counts[row] += 1
            own = dict.fromkeys(counts, 0)
            for row in mine:
                own[row] += 1
            distinct = sum(n > 0 for n in counts.values()) / len(counts)
            multiset = sum(min(own[row], n) for row, n in counts.items()) / len(mine)
            found[child, parent] = (distinct, multiset)
    return found


def got(found) -> dict[tuple[str, str], tuple[float, float]]:
    names = ("child", "parent", "containment", "multiset_containment")
    return {(c, p): (s, m) for c, p, s, m in found.edges.select(names).rows()}


@pytest.mark.parametrize("least", [1.0, 0.3])
def test_row_1_and_3_edges_are_those_of_brute_force(lake, truth, least):
    found = got(search_folder(lake[0], min_containment=least))
    expected = {pair: own for pair, own in truth.items() if own[0] >= least}
    assert found.keys() == expected.keys()
    for pair, (share, multiset) in expected.items():
        assert found[pair] == pytest.approx((share, multiset), abs=1e-12)
    assert sum(own[0] == 1 for own in expected.values()) > 30


def test_row_2_both_ways_to_build_the_schema_graph_agree_and_first_hit_is_caught(lake, monkeypatch):
    tables = {name: dict.fromkeys(frame.columns, "") for name, frame in lake[1].items()}
    tables |= {f"mixed {i}": {"id": "", "word": "", f"x{i}": ""} for i in range(5)}
    tables["lone"] = {"id": "", "word": ""}
    inverted = schema_graph.schema_edges(tables)
    assert schema_graph.schema_edges(tables, "paper") == inverted

    def first_hit(distinct):
        schemas = [dict(columns) for columns in distinct]
        clusters = []
        for i, columns in enumerate(distinct):
            home = next(
                (m for c, m in clusters if schema_graph._contained(columns, schemas[c])), None
            )
            clusters.append((i, [i])) if home is None else home.append(i)
        return {
            i: [j for j in m if schema_graph._contained(distinct[i], schemas[j])]
            for _, m in clusters
            for i in m
        }

    monkeypatch.setattr(schema_graph, "_paper", first_hit)
    lost = set(inverted) - set(schema_graph.schema_edges(tables, "paper"))
    assert ("lone", "mixed 4") in lost


def test_row_4_the_paper_s_mode_loses_no_true_edge(lake, truth):
    kept = set(got(search_folder(lake[0], paper=PaperSettings())))
    whole = {pair for pair, own in truth.items() if own[0] == 1}
    assert whole <= kept
    assert kept - whole <= {pair for pair, own in truth.items() if own[0] >= 0.5}


def test_row_5_and_6_sampled_edges(lake, truth):
    found = search_folder(lake[0], min_containment=0.45, sampling=Sampling(64)).edges
    pairs = set(found.select("child", "parent").rows())
    assert {pair for pair, own in truth.items() if own[0] == 1} <= pairs
    estimates = found.filter(~pl.col("exact"))
    assert estimates.height > 20
    held = [
        row["low"] <= truth[row["child"], row["parent"]][0] <= row["high"]
        for row in estimates.iter_rows(named=True)
    ]
    assert np.mean(held) >= 0.95


def test_row_7_renamed_columns_are_found_and_nothing_false(tmp_path):
    truth = {}
    for seed in range(6):
        base = seed_table(seed, 500)
        base.write_parquet(tmp_path / f"{seed}.parquet")
        part = base.sample(200, seed=seed).select("day", "name", "id")
        names = {"day": f"d{seed}", "name": f"n{seed}", "id": f"i{seed}"}
        part.rename(names).write_parquet(tmp_path / f"{seed} part.parquet")
        truth[f"{seed} part.parquet", f"{seed}.parquet"] = {v: k for k, v in names.items()}
    found = search_folder(tmp_path, renamed=True, min_containment=0.9).edges
    maps = {
        (c, p): json.loads(m) for c, p, m in found.select("child", "parent", "column_map").rows()
    }
    assert maps == truth


def test_row_8_planted_unions_are_covered_and_none_is_false(tmp_path):
    rng = np.random.default_rng(5)
    planted, hashes_of = {}, {}
    for i in range(40):
        whole = seed_table(i, 90)
        parts = 2 + i % 2
        for j in range(parts):
            extra = seed_table(100 + 3 * i + j, 30)
            hashes_of[f"{i} parent {j}"] = pl.concat([whole[j::parts], extra])
        hashes_of[f"{i} child"] = whole.sample(80, seed=int(rng.integers(99)))
        planted[f"{i} child"] = [f"{i} parent {j}" for j in range(parts)]
    for name, frame in hashes_of.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    found = search_folder(tmp_path, min_containment=0.2, unions=True)
    told = {
        row["child"].removesuffix(".parquet"): [p.removesuffix(".parquet") for p in row["parents"]]
        for row in found.unions.iter_rows(named=True)
    }
    right = [child for child, parents in planted.items() if told.get(child) == parents]
    assert len(right) >= 0.95 * len(planted)
    for child, parents in told.items():
        rows = set(cells(hashes_of[child], hashes_of[child].columns))
        held = set().union(*(cells(hashes_of[p], hashes_of[child].columns) for p in parents))
        assert rows <= held


def test_row_10_every_byte_is_read_once_whatever_the_number_of_pairs(lake):
    found = search_folder(lake[0], min_containment=0.3)
    assert found.stages["bytes_read"].sum() <= 1.1 * sum(found.bytes.values())
    content = found.stages.filter(pl.col("stage") == "content").row(0, named=True)
    assert content["candidates_in"] > 10 * len(found.bytes)


def test_row_14_order_and_workers_change_nothing(lake, tmp_path):
    expected = search_folder(lake[0], min_containment=0.3).edges
    assert search_folder(lake[0], min_containment=0.3, workers=2).edges.equals(expected)
    # the same tables under names that sort the other way round
    names = sorted(path.name for path in lake[0].iterdir())
    for i, name in enumerate(names):
        (tmp_path / f"{len(names) - i:03} {name}").symlink_to(lake[0] / name)
    other = search_folder(tmp_path, min_containment=0.3).edges.with_columns(
        pl.col("child", "parent").str.slice(4)
    )
    shown = ["child", "parent", "containment", "multiset_containment", "equality", "jaccard"]
    order = ["child", "parent"]
    assert other.select(shown).sort(order).equals(expected.select(shown).sort(order))


def test_every_copy_is_mutual_and_symmetric_figures_agree(lake, truth):
    edges = search_folder(lake[0], min_containment=0.1).edges
    told = {(row["child"], row["parent"]): row for row in edges.iter_rows(named=True)}
    both = 0
    for (child, parent), row in told.items():
        assert 0 < row["jaccard"] <= min(row["containment"], row["parent_containment"]) + 1e-12
        if set(lake[1][child].columns) == set(lake[1][parent].columns):
            both += 1
            assert row["parent_containment"] == pytest.approx(truth[parent, child][0])
    assert both > 50


@pytest.mark.parametrize("equality", ["value", "typed"])
def test_type_drift_by_equality(tmp_path, equality):
    base = seed_table(1, 100).select("id", "name", "day")
    base.write_parquet(tmp_path / "base.parquet")
    drifts = {
        "float": base.with_columns(pl.col("id").cast(pl.Float64)),
        "decimal": base.with_columns(pl.col("id").cast(pl.Decimal(12, 2))),
        "small": base.with_columns(pl.col("id").cast(pl.Int32)),
        "text": base.with_columns(pl.col("id").cast(pl.String)),
        "iso": base.with_columns(pl.col("day").cast(pl.String)),
    }
    for name, frame in drifts.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
    found = search_folder(tmp_path, equality=equality).edges
    held = {c.removesuffix(".parquet") for c in found.filter(parent="base.parquet")["child"]}
    assert held == ({"float", "decimal", "small"} if equality == "value" else set())
    by_text = search_folder(tmp_path, equality="text").edges.filter(parent="base.parquet")
    told = dict(zip(by_text["child"], by_text["equality"], strict=True))
    assert told == {"small.parquet": "value", "text.parquet": "text", "iso.parquet": "text"}
