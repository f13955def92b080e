"""One measurement of our own in a process of its own; see `../near_duplicates.py`.

python benchmarks/near/work.py WHAT CORPUS.parquet [BANDS]
"""

from __future__ import annotations

import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
THRESHOLD = 0.7
SPREAD = np.uint64(0x9E3779B97F4A7C15)
TINY = pl.DataFrame({"text": ["a b c d e f g h i j k l m n o", "a b c d e f g h i j k l m n"]})


class Clock:
    """Wall and CPU seconds of what lies between two calls of `lap`."""

    def __init__(self) -> None:
        self.laps: dict[str, dict[str, float]] = {}
        self._last = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """End the stretch that began with the last call, under this name."""
        now = time.perf_counter(), time.process_time()
        lap = self.laps.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
        lap["wall_seconds"] += now[0] - self._last[0]
        lap["cpu_seconds"] += now[1] - self._last[1]
        self._last = now


def peak_megabytes() -> float:
    """Return the highest memory of this process so far in units of 10**6 bytes, without what a parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def timed(job: Callable[[], Any]) -> dict[str, Any]:
    """Run a job and say what it took, and the highest memory of this process until then."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = job() or {}
    took = {"wall_seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
    return {**took, **found, "peak_megabytes": peak_megabytes()}


def batches(corpus: Path) -> Iterator[tuple[Any, Any]]:
    """Yield keys (a bijective mix of the row's number) and texts."""
    with pq.ParquetFile(corpus, pre_buffer=False) as file:
        first = 0
        for batch in file.iter_batches(1024, columns=["text"], use_threads=False):
            number = np.arange(first, first + len(batch), dtype=np.uint64)
            yield np.stack([number * SPREAD, number], axis=1), batch.column(0)
            first += len(batch)


def search(
    corpus: Path, bands: tuple[int, int] | None, **settings: Any
) -> tuple[pl.DataFrame, Any, dict[str, Any]]:
    """Find star clusters of near duplicates; return them, what was found, and each stage's time."""
    from assets.deduplication.clusters import star_clusters
    from assets.deduplication.near import NearDuplicates

    clock = Clock()
    near = NearDuplicates(THRESHOLD, "word:5", bands, workers=2, **settings)
    for keys, texts in batches(corpus):
        near.add(texts, keys)
    near._finish_first_pass()
    clock.lap("signatures")
    found = near.collapsed(lambda: batches(corpus), on_stage=clock.lap)
    stars = star_clusters(found.pairs, found.keys().to_frame(), found.twins)
    clock.lap("clusters")
    about = {
        "stages": clock.laps,
        "candidates": found.candidates,
        "pairs": found.pairs.height,
        "clustered": stars.height,
        "large_buckets": found.large_buckets,
    }
    return stars, found, about


def warm(bands: tuple[int, int] | None) -> None:
    """Load all that a first search loads."""
    with tempfile.TemporaryDirectory() as folder:
        TINY.write_parquet(Path(folder) / "tiny.parquet")
        search(Path(folder) / "tiny.parquet", bands)


def work(corpus: Path, bands: tuple[int, int] | None, **settings: Any) -> dict[str, Any]:
    """Search once, everything loaded before."""
    warm(bands)
    return timed(lambda: search(corpus, bands, **settings)[2])


def scan(corpus: Path) -> dict[str, Any]:
    """Read the text column once, streaming, and add its lengths up; the engine has run before."""
    total = pl.col("text").str.len_bytes().sum()
    TINY.lazy().select(total).collect(engine="streaming")

    def job() -> None:
        pl.scan_parquet(corpus).select(total).collect(engine="streaming")

    return timed(job)


def write(corpus: Path, dropped: pl.DataFrame | None, folder: str) -> None:
    """Write the texts that are not dropped to a Delta table, a batch at a time."""
    import deltalake

    gone = pl.DataFrame(schema={"key": pl.String}) if dropped is None else dropped
    rows = np.sort([int(key[16:], 16) for key in gone["key"]]).astype(np.int64)
    schema = pa.schema([("text", pa.string())])

    def kept() -> Iterator[pa.RecordBatch]:
        for keys, texts in batches(corpus):
            numbers = keys[:, 1].astype(np.int64)
            inside = np.isin(
                numbers, rows[slice(*np.searchsorted(rows, numbers[[0, -1]] + [0, 1]))]
            )
            yield pa.record_batch([texts.filter(pa.array(~inside))], schema=schema)

    deltalake.write_deltalake(folder, pa.RecordBatchReader.from_batches(schema, kept()))


def written(corpus: Path) -> dict[str, Any]:
    """Search, and write what is kept."""
    warm((14, 8))

    def job() -> dict[str, Any]:
        stars, _, about = search(corpus, (14, 8))
        with tempfile.TemporaryDirectory() as folder:
            write(corpus, stars.filter(pl.col("key") != pl.col("keeper")), folder)
        return about

    return timed(job)


def delta(corpus: Path) -> dict[str, Any]:
    """Write all texts."""
    with tempfile.TemporaryDirectory() as folder:
        return timed(lambda: write(corpus, None, folder))


def recall(corpus: Path, bands: tuple[int, int] | None) -> dict[str, Any]:
    """Compare with all pairs within planted families, by plain Python sets; distinct sets only."""
    from assets.deduplication.minhash import choose_bands, collision_probability
    from assets.deduplication.shingles import shingle_texts

    _, found, _ = search(corpus, bands)
    got = {(int(a[16:], 16), int(b[16:], 16)): s for a, b, s in found.pairs.iter_rows()}
    frame = pl.read_parquet(corpus).with_row_index("row")
    truth: dict[tuple[int, int], float] = {}
    for (_,), family in frame.group_by("family"):
        if family.height < 2:
            continue
        sets: dict[frozenset[str], int] = {}
        for row, text in family.select("row", "text").iter_rows():
            key = frozenset(shingle_texts(text, "word:5"))
            sets[key] = min(row, sets.get(key, row))
        every = list(sets.items())
        for place, (one, a) in enumerate(every):
            for two, b in every[:place]:
                similarity = len(one & two) / len(one | two)
                if similarity >= THRESHOLD:
                    truth[a, b] = similarity
    by_sets = {frozenset(pair): s for pair, s in truth.items()}
    # a set's representative is the text with the smallest key, which need not be its first row
    lead = dict(zip(found.twins["key"], found.twins["representative"], strict=True))

    def representative(row: int) -> int:
        key = f"{row * int(SPREAD) % 2**64:016x}{row:016x}"
        return int(lead.get(key, key)[16:], 16)

    wanted = {frozenset(representative(row) for row in pair): s for pair, s in by_sets.items()}
    have = {frozenset(pair): s for pair, s in got.items()}
    number, rows = bands or choose_bands(THRESHOLD)
    chances = np.array([collision_probability(s, number, rows) for s in wanted.values()])
    hits = np.array([pair in have for pair in wanted])
    expected, spread = float(chances.sum()), math.sqrt(float((chances * (1 - chances)).sum()))
    high = np.array([s >= 0.8 for s in wanted.values()])
    return {
        "pairs": len(wanted),
        "found": int(hits.sum()),
        "expected": expected,
        "deviations": (int(hits.sum()) - expected) / max(spread, 1e-9),
        "recall": float(hits.mean()),
        "recall_from_0.8": float(hits[high].mean()),
        "not_in_a_family": sum(pair not in wanted for pair in have),
        "largest_error": max(
            (abs(s - wanted[pair]) for pair, s in have.items() if pair in wanted), default=0.0
        ),
    }


def real(lake: Path) -> dict[str, Any]:
    """Search the four files of `instructions/toolformer`, and scan the same texts."""
    names = ["instruction", "input", "response"]
    frames = [
        pl.read_ndjson(file).select(pl.concat_str(names, separator="\n", ignore_nulls=True))
        for file in sorted((lake / "instructions" / "toolformer").glob("*.jsonl"))
    ]
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "real.parquet"
        pl.concat(frames).rename({"instruction": "text"}).write_parquet(corpus)
        text = float(
            pl.scan_parquet(corpus).select(pl.col("text").str.len_bytes().sum()).collect().item()
        )
        return {"megabytes": text / 1e6, "scan": scan(corpus), "work": work(corpus, (14, 8))}


def main() -> None:
    """Measure one thing and print a line of JSON."""
    what, corpus = sys.argv[1], Path(sys.argv[2])
    asked = sys.argv[3] if len(sys.argv) > 3 else "14x8"
    rows = None if asked == "default" else (int(asked.split("x")[0]), int(asked.split("x")[1]))
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "scan": lambda: scan(corpus),
        "scan after": lambda: scan(corpus),
        "work": lambda: work(corpus, rows),
        "default bands": lambda: work(corpus, None),
        "texts read twice": lambda: work(corpus, rows, set_bytes=0),
        "delta": lambda: delta(corpus),
        "written": lambda: written(corpus),
        "recall": lambda: recall(corpus, rows),
        "real": lambda: real(corpus),
    }
    print(json.dumps(jobs[what]()))


if __name__ == "__main__":
    main()
