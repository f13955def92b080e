"""Exact containment of all pairs of a family, against a null-safe anti-join in polars.

Tables of one schema (integers, floats, dates, strings, 3 % nulls) are written as Parquet; both
sides read them. The join side loads and de-duplicates each table once. Where it would take too long
it runs on a random share of the pairs, and its time is scaled. Rounds are interleaved; medians are
reported.

    python -m benchmarks.containment_pairs [--families 8 32 128] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assets.containment.content import contained_rows, hash_projections

RESULTS = Path(__file__).parent / "results" / "containment_pairs.json"


def build(folder: Path, family: int, rows: int, seed: int) -> list[Path]:
    """Write a family: a base table, and tables that hold rows of it and rows of their own."""
    rng = np.random.default_rng(seed)
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(1000)]
    base_rows = rows * 3
    columns = {
        "id": rng.permutation(base_rows),
        "amount": rng.random(base_rows).round(4),
        "day": [days[i] for i in rng.integers(0, 1000, base_rows)],
        "city": rng.integers(0, 200, base_rows).astype(str),
        "code": rng.integers(0, 2**40, base_rows).astype(str),
        "count": rng.integers(0, 50, base_rows),
        "rate": rng.normal(size=base_rows),
        "flag": rng.random(base_rows) < 0.5,
    }
    base = pa.table(
        {name: pa.array(own, mask=rng.random(base_rows) < 0.03) for name, own in columns.items()}
    )
    paths = []
    for i in range(family):
        size = int(rows * 10 ** rng.uniform(-1, 0))
        take = rng.integers(0, base_rows * (i % 4 + 1) // 4, size)
        paths.append(folder / f"{i:04}.parquet")
        pq.write_table(base.take(pa.array(take)), paths[-1])
    return paths


def ours(paths: list[Path], workers: int) -> dict[tuple[str, str], float]:
    hashes = {}
    for path in paths:
        file = pq.ParquetFile(path, read_dictionary=["city"])
        hashes[path.name] = hash_projections(
            file.iter_batches(65_536), [file.schema_arrow.names], "value"
        )[0]
    pairs = [(a, b) for a in hashes for b in hashes if a != b]
    counted = contained_rows(hashes, pairs, workers=workers)
    return {(c, p): f for c, p, f in counted["child", "parent", "containment"].iter_rows()}


def joins(
    paths: list[Path], share: float, seed: int
) -> tuple[dict[tuple[str, str], float], float, float]:
    """Join a share of the pairs; return fractions, and wall and CPU seconds for all pairs.

    Only the time of the joins is scaled to all pairs, not that of loading.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    frames = {path.name: pl.read_parquet(path).unique() for path in paths}
    loaded = time.perf_counter() - wall, time.process_time() - cpu
    names = frames[paths[0].name].columns
    every = [(a, b) for a in frames for b in frames if a != b]
    pairs = random.Random(seed).sample(every, max(1, int(len(every) * share)))
    found = {}
    wall, cpu = time.perf_counter(), time.process_time()
    for child, parent in pairs:
        missing = frames[child].join(frames[parent], on=names, how="anti", nulls_equal=True)
        found[child, parent] = 1 - missing.height / frames[child].height
    factor = len(every) / len(pairs)
    return (
        found,
        loaded[0] + factor * (time.perf_counter() - wall),
        loaded[1] + factor * (time.process_time() - cpu),
    )


def measure(family: int, rows: int, share: float, rounds: int, workers: int) -> dict[str, object]:
    walls: dict[str, list[float]] = {"ours": [], "polars": []}
    cpus: dict[str, list[float]] = {"ours": [], "polars": []}
    checked = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = build(Path(folder), family, rows, family)
        ours(paths, workers)  # compile, and fill the page cache
        for round_ in range(rounds):
            start, cpu = time.perf_counter(), time.process_time()
            found = ours(paths, workers)
            walls["ours"].append(time.perf_counter() - start)
            cpus["ours"].append(time.process_time() - cpu)
            expected, wall, busy = joins(paths, share, round_)
            walls["polars"].append(wall)
            cpus["polars"].append(busy)
            for pair, fraction in expected.items():
                if abs(found[pair] - fraction) > 1e-12:
                    raise AssertionError(f"{pair}: {found[pair]} is not {fraction}")
                checked += 1
    ratios = [b / a for a, b in zip(walls["ours"], walls["polars"], strict=True)]
    return {
        "family": family,
        "pairs": family * (family - 1),
        "share_of_pairs_joined": share,
        "pairs_checked_equal": checked,
        "ours_seconds": statistics.median(walls["ours"]),
        "polars_seconds": statistics.median(walls["polars"]),
        "ours_cpu_seconds": statistics.median(cpus["ours"]),
        "polars_cpu_seconds": statistics.median(cpus["polars"]),
        "ratio_median": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=40_000)
    arguments = parser.parse_args()
    workers = min(2, os.cpu_count() or 1)
    shares = {8: 1.0, 32: 0.5, 128: 0.05}
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    machine |= {"python": platform.python_version(), "polars": pl.__version__}
    print(machine)
    results = []
    for family in arguments.families:
        share = shares.get(family, min(1.0, 800 / family**2))
        # families of few tables hold large ones
        rows = arguments.rows * max(1, 32 // family) * 2
        results.append(measure(family, rows, share, arguments.rounds, workers))
        print(json.dumps(results[-1]))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
