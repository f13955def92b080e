"""Run contenders of `near_duplicates.py`, each in a process of its own, and put their rounds into a table."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

HERE = Path(__file__).resolve().parent
TEXTS = {
    "xxh3": 1.0,
    "daft": 1.0,
    "rensa": 1.0,
    "datatrove": 0.2,
    "datasketch": 0.05,
    "text-dedup": 0.05,
}
CLOCKS = ("wall", "cpu")


def size_of(corpus: Path) -> float:
    """Return the bytes of the text column, in megabytes."""
    scanned = pl.scan_parquet(corpus).select(pl.col("text").str.len_bytes().sum())
    return float(scanned.collect().item()) / 1e6


def share_of(corpus: Path, share: float, folder: Path) -> Path:
    """Return a corpus of the first `share` of the texts."""
    if share >= 1.0:
        return corpus
    part = folder / f"share-{share}.parquet"
    if not part.exists():
        frame = pl.read_parquet(corpus)
        frame.head(round(frame.height * share)).write_parquet(part, row_group_size=2000)
    return part


def run(command: list[str], seconds: float = 900) -> dict[str, Any]:
    """Run one contender in a process of its own and read the line of JSON that it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"missing": (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def own(what: str, corpus: Path, *more: str, script: str = "work.py") -> dict[str, Any]:
    """Run one of our own measurements."""
    found = run([sys.executable, str(HERE / script), what, str(corpus), *more])
    if "missing" in found:
        message = f"{what} on {corpus} failed: {found['missing']}"
        raise RuntimeError(message)
    return found


def peer(
    python: str, tool: str, corpus: Path, folder: Path, share: float | None = None
) -> dict[str, Any]:
    """Run another tool on its share of the corpus and scale its seconds to the whole."""
    share = TEXTS[tool] if share is None else share
    part = share_of(corpus, share, folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        found = run([python, str(HERE / "peers.py"), tool, str(part), scratch])
    if "missing" not in found and share < 1.0:
        scale = size_of(corpus) / size_of(part)
        found["of_texts"] = share
        for clock in CLOCKS:
            found[f"{clock}_seconds"] *= scale
    return found


def rounds_of(
    corpus: Path, folder: Path, count: int, ours: Sequence[str], tools: Sequence[str], python: str
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run contenders `count` times, one after the other in each round.

    Our own run once before that, which warms caches. Returns the rounds, and which tools are missing and why.
    """
    for what in ours:
        own(what, corpus)
    absent: dict[str, str] = {}
    made = []
    for number in range(count):
        row: dict[str, Any] = {what: own(what, corpus) for what in ours}
        for tool in tools:
            if tool in absent:
                continue
            found = peer(python, tool, corpus, folder)
            if "missing" in found:
                absent[tool] = found["missing"]
                print(f"{tool} is left out: {found['missing']}", flush=True)
            else:
                row[tool] = found
        made.append(row)
        print(f"round {number + 1} of {count}", flush=True)
    return made, absent


def table(rounds: list[dict[str, Any]], megabytes: float) -> list[dict[str, Any]]:
    """Return a line a contender: medians, and the median over rounds of its seconds divided by ours."""
    lines = []
    for name in rounds[0]:
        rows = [row for row in rounds if name in row]
        line: dict[str, Any] = {"what": name, "rounds": len(rows)}
        for clock in CLOCKS:
            seconds = f"{clock}_seconds"
            line[seconds] = statistics.median(row[name][seconds] for row in rows)
            for ours, ending in (("work", ""), ("written", "_with_write")):
                if ours in rows[0]:
                    line[f"{clock}_ratio{ending}"] = statistics.median(
                        row[name][seconds] / row[ours][seconds] for row in rows
                    )
        line["megabytes_per_second"] = megabytes / line["wall_seconds"]
        peaks = [row[name]["peak_megabytes"] for row in rows if "peak_megabytes" in row[name]]
        line["peak_megabytes"] = max(peaks)
        for extra in ("version", "of_texts"):
            if extra in rows[0][name]:
                line[extra] = rows[0][name][extra]
        lines.append(line)
    return lines


def stages(rounds: list[dict[str, Any]], what: str) -> dict[str, dict[str, float]]:
    """Return the medians of each stage of one of our own."""
    held = [row[what]["stages"] for row in rounds]
    return {
        stage: {
            clock: statistics.median(row[stage][clock] for row in held) for clock in held[0][stage]
        }
        for stage in held[0]
    }
