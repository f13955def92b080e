"""Near duplicates from Parquet to verified clusters, against other tools and what the machine can do at best.

    python benchmarks/near_duplicates.py [--quick] [--peers PEERS/bin/python] [--large] [--real LAKE]

One generated corpus (200,000 texts, 212 MB; `near/corpora.py`), 14 bands of 8 hashes over word 5-grams,
threshold 0.7, two workers. Five rounds; in each, every contender runs once in a process of its own, one after the
other, so that a busy machine slows all of them. Reported are medians, and medians of each round's ratio to ours.

`--quick` takes 50,000 texts and three rounds (about three minutes). `--peers` names a Python that has the other
tools (`near/peers.py` says how to install them; they are looked for in this Python otherwise, and
those that are missing are named and left out). Slow tools get a share of the texts, and their seconds are
multiplied by the share of the bytes; `of_texts` says how many. `--large` adds 2.1 GB, ten corpora in other letters.
`--hostile` adds corpora that break careless programs; `--real FOLDER` the texts of its instructions/toolformer.
Writes benchmarks/results/near_duplicates.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "near"))

import corpora  # noqa: E402 - found by the path above
import polars as pl  # noqa: E402

TEXTS = {
    "daft": 1.0,
    "xxh3": 1.0,
    "rensa": 0.2,
    "datatrove": 0.2,
    "datasketch": 0.05,
    "text-dedup": 0.05,
}
LIMITS = ("scan", "delta")


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


def own(what: str, corpus: Path, *more: str) -> dict[str, Any]:
    """Run one of our own measurements."""
    found = run([sys.executable, str(HERE / "near" / "work.py"), what, str(corpus), *more])
    if "missing" in found:
        message = f"{what} on {corpus} failed: {found['missing']}"
        raise RuntimeError(message)
    return found


def peer(python: str, tool: str, corpus: Path, folder: Path) -> dict[str, Any]:
    """Run another tool on its share of the corpus and scale its seconds to the whole."""
    part = share_of(corpus, TEXTS[tool], folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        script = str(HERE / "near" / "peers.py")
        found = run([python, script, tool, str(part), scratch])
    if "missing" not in found and TEXTS[tool] < 1.0:
        scale = size_of(corpus) / size_of(part)
        found["of_texts"] = TEXTS[tool]
        for name in ("wall_seconds", "cpu_seconds"):
            found[name] *= scale
    return found


def rounds_of(corpus: Path, folder: Path, count: int, python: str) -> list[dict[str, Any]]:
    """Run all contenders `count` times, and once before that where it warms caches; drop the missing."""
    for what in ("scan", "work"):
        own(what, corpus)
    absent: set[str] = set()
    made = []
    for number in range(count):
        row: dict[str, Any] = {}
        for what in ("scan", "work", "scan after", "default bands", "delta", "written"):
            row[what] = own(what, corpus)
        for tool in TEXTS:
            if tool in absent:
                continue
            row[tool] = peer(python, tool, corpus, folder)
            if "missing" in row[tool]:
                print(f"{tool} is left out: {row[tool]['missing']}", flush=True)
                absent.add(tool)
                del row[tool]
        made.append(row)
        print(f"round {number + 1} of {count}", flush=True)
    return made


def table(rounds: list[dict[str, Any]], megabytes: float) -> list[dict[str, Any]]:
    """Return a line a contender: medians, and the median over rounds of its seconds divided by ours."""
    lines = []
    for name in rounds[0]:
        rows = [row for row in rounds if name in row]
        line: dict[str, Any] = {"what": name}
        ours = "written" if name == "datatrove" else "work"
        for clock in ("wall", "cpu"):
            seconds = f"{clock}_seconds"
            line[seconds] = statistics.median(row[name][seconds] for row in rows)
            line[f"{clock}_ratio"] = statistics.median(
                row[name][seconds] / row["work"][seconds] for row in rows
            )
            if ours != "work":
                line[f"{clock}_ratio_with_write"] = statistics.median(
                    row[name][seconds] / row[ours][seconds] for row in rows
                )
        line["megabytes_per_second"] = megabytes / line["wall_seconds"]
        for extra in ("version", "of_texts", "peak_megabytes"):
            if extra in rows[0][name]:
                line[extra] = rows[0][name][extra]
        lines.append(line)
    return lines


def hostile(folder: Path) -> dict[str, Any]:
    """Run the corpora that break careless programs, and say what they took."""
    found = {}
    for name, make in corpora.HOSTILE.items():
        corpus = folder / "hostile.parquet"
        make(corpus)
        found[name] = {"megabytes": size_of(corpus), **own("work", corpus)}
        corpus.unlink()
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


def main() -> None:
    """Generate, run the rounds, check the answers and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--documents", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "near_duplicates.json")
    options = parser.parse_args()
    documents = options.documents or (50_000 if options.quick else 200_000)
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("numba", "polars", "pyarrow", "deltalake")},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus, small = folder / "corpus.parquet", folder / "small.parquet"
        corpora.planted(corpus, documents)
        corpora.planted(small, 20_000, seed=1)
        result["megabytes"] = size_of(corpus)
        result["recall"] = {bands: own("recall", small, bands) for bands in ("14x8", "default")}
        count = options.rounds or (3 if options.quick else 5)
        rounds = rounds_of(corpus, folder, count, options.peers)
        result["table"] = table(rounds, result["megabytes"])
        result["share_of_scan"] = {
            clock: sorted(
                (row["scan"][f"{clock}_seconds"] + row["scan after"][f"{clock}_seconds"])
                / 2
                / row["work"][f"{clock}_seconds"]
                for row in rounds
            )
            for clock in ("wall", "cpu")
        }
        result["work"] = [row["work"] for row in rounds]
        if options.large:
            large = folder / "large.parquet"
            corpora.permuted(corpus, large)
            found = own("work", large)
            usual = statistics.median(row["work"]["cpu_seconds"] for row in rounds)
            found["cpu_against_proportional"] = found["cpu_seconds"] / (10 * usual)
            result["ten_times"] = {"megabytes": size_of(large), **found}
            large.unlink()
        if options.hostile:
            result["hostile"] = hostile(folder)
        if options.real:
            result["real"] = own("real", options.real)
    wrong = [
        bands
        for bands, found in result["recall"].items()
        if found["deviations"] < -3 or found["largest_error"] > 1e-9
    ]
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=2, tbl_width_chars=160):
        print(pl.DataFrame(result["table"], infer_schema_length=None))
    print(json.dumps({k: v for k, v in result.items() if k not in ("table", "work")}, indent=1))
    if wrong:
        sys.exit(f"recall or similarities are wrong with {', '.join(wrong)}")


if __name__ == "__main__":
    main()
