"""Parts of the search for near duplicates, measured apart; run by `../near_duplicates.py`.

python benchmarks/near/parts.py WHAT CORPUS.parquet
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent))
from work import Clock, batches, timed, warm

COMMAND = """
import sys, time
begin = time.perf_counter()
sys.argv = ["sluice", "duplicates", *sys.argv[1:]]
from orchestration.cli import main
def call():
    start = time.perf_counter()
    main(standalone_mode=False)
    return time.perf_counter() - start
imported = time.perf_counter() - begin
first, used = call(), time.process_time()
second = call()
print("SECONDS", imported, first, second, time.process_time() - used)
"""


def profile(corpus: Path) -> dict[str, Any]:
    """Go through the first pass in one thread, by part; `minima` is what 112 functions take more than one."""
    from assets.deduplication.first_pass import distinct_sets
    from assets.deduplication.kept_sets import KeptSets
    from assets.deduplication.keys import parse_keys
    from assets.deduplication.minhash import band_keys, permutations, sketch_texts
    from assets.deduplication.shingles import parse_shingle
    from assets.deduplication.text_spans import text_spans

    warm((14, 8))
    rule, one, all_of_them = parse_shingle("word:5"), permutations(1), permutations(112)
    room, kept, clock = np.empty(1 << 19, np.uint64), KeptSets(None, 4 << 30), Clock()
    for keys, texts in batches(corpus):
        clock.lap("decoding Parquet")
        spans = text_spans(texts)
        parse_keys(keys)
        for cut in spans.slices():
            part = spans.take(cut)
            clock.lap("cutting into slices")
            sketch_texts(part, rule, one)
            clock.lap("tokens, windows, sets")
            done = sketch_texts(part, rule, all_of_them, sets=room)
            clock.lap("the same with minima, and sets copied")
            rows = distinct_sets(done.digests, done.sizes)[0]
            clock.lap("equal sets of a slice")
            flat = done.sets_of(rows)
            if flat is not None:
                kept.add(flat)
            clock.lap("sets written")
            band_keys(done.signatures[rows], 14, 8)
            clock.lap("band keys")
    laps = {name: lap["cpu_seconds"] for name, lap in clock.laps.items()}
    both = laps.pop("the same with minima, and sets copied")
    laps["minima, sets copied"] = both - laps["tokens, windows, sets"]
    return {"cpu_seconds_by_part": laps, "cpu_seconds": sum(laps.values())}


def spans(corpus: Path) -> dict[str, Any]:
    """Find repeated spans of 50 tokens or more."""
    from assets.deduplication.file_spans import spans_of_files
    from assets.deduplication.file_texts import FileTexts
    from assets.deduplication.files import file_source

    def find(file: Path) -> dict[str, Any]:
        found = spans_of_files(FileTexts(file_source(file), "text"), 50)
        return {"spans": found.spans.height}

    return _after_tiny(corpus, find)


def index(corpus: Path) -> dict[str, Any]:
    """Write an index of all texts, and ask it for a hundredth of them."""
    from assets.deduplication.file_texts import FileTexts
    from assets.deduplication.files import file_source
    from assets.deduplication.index import IndexReader, write_index
    from assets.deduplication.index_query import query_index
    from assets.deduplication.scheme import Scheme

    def write_and_ask(file: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as name:
            folder, some, clock = Path(name) / "index", Path(name) / "some.parquet", Clock()
            frame = pl.read_parquet(file, columns=["text"])
            frame.gather_every(100).write_parquet(some)
            asked = len(frame.gather_every(100))
            del frame
            clock.lap("the question made")
            write_index(
                folder, FileTexts(file_source(file), "text"), Scheme("word:5", "none", 112, 1)
            )
            clock.lap("index written")
            texts = FileTexts(file_source(some), "text")
            found = query_index(IndexReader(folder), texts, similarity=0.7)
            clock.lap("index asked")
            there = found.answers["match"].is_not_null().sum()
        return {"stages": clock.laps, "asked": asked, "already_there": int(there)}

    return _after_tiny(corpus, write_and_ask)


def command(corpus: Path) -> dict[str, Any]:
    """Do what `sluice duplicates` does, everything loaded before."""
    from assets.deduplication.files import duplicates_of_files, file_source

    def search(file: Path) -> dict[str, Any]:
        found = duplicates_of_files(file_source(file), "text", 0.8)
        return {"records": found.records, "clustered": found.clusters.height}

    return _after_tiny(corpus, search)


def _after_tiny(corpus: Path, job: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        tiny = Path(name) / "tiny.parquet"
        pl.read_parquet(corpus, columns=["text"], n_rows=200).write_parquet(tiny)
        job(tiny)
    return timed(lambda: job(corpus))


def cold(corpus: Path, rounds: int = 9) -> dict[str, Any]:
    """Run `sluice duplicates` on 100 texts in fresh processes, and once with no compiled code at all.

    `more_than_work`: the whole process without what a second call in it takes.
    """
    with tempfile.TemporaryDirectory() as name:
        tiny, out = Path(name) / "tiny.parquet", Path(name) / "clusters.parquet"
        pl.read_parquet(corpus, columns=["text"], n_rows=100).write_parquet(tiny)
        root = str(Path(__file__).resolve().parents[2])

        def process(**more: str) -> dict[str, float]:
            arguments = [str(tiny), "--text", "text", "--similarity", "0.8", "--out", str(out)]
            begin, used = time.perf_counter(), _children()
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, *arguments, "--json"],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": root, **more},
            )
            whole, cpu = time.perf_counter() - begin, _children() - used
            told = next(line for line in done.stdout.splitlines() if line.startswith("SECONDS"))
            imported, first, second, second_cpu = map(float, told.split()[1:])
            return {
                "command_imported": imported,
                "first_call": first,
                "second_call": second,
                "more_than_work": whole - 2 * second,
                "more_than_work_cpu": cpu - 2 * second_cpu,
            }

        process()
        runs = [process() for _ in range(rounds)]
        compiled = process(NUMBA_CACHE_DIR=str(Path(name) / "numba"))
    found = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {
        "seconds": found,
        "more_than_work_of_each": sorted(run["more_than_work"] for run in runs),
        "with_no_compiled_code": {
            clock: compiled[clock] for clock in ("more_than_work", "more_than_work_cpu")
        },
    }


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure one thing and print a line of JSON."""
    jobs: dict[str, Callable[[Path], dict[str, Any]]] = {
        "profile": profile,
        "spans": spans,
        "index": index,
        "command": command,
        "cold": cold,
    }
    print(json.dumps(jobs[sys.argv[1]](Path(sys.argv[2]))))


if __name__ == "__main__":
    main()
