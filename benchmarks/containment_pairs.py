"""Exact containment of all pairs of generated lakes, against brute force in polars and DuckDB.

    python -m benchmarks.containment_pairs [--sizes 8 32 128] [--rounds 3]

Three lakes (`containment_lake`): families of 8 tables of up to a million rows, of 32 and of 128 tables of 100 to
100,000 rows. Everybody starts from the Parquet files and gives the fraction of each child's distinct
rows that each parent with its columns holds. Ours is the whole search of a folder, as `sluice containment`
runs it, with witnesses and all. The peers load each table once, without repeated rows for each set of columns, then
join each pair (polars: null-safe anti-join; DuckDB: EXCEPT). Where all pairs would take too long they join a random
share, and the time of joining is scaled to all. Every answer of a peer is compared with ours.

A run is a process of its own, timed after imports and a warm-up on another lake. Rounds are interleaved; DuckDB,
which was never the faster one, takes part in the first only. It needs the extra `bench`; without it polars is the only
peer. About five minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from assets.containment.folder import search_folder
from benchmarks.containment_lake import Lake, build_lake, lake_of
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "containment_pairs.json"
WORKERS = 2

Answers = dict[tuple[str, str], float]
Families = list[tuple[int, int]]
LAKES: dict[int, Families] = {
    8: [(100, 10**6)] + [(100, 10**5)] * 15,
    32: [(100, 10**5)] * 4,
    128: [(100, 10**5)],
}
SHARES = {"polars": {8: 0.25, 32: 0.1, 128: 0.03}, "duckdb": {8: 0.1, 32: 0.02, 128: 0.006}}


def ours(lake: Lake, share: float, seed: int) -> tuple[Answers, float, float]:
    """Search the folder; `share` and `seed` do not matter."""
    del share, seed
    wall, cpu = time.perf_counter(), time.process_time()
    found = search_folder(lake.tables[0].parent, min_containment=0.0, workers=WORKERS)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    edges = found.edges["child", "parent", "containment"].iter_rows()
    return {(child, parent): fraction for child, parent, fraction in edges}, wall, cpu


def polars_joins(lake: Lake, share: float, seed: int) -> tuple[Answers, float, float]:
    """Anti-join a share of the pairs."""
    frames: dict[tuple[Path, tuple[str, ...]], pl.DataFrame] = {}

    def load(path: Path, columns: tuple[str, ...]) -> None:
        frames[path, columns] = pl.read_parquet(path, columns=list(columns)).unique()

    def join(child: Path, parent: Path, columns: tuple[str, ...]) -> float:
        own, other = frames[child, columns], frames[parent, columns]
        missing = own.join(other, on=list(columns), how="anti", nulls_equal=True)
        return 1 - missing.height / own.height

    return brute_force(lake, share, seed, load, join)


def duckdb_joins(lake: Lake, share: float, seed: int) -> tuple[Answers, float, float]:
    """Count what EXCEPT leaves of a share of the pairs."""
    import duckdb

    session = duckdb.connect(config={"threads": WORKERS})
    tables: dict[tuple[Path, tuple[str, ...]], str] = {}
    heights: dict[str, int] = {}

    def load(path: Path, columns: tuple[str, ...]) -> None:
        tables[path, columns] = name = f"t{len(tables)}"
        listed = ", ".join(f'"{column}"' for column in columns)
        source = f"SELECT DISTINCT {listed} FROM read_parquet('{path}')"
        session.execute(f"CREATE TEMP TABLE {name} AS {source}")
        heights[name] = session.execute(f"SELECT count(*) FROM {name}").fetchone()[0]

    def join(child: Path, parent: Path, columns: tuple[str, ...]) -> float:
        own, other = tables[child, columns], tables[parent, columns]
        rest = f"SELECT count(*) FROM (SELECT * FROM {own} EXCEPT SELECT * FROM {other})"
        missing: int = session.execute(rest).fetchone()[0]
        return 1 - missing / heights[own]

    return brute_force(lake, share, seed, load, join)


def brute_force(
    lake: Lake,
    share: float,
    seed: int,
    load: Callable[[Path, tuple[str, ...]], None],
    join: Callable[[Path, Path, tuple[str, ...]], float],
) -> tuple[Answers, float, float]:
    """Load all tables and join a share of the pairs; scale the time of joining to all pairs."""
    every = lake.pairs()
    columns = lake.columns()
    picked = random.Random(seed).sample(every, max(1, round(len(every) * share)))
    wall, cpu = time.perf_counter(), time.process_time()
    for path, own in sorted({(path, columns[child]) for child, p in every for path in (child, p)}):
        load(path, own)
    loaded = time.perf_counter() - wall, time.process_time() - cpu
    answers: Answers = {}
    wall, cpu = time.perf_counter(), time.process_time()
    for child, parent in picked:
        answers[child.name, parent.name] = join(child, parent, columns[child])
    scale = len(every) / len(picked)
    return (
        answers,
        loaded[0] + scale * (time.perf_counter() - wall),
        loaded[1] + scale * (time.process_time() - cpu),
    )


CONTENDERS = {"ours": ours, "polars": polars_joins, "duckdb": duckdb_joins}


def run_one(name: str, folder: Path, share: float, seed: int) -> None:
    """Time one contender in this process; print the figures, and last the answers."""
    with tempfile.TemporaryDirectory() as small:
        CONTENDERS[name](build_lake(Path(small), families=[(10, 1000)], size=8, seed=1), 1.0, 0)
    answers, wall, cpu = CONTENDERS[name](lake_of(folder), share, seed)
    told = [[*pair, fraction] for pair, fraction in answers.items()]
    print(json.dumps({"seconds": wall, "cpu_seconds": cpu, "answers": told}))


def in_process(name: str, folder: Path, share: float, seed: int) -> dict[str, object]:
    """Run a contender in a process of its own."""
    settings = ["--one", name, "--lake", str(folder), "--share", str(share), "--seed", str(seed)]
    environment = os.environ | {"POLARS_MAX_THREADS": str(WORKERS)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.containment_pairs", *settings],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    told["answers"] = {(child, parent): fraction for child, parent, fraction in told["answers"]}
    return told


def measure(size: int, rounds: int, peers: Sequence[str]) -> dict[str, object]:
    """Measure one lake; raise AssertionError if an answer differs."""
    runs: dict[str, list[Mapping[str, object]]] = {name: [] for name in ("ours", *peers)}
    checked = dict.fromkeys(peers, 0)
    with tempfile.TemporaryDirectory() as folder:
        lake = build_lake(Path(folder), families=LAKES[size], size=size, seed=size)
        facts = {
            "tables_to_a_schema": size,
            "tables": len(lake.tables),
            "rows": lake.rows,
            "bytes": lake.bytes,
            "pairs": len(lake.pairs()),
        }
        for seed in range(rounds):
            taking_part = [name for name in runs if name != "duckdb" or seed == 0]
            for name in taking_part:
                share = SHARES.get(name, {}).get(size, 1.0)
                runs[name].append(in_process(name, Path(folder), share, seed))
            own = runs["ours"][-1]["answers"]
            for name in taking_part[1:]:
                for pair, fraction in runs[name][-1]["answers"].items():
                    # pairs that the search leaves out share no row
                    if abs(own.get(pair, 0.0) - fraction) > 1e-12:
                        message = f"{pair}: {own.get(pair, 0.0)}, but {name} says {fraction}"
                        raise AssertionError(message)
                    checked[name] += 1
    return facts | {"rounds": rounds, "checked": checked} | figures(runs, size)


def figures(runs: Mapping[str, Sequence[Mapping[str, object]]], size: int) -> dict[str, object]:
    """Give medians, and by round the ratio of the faster peer to ours."""
    told: dict[str, object] = {"share_joined": {n: SHARES[n][size] for n in runs if n in SHARES}}
    for what in ("seconds", "cpu_seconds"):
        taken = {name: [float(one[what]) for one in own] for name, own in runs.items()}
        told[what] = {name: round(statistics.median(own), 3) for name, own in taken.items()}
        peers = [own for name, own in taken.items() if name != "ours"]
        faster = [min(row) for row in itertools.zip_longest(*peers, fillvalue=math.inf)]
        ratios = sorted(peer / own for peer, own in zip(faster, taken["ours"], strict=True))
        name = what.replace("seconds", "ratio")
        told[name if name != "ratio" else "wall_ratio"] = {
            "median": round(statistics.median(ratios), 1),
            "least": round(ratios[0], 1),
            "most": round(ratios[-1], 1),
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 32, 128], choices=LAKES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--share", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.lake, arguments.share, arguments.seed)
        return
    peers = ["polars"] + (["duckdb"] if importlib.util.find_spec("duckdb") else [])
    told = {"machine": machine("polars", *peers[1:]), "results": []}
    print(told["machine"])
    for size in arguments.sizes:
        told["results"].append(measure(size, arguments.rounds, peers))
        print(json.dumps(told["results"][-1]))
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
