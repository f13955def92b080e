"""Checks of the containment acceptance table on lakes, or graphs, of their own; each gives (figure, whether it passes).

Run by `benchmarks.containment_acceptance`, where the table is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake
from scipy.stats import binomtest

from assets.containment.folder import search_folder
from assets.containment.paper_content import PaperSettings, lacking_children, sample_child
from assets.containment.rebuild import read_all
from assets.containment.retention import plan_retention, totals
from benchmarks.containment_lake import base_table
from resources.errors import CheckError
from tests.containment.retire_lake import open_lake
from tests.containment.test_retention import check_plan, instance, oracle

Told = tuple[dict[str, object], bool]


def write_parquet(rows: pa.Table, place: Path) -> None:
    pq.write_table(rows, place)


def write_with_polars(rows: pa.Table, place: Path) -> None:
    pl.DataFrame(rows).write_parquet(place)


def write_delta(rows: pa.Table, place: Path) -> None:
    write_deltalake(place, rows)


WRITERS = {"pyarrow": write_parquet, "polars": write_with_polars, "delta": write_delta}


def published(place: Path) -> dict[str, tuple[object, object]]:
    """Read the least and the greatest value of each column as log or footer state them, and believe it."""
    if place.is_dir():
        told = pa.table(DeltaTable(place).get_add_actions(flatten=True)).to_pylist()
        names = [n.removeprefix("min.") for n in told[0] if n.startswith("min.")]
        return {n: (told[0][f"min.{n}"], told[0][f"max.{n}"]) for n in names}
    group, found = pq.read_metadata(place).row_group(0), {}
    for i in range(group.num_columns):
        column = group.column(i)
        if column.statistics is not None and column.statistics.has_min_max:
            found[column.path_in_schema] = (column.statistics.min, column.statistics.max)
    return found


def believed(child: Path, parent: Path) -> bool:
    """Tell whether published bounds, taken at their word, allow the child in the parent."""
    mine, theirs = published(child), published(parent)
    for name in mine.keys() & theirs.keys():
        low, high = mine[name]
        least, most = theirs[name]
        if None in (low, high, least, most):
            continue
        if low < least or high > most:  # type: ignore[operator]
            return False
    return True


def hostile_statistics(folder: Path) -> Told:
    """Row 3: strings of a long prefix, microseconds and NaN under writers that cut bounds unlike one another."""
    size = 64
    draw = np.random.default_rng(3)
    strings = [f"{'a prefix shared by all of the strings of it, ' * 2}{i:03}" for i in range(size)]
    cases = {
        "strings": pa.array(strings),
        "instants": pa.array(
            1_600_000_000_000_999 + 1000 * np.arange(size), pa.timestamp("us", "UTC")
        ),
        "floats": pa.array(
            [float("nan") if i % 5 == 0 else -0.0 if i % 5 == 1 else i / 7 for i in range(size)]
        ),
        "null": pa.array([None if i < size - 9 else i for i in range(size)]),
    }
    places, expected = {}, set()
    for case, column in cases.items():
        rows = pa.table(
            {f"{case}_c": column, f"{case}_n": [f"row number {i} of it" for i in range(size)]}
        )
        for writer, write in WRITERS.items():
            # without its greatest values and, where floats are, with NaN
            for part, own in (
                ("whole", rows),
                ("part", rows.take(pa.array(np.sort(draw.permutation(size)[:40])))),
            ):
                name = f"{case}_{part}_{writer}" + ("" if writer == "delta" else ".parquet")
                places[case, part, writer] = folder / name
                write(own, folder / name)
        expected |= {
            (places[case, "part", a].name, places[case, "whole", b].name)
            for a in WRITERS
            for b in WRITERS
        }
    found = search_folder(folder, min_containment=1.0).edges.select("child", "parent").rows()
    at = {place.name: place for place in places.values()}
    lost_by_trust = sum(not believed(at[child], at[parent]) for child, parent in expected)
    lost = len(expected - set(found))
    told = {"true_edges": len(expected), "lost": lost, "lost_by_trusting_bounds": lost_by_trust}
    return told, lost == 0 and lost_by_trust > 0


def paper_keeps(trials: int) -> Told:
    """Row 4: how often t uniform rows keep a false edge of containment g, beside g^t."""
    rows = 400
    columns = ("a", "b", "c")

    def table(start: int, count: int) -> pa.Table:
        numbers = range(start, start + count)
        return pa.table(
            {
                "a": pa.array([None if i % 7 == 0 else i for i in numbers]),
                "b": [f"{i % 10}" for i in numbers],
                "c": [i / 3 for i in numbers],
            }
        )

    child, told, passed = table(0, rows), {}, True
    for share in (0.5, 0.8, 0.9, 0.95, 0.99, 1.0):
        parent = pa.concat_tables([table(0, round(share * rows)), table(rows, 300)])
        kept = 0
        for seed in range(trials):
            settings = PaperSettings(2, 10, seed)
            sample = sample_child([child], rows, columns, "value", settings)
            lacking, _, _ = lacking_children([parent], {columns: {"c": sample}}, "value", settings)
            kept += not lacking
        interval = binomtest(kept, trials).proportion_ci(0.99)
        passed &= bool(interval.low <= share**10 <= interval.high)
        told[str(share)] = {"kept": kept / trials, "expected": round(share**10, 4)}
    return {"trials": trials, "by_containment": told}, passed


def renames(folder: Path, families: int) -> Told:
    """Row 7: children of other column names and another order, some of another numeric type."""
    draw = np.random.default_rng(7)
    truth = {}
    for family in range(families):
        base = base_table(600, family, draw)
        pq.write_table(base, folder / f"{family}.parquet")
        usable = [n.split("_", 1)[1] for n in base.column_names if not n.endswith("_nothing")]
        # half of them without the column that tells rows apart
        picked = draw.permutation([n for n in usable if n != "id"])[:5].tolist()
        picked = ["id" if family % 2 else "amount", *(n for n in picked if n != "amount")]
        rows = base.take(pa.array(draw.permutation(600)[:250]))
        names = [f"f{family}_{name}" for name in picked]
        order = draw.permutation(len(names)).tolist()
        part = rows.select([names[i] for i in order]).rename_columns(
            [f"r{family}_{i}" for i in order]
        )
        if family % 3 == 0:
            at = part.column_names.index(f"r{family}_0")
            part = part.set_column(at, f"r{family}_0", part.column(at).cast(pa.float64()))
        pq.write_table(part, folder / f"{family}_part.parquet")
        truth[f"{family}_part.parquet", f"{family}.parquet"] = {
            f"r{family}_{i}": names[i] for i in order
        }
    edges = search_folder(folder, renamed=True, min_containment=0.9).edges
    found = {
        (c, p): json.loads(m) for c, p, m in edges.select("child", "parent", "column_map").rows()
    }
    hit = truth.keys() & found.keys()
    recall, precision = len(hit) / len(truth), len(hit) / max(len(found), 1)
    right = sum(found[pair] == truth[pair] for pair in hit) / max(len(hit), 1)
    told = {"planted": len(truth), "recall": recall, "precision": precision, "right_maps": right}
    return told, recall >= 0.98 and precision >= 0.99 and right >= 0.97


def unions(folder: Path, planted: int) -> Told:
    """Row 8: tables that two or three others hold together; a cover is checked by all rows."""
    draw = np.random.default_rng(8)
    rows_of: dict[str, set[tuple[object, ...]]] = {}
    truth: dict[str, list[str]] = {}

    def put(name: str, rows: pa.Table) -> None:
        pq.write_table(rows, folder / name)
        rows_of[name] = {
            tuple("NaN" if v != v else v for v in row.values()) for row in rows.to_pylist()
        }

    for i in range(planted):
        whole, extra = base_table(150, i % 6, draw), base_table(150, i % 6, draw)
        count = 2 + i % 2
        truth[f"{i}_child.parquet"] = [f"{i}_parent{j}.parquet" for j in range(count)]
        for j, name in enumerate(truth[f"{i}_child.parquet"]):
            own = whole.take(pa.array(np.arange(j, 150, count)))
            put(name, pa.concat_tables([own, extra.slice(40 * j, 40)]))
        put(f"{i}_child.parquet", whole.take(pa.array(draw.permutation(150)[:130])))
    found = search_folder(folder, min_containment=0.2, unions=True).unions
    told = dict(zip(found["child"], found["parents"].to_list(), strict=True))
    right = sum(told.get(child) == parents for child, parents in truth.items()) / planted
    false = sum(not rows_of[c] <= set().union(*(rows_of[p] for p in ps)) for c, ps in told.items())
    return {"planted": planted, "found": right, "false": false}, right >= 0.95 and false == 0


def versions(folder: Path, tables: int) -> Told:
    """Row 9: versions and shallow clones, whose data files are overwritten with zeros before the search."""
    expected = set()
    for i in range(tables):
        rows = base_table(300, i, np.random.default_rng([9, i]))
        rows = rows.select([n for n in rows.column_names if not n.endswith("_nothing")])
        place = folder / f"t{i}"
        for part in range(4):
            write_deltalake(place, rows.slice(75 * part, 75), mode="append")
        named = [f"t{i}@{v}" for v in range(3)] + [f"t{i}"]
        expected |= {(a, b) for n, a in enumerate(named) for b in named[n + 1 :]}
        clone = folder / f"clone{i}" / "_delta_log"
        clone.mkdir(parents=True)
        actions = []
        for log in sorted((place / "_delta_log").glob("*.json")):
            for line in log.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    action["add"]["path"] = f"file://{place}/{action['add']['path']}"
                    actions.append(action)
                elif log.stem.endswith("0") and "commitInfo" not in action:
                    if "metaData" in action:
                        action["metaData"]["id"] = f"clone-{i}"
                    actions.append(action)
        (clone / f"{0:020d}.json").write_text("\n".join(map(json.dumps, actions)))
        expected |= {(f"clone{i}", f"t{i}"), (f"t{i}", f"clone{i}")}
    for file in folder.rglob("*.parquet"):
        times = file.stat()
        file.write_bytes(bytes(times.st_size))  # who reads it fails
    found = search_folder(folder, min_containment=1.0, versions=True)
    proven = found.edges.filter(containment=1.0, exact=True).select("child", "parent").rows()
    read = int(found.stages["bytes_read"].sum())
    missing = len(expected - set(proven))
    told = {
        "pairs": len(expected),
        "not_proven": missing,
        "data_bytes_read": read,
        "unreadable": len(found.unreadable),
    }
    return told, missing == 0 and read == 0 and not found.unreadable


def retention(instances: int) -> Told:
    """Row 12: plans of random graphs against all sets of kept tables."""
    worse, nodes = 0, 0
    for seed in range(instances):
        tables, edges, own = instance(seed)
        cost = check_plan(plan_retention(tables, edges, own), tables, edges, own)
        least = oracle(tables, edges, own)
        nodes = max(nodes, tables.height)
        worse += cost > least * (1 + 1e-9) + 1e-12
    return {
        "instances": instances,
        "most_tables": nodes,
        "worse_than_exhaustive": worse,
    }, worse == 0


def large_retention() -> Told:
    """Row 12: 10,000 tables."""
    import time

    from benchmarks.retention import TABLES, frames, mixed

    tables, edges, own = frames(mixed(TABLES))
    start = time.perf_counter()
    told = totals(plan_retention(tables, edges, own))
    seconds = time.perf_counter() - start
    figures = {"tables": tables.height, "seconds": round(seconds, 1), "gap": told.gap}
    return figures, seconds < 60 and told.gap <= 0.01


def _cells(rows: pa.Table) -> list[str]:
    return sorted(repr(row) for row in rows.to_pylist())


def _refused(way: Iterator[object]) -> bool:
    try:
        list(way)
    except (CheckError, ValueError):
        return True
    return False


def safety(folder: Path, tables: int) -> Told:
    """Row 13: retire, delete and restore tables of every format; refuse what is not certified or has moved."""
    lake, state = folder / "lake", folder / "state"
    lake.mkdir()
    draw = np.random.default_rng(13)
    writers = {
        ".csv": lambda rows, place: pl.DataFrame(rows).write_csv(place),
        ".parquet": lambda rows, place: pq.write_table(rows, place, compression="zstd"),
        "": lambda rows, place: write_deltalake(place, rows),
        ".snappy.parquet": lambda rows, place: pq.write_table(rows, place, store_schema=False),
    }
    pairs = []
    for i in range(tables):
        ending, write = list(writers.items())[i % len(writers)]
        whole = base_table(900, i, draw)
        whole = whole.select([n for n in whole.column_names if not n.endswith("_nothing")])
        part = whole.take(pa.array(draw.integers(0, 900, 500)))
        write(whole, lake / f"{i}_whole{ending}")
        write(part, lake / f"{i}_part{ending}")
        pairs.append((f"{i}_part{ending}", f"{i}_whole{ending}"))
    opened = open_lake(lake, state)
    before = {child: _cells(read_any(opened.sources[child])) for child, _ in pairs}
    same = 0
    for child, parent in pairs:
        opened.retire(child, parent)
        opened.delete(child)
        gone = not (lake / child).exists()
        opened.restore(child)
        again = open_lake(lake, state).sources[child]
        same += gone and _cells(read_any(again)) == before[child]
    uncertified = sum(
        _refused(opened.retire(parent, child) for _ in [0])
        for child, parent in pairs
        if parent != child
    )
    moved = 0
    for child, parent in pairs[:4]:
        opened.retire(child, parent)
        place = lake / child
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.copytree(lake / parent, place) if (lake / parent).is_dir() else shutil.copyfile(
            lake / parent, place
        )
        moved += _refused(opened.delete(child) for _ in [0])
    told = {
        "tables": tables,
        "identical": same,
        "uncertified_refused": uncertified,
        "moved_refused": moved,
    }
    return told, same == tables and uncertified == tables and moved == 4


def read_any(source: object) -> pa.Table:
    """Read a table of any format."""
    return read_all(source)  # type: ignore[arg-type]
