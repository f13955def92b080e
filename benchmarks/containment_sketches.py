"""All pairs of a family on the same row hashes: exact counts against sketches, time and error.

    python -m benchmarks.containment_sketches [--tables 64] [--rounds 5]

The row hashes of every table are in memory; what follows is timed. Ours counts all pairs exactly. KMV keeps the 1,024
least distinct hashes of both sides and estimates from those below the lesser bound. MinHashLSHEnsemble of `datasketch`
(128 permutations) names the parents that may hold a share of 0.9. The errors are against ours, which
`containment_pairs` checks against polars and DuckDB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSHEnsemble

from assets.containment.content import contained_rows, hash_projections
from benchmarks.containment_lake import build_lake
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "containment_sketches.json"
K = 1024
THRESHOLD = 0.9
PERMUTATIONS = 128

Hashes = npt.NDArray[np.uint64]
Answers = dict[tuple[str, str], float]


def exact(tables: dict[str, Hashes]) -> Answers:
    pairs = [(child, parent) for child in tables for parent in tables if child != parent]
    counted = contained_rows(tables, pairs, workers=2)
    return {(c, p): f for c, p, f in counted["child", "parent", "containment"].iter_rows()}


def kmv(tables: dict[str, Hashes]) -> Answers:
    least = {name: np.unique(own)[:K] for name, own in tables.items()}
    limit = {n: own[-1] if own.size == K else np.uint64(2**64 - 1) for n, own in least.items()}
    found = {}
    for child, own in least.items():
        for parent, other in least.items():
            if child != parent:
                kept = own[own <= min(limit[child], limit[parent])]
                shared = np.intersect1d(kept, other, assume_unique=True).size
                found[child, parent] = shared / kept.size if kept.size else 0.0
    return found


def ensemble(tables: dict[str, Hashes]) -> Answers:
    sketches = {}
    for name, own in tables.items():
        distinct = np.unique(own)
        sketch = MinHash(PERMUTATIONS, hashfunc=lambda value: int(value) & 0xFFFFFFFF)
        sketch.update_batch(distinct.tolist())
        sketches[name] = sketch, distinct.size
    index = MinHashLSHEnsemble(THRESHOLD, PERMUTATIONS, num_part=8)
    index.index((name, sketch, size) for name, (sketch, size) in sketches.items())
    return {
        (child, parent): 1.0
        for child, (sketch, size) in sketches.items()
        for parent in index.query(sketch, size)
        if parent != child
    }


def errors(found: Answers, truth: Answers) -> dict[str, float]:
    """Score the pairs named at the threshold, and the fractions where there are any."""
    wanted = {pair for pair, fraction in truth.items() if fraction >= THRESHOLD}
    named = {pair for pair, fraction in found.items() if fraction >= THRESHOLD}
    both = len(wanted & named)
    return {
        "recall": round(both / len(wanted), 4),
        "precision": round(both / max(len(named), 1), 4),
        "largest_error": round(max(abs(found.get(p, 0.0) - f) for p, f in truth.items()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = build_lake(Path(folder), families=[(100, 10**5)], size=arguments.tables, seed=3)
        columns = lake.columns()
        widest = max(columns.values(), key=len)
        tables = {
            path.name: hash_projections(
                pq.ParquetFile(path).iter_batches(65_536), [widest], "value"
            )[0]
            for path in lake.tables
            if columns[path] == widest
        }
    contenders = {"exact": exact, "kmv": kmv, "lsh_ensemble": ensemble}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    answers: dict[str, Answers] = {}
    exact(tables)  # loads compiled code
    for _ in range(arguments.rounds):
        for name, contender in contenders.items():
            if name == "lsh_ensemble" and taken[name]:
                continue  # seconds of Python; once is enough
            wall, cpu = time.perf_counter(), time.process_time()
            answers[name] = contender(tables)
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    told = {
        "machine": machine("datasketch"),
        "tables": len(tables),
        "rows": sum(own.size for own in tables.values()),
        "pairs": len(answers["exact"]),
        "results": {
            name: {
                "rounds": len(own),
                "seconds": round(statistics.median(wall for wall, _ in own), 3),
                "cpu_seconds": round(statistics.median(cpu for _, cpu in own), 3),
                **errors(answers[name], answers["exact"]),
            }
            for name, own in taken.items()
        },
    }
    print(json.dumps(told, indent=1))
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
