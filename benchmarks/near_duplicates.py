"""Near duplicates from Parquet to verified clusters, against a plain scan of the same column.

    python benchmarks/near_duplicates.py [--documents 200000] [--rounds 5] [--bands 14x8]

The corpus is generated from a seed: Zipf words, a mean of 170 a document, planted near duplicates
at Jaccard 0.5 to 0.95 and exact copies. Each round runs the scan and the work in processes of
their own, one after the other, so that a busy machine slows both. Writes
benchmarks/results/near_duplicates.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def generate(path: Path, documents: int, seed: int = 0) -> None:
    """Write `documents` texts with keys to a Parquet file."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(
        ["".join(draw.choice(letters, n)) for n in draw.integers(2, 11, 50_000)], dtype=object
    )
    writer, held = None, []
    count = 0
    while count < documents:
        texts = []
        for _ in range(min(5000, documents - count)):
            kind = draw.random()
            if held and kind < 0.12:
                tokens = held[draw.integers(len(held))].copy()
                # an edit breaks five shingles; this many edits give Jaccard 0.5 to 0.95
                wanted = draw.uniform(0.5, 0.95)
                edits = max(1, int(len(tokens) * (1 - wanted) / (1 + wanted) / 5))
                tokens[draw.integers(0, len(tokens), edits)] = words[
                    draw.integers(0, 50_000, edits)
                ]
            elif held and kind < 0.17:
                tokens = held[draw.integers(len(held))]
            else:
                length = int(np.clip(draw.lognormal(4.9, 0.7), 5, 5000))
                tokens = words[np.minimum(draw.zipf(1.25, length), 50_000) - 1]
                if len(held) < 20_000:
                    held.append(tokens)
            texts.append(" ".join(tokens))
        keys = [f"{draw.integers(2**63):016x}{count + i:016x}" for i in range(len(texts))]
        table = pa.table({"key": keys, "text": texts})
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        count += len(texts)
    if writer is not None:
        writer.close()


def scan(path: Path) -> dict[str, float]:
    """Read the text column once, streaming, and add its lengths up."""
    begin, cpu = time.perf_counter(), time.process_time()
    pl.scan_parquet(path).select(pl.col("text").str.len_bytes().sum()).collect(engine="streaming")
    return {"wall_seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}


def work(path: Path, bands: tuple[int, int] | None) -> dict[str, float]:
    """Find near duplicates and star clusters; time the parts, and the cold start beside them."""
    begin = time.perf_counter()
    from assets.deduplication.clusters import star_clusters
    from assets.deduplication.near import NearDuplicates

    # two texts load everything: imports, tables, and compiled code from the cache
    small = NearDuplicates(0.7, "word:5", bands)
    ids, two = (
        ["0" * 32, "1" * 32],
        ["a b c d e f g h i j k l m n o", "a b c d e f g h i j k l m n"],
    )
    small.add(two, ids)
    start_pairs = small.pairs(lambda: iter([(ids, two)]))
    star_clusters(start_pairs, pl.DataFrame({"key": ids}))
    start = time.perf_counter() - begin

    file = pq.ParquetFile(path)

    def batches():
        for batch in file.iter_batches(4096, columns=["key", "text"]):
            yield batch.column(0), batch.column(1)

    begin, cpu = time.perf_counter(), time.process_time()
    near = NearDuplicates(0.7, "word:5", bands)
    for keys, texts in batches():
        near.add(texts, keys)
    near._finish_first_pass()
    first = time.perf_counter() - begin
    found = near.collapsed(batches)
    second = time.perf_counter() - begin - first
    keys = pl.concat([found.pairs["left"], found.pairs["right"], found.twins["key"]]).unique()
    stars = star_clusters(found.pairs, keys.to_frame("key"), found.twins)
    total = time.perf_counter() - begin
    return {
        "wall_seconds": total,
        "cold_start_seconds": start,
        "cpu_seconds": time.process_time() - cpu,
        "first_pass_seconds": first,
        "pairs_and_verification_seconds": second,
        "clusters_seconds": total - first - second,
        "candidates": found.candidates,
        "pairs": found.pairs.height,
        "clustered": stars.height,
        "large_buckets": found.large_buckets,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run the rounds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bands", default="14x8")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--only", choices=["scan", "work"])
    options = parser.parse_args()
    bands = tuple(int(n) for n in options.bands.split("x")) if options.bands != "default" else None
    if options.only is not None:
        result = scan(options.corpus) if options.only == "scan" else work(options.corpus, bands)
        print(json.dumps(result))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or Path(folder) / "corpus.parquet"
        if not corpus.exists():
            generate(corpus, options.documents)
        size = pl.scan_parquet(corpus).select(pl.col("text").str.len_bytes().sum()).collect().item()
        rounds = []
        for _ in range(options.rounds + 1):  # the first warms the file cache and the compiled code
            row = {}
            for what in ("scan", "work"):
                command = [sys.executable, __file__, "--only", what, "--corpus", str(corpus)]
                done = subprocess.run(
                    [*command, "--bands", options.bands], capture_output=True, text=True, check=True
                )
                row[what] = json.loads(done.stdout)
            rounds.append(row)
        rounds = rounds[1:]
    share = [r["scan"]["wall_seconds"] / r["work"]["wall_seconds"] for r in rounds]
    cpu_share = [r["scan"]["cpu_seconds"] / r["work"]["cpu_seconds"] for r in rounds]
    wall = statistics.median(r["work"]["wall_seconds"] for r in rounds)
    result = {
        "corpus_megabytes": size / 1e6,
        "bands": options.bands,
        "cores": os.cpu_count(),
        "share_of_scan_wall": sorted(share),
        "share_of_scan_cpu": sorted(cpu_share),
        "megabytes_per_second": size / 1e6 / wall,
        "rounds": rounds,
    }
    out = HERE / "results" / "near_duplicates.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "rounds"}, indent=1))
    print(json.dumps(rounds[-1], indent=1))


if __name__ == "__main__":
    main()
