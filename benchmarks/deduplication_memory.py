"""Resident memory of the deduplication stage in a run whose recipe bounds it: one command, a process a corpus.

`python -m benchmarks.deduplication_memory [--megabytes 1000] [--memory 512MB] [--spans]` makes a seeded corpus of
Zipf words with planted twins, runs ingestion and containment, and then the stage of deduplication in a process of its
own, twice: under the stated bound and without one. It prints the resident memory before the stage (interpreter and
libraries), the highest during each of its steps, and whether both runs gave the same fates. With `--spans` nothing is
written to the results.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.near.corpora import planted

RESULT = Path(__file__).parent / "results" / "deduplication_memory.json"
BYTES_A_TEXT = 1060


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--stage", nargs=3, metavar=("FOLDER", "MEMORY", "NAME"))
    told = parser.parse_args()
    if told.stage is not None:
        folder, memory, name = told.stage
        stage(Path(folder), memory, name, spans=told.spans)
        return
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        (folder / "lake").mkdir()
        planted(folder / "lake" / "texts.parquet", told.megabytes * 10**6 // BYTES_A_TEXT)
        runs = {
            bound: run(folder, memory, bound, spans=told.spans)
            for bound, memory in (("bounded", told.memory), ("free", "16GB"))
        }
    same = runs["bounded"]["answer"] == runs["free"]["answer"]
    result = {
        "machine": machine("polars", "deltalake"),
        "megabytes_of_text": told.megabytes,
        "memory": told.memory,
        "spans": told.spans,
        "same_answer": same,
        "runs": runs,
    }
    print(json.dumps(result, indent=2))
    if not same:
        sys.exit("the bound changed the answer")
    if not told.spans:
        RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def run(folder: Path, memory: str, name: str, *, spans: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.deduplication_memory"]
    command += ["--stage", str(folder), memory, name, *(["--spans"] if spans else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def resident() -> int:
    """Return the resident bytes of this process that belong to no file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


class Watch:
    """Sample the resident memory, by what the stage reports that it does."""

    def __init__(self) -> None:
        self.step, self.peaks, self.last = "opening", {"opening": 0}, time.monotonic()
        self.seconds = {"opening": 0.0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def report(self, stage: str, message: str, done: int | None, total: int | None) -> None:
        if message != self.step:
            now = time.monotonic()
            self.seconds[self.step] += now - self.last
            self.step, self.last = message, now
            self.peaks.setdefault(message, 0)
            self.seconds.setdefault(message, 0.0)

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peaks[self.step] = max(self.peaks[self.step], resident())

    def end(self) -> None:
        self.report("", "end", None, None)
        self._stop.set()
        self._thread.join()


def stage(folder: Path, memory: str, name: str, *, spans: bool) -> None:
    import assets.deduplication.near
    import assets.deduplication.shingle_kernels  # noqa: F401
    from assets.containment import definitions as containment
    from assets.deduplication import definitions as deduplication
    from assets.ingestion import definitions as ingestion
    from orchestration.stages import SPECS
    from resources.recipe_file import parse_recipe
    from resources.run import Run

    recipe = parse_recipe(
        {
            "lake": str(folder / "lake"),
            "output": str(folder / name),
            "records": [{"tables": "*", "text": "text"}],
            "deduplication": {
                "similarity": 0.7,
                **({"spans": {"tokens": 50, "remove": True}} if spans else {}),
            },
            "limits": {"memory": memory, "workers": 2},
        },
        base=folder,
    )
    with Run(recipe, specs=SPECS) as first:
        for spec, compute in (
            (ingestion.SPEC, ingestion.compute),
            (containment.SPEC, containment.compute),
        ):
            before = first.stage(spec)
            compute(first, before)
            before.commit()
        base = resident()
        watch = Watch()
        first.report = watch.report
        made = first.stage(deduplication.SPEC)
        began, cpu = time.monotonic(), time.process_time()
        facts = deduplication.compute(first, made)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        watch.end()
        fates = made.staged("deduplication/fates").collect().sort("record_id")
        answer = hashlib.sha256(fates.write_csv().encode()).hexdigest()
    told = {
        "base_mb": round(base / 1e6),
        "peak_mb": round(max(watch.peaks.values()) / 1e6),
        "peak_with_files_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        ),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "steps": {
            step: {"peak_mb": round(peak / 1e6), "seconds": round(watch.seconds[step], 1)}
            for step, peak in watch.peaks.items()
        },
        "records": fates.height,
        "facts": {table: dict(some) for table, some in facts.items()},
        "answer": answer,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
