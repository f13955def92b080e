"""How the containment search scales: with tables, with rows, beyond its memory, and with one more table.

    python -m benchmarks.containment_scaling [--parts tables rows hashing bound] [--gigabytes 5]

`tables` and `rows`: CPU seconds of a whole search of one family of 16 to 256 tables of 5,000 rows, and of 32 tables
of 2,000 to 128,000 rows; drawn into containment_scaling.png. `hashing`: hashing a mixed lake from its pages, as the
search does, beside reading it with pyarrow. `bound`: a lake of random numbers, uncompressed, ten times the bound of
512 MB, in families of ten tables: the peak of the process that searches it, the time of a search with all cached, and
of searches after one more table came, and after one more file of a table of several, as a commit adds it. "Beyond
reading" is such a search less the time in which a process does nothing but read and hash the new file, as a share of
the first search, in CPU and in wall seconds. Its parts are given: a search that finds nothing new, and the rest,
which is keeping the new hashes and looking the family's up. The least of three runs each; the edges of the family are
compared with those of a search from nothing. Needs the lake's size on disk in the temporary folder, and a fifth of it
for the cache. All parts: about five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from assets.containment.content import hash_projections_of
from assets.containment.folder import search_folder
from assets.containment.page_cells import FileCells
from assets.ingestion.parquet_files import footer_of, open_parquet
from benchmarks.containment_lake import build_lake
from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "containment_scaling.json"
BOUND_MIB = 512
_TABLE_ROWS = 1_000_000
_FAMILY = 10


def run_one(settings: dict[str, object]) -> None:
    """Search a folder in this process and print what it took; or read and hash one file."""
    with tempfile.TemporaryDirectory() as small:
        lake, kept = Path(small) / "lake", Path(small) / "cache"
        lake.mkdir()
        first = build_lake(lake, families=[(10, 1000)], size=8, seed=1).tables[0]
        search_folder(lake, workers=2, cache=kept)
        shutil.copyfile(first, lake / f"one_more_{first.name}")
        search_folder(lake, workers=2, cache=kept)
    wall, cpu = time.perf_counter(), time.process_time()
    told: dict[str, object] = {}
    if "files" in settings:
        for file in map(Path, settings["files"]):
            names = footer_of(file).plain.names
            if settings["hash"]:  # as the search does
                for rows in FileCells(file, footer_of(file).plain, 1 << 14).groups(names, 1 << 20):
                    hash_projections_of(rows, [names], "value")
                continue
            with open_parquet(file) as opened:
                for _ in opened.iter_batches(1 << 16, use_threads=False):
                    pass
    else:
        cache = settings.get("cache")
        found = search_folder(
            Path(str(settings["lake"])),
            min_containment=0.5,
            workers=2,
            memory_bytes=BOUND_MIB << 20,
            cache=Path(str(cache)) if cache else None,
        )
        told = {"edges": found.edges.height, "stages": found.stages.to_dicts()}
        figures = ("child", "parent", "containment", "multiset_containment", "jaccard", "witness")
        told["edge_figures"] = [list(row) for row in found.edges.select(*figures).iter_rows()]
    told["seconds"] = round(time.perf_counter() - wall, 3)
    told["cpu_seconds"] = round(time.process_time() - cpu, 3)
    told["peak_mib"] = peak_mib()
    print(json.dumps(told))


def peak_mib() -> int:
    """Return the most memory that this program held; `ru_maxrss` would tell the parent's, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) >> 10


def in_process(**settings: object) -> dict[str, float]:
    """Run `run_one` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.containment_scaling", "--one"]
    done = subprocess.run(
        [*command, json.dumps(settings)], check=True, capture_output=True, text=True
    )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def grow(axis: str, values: list[int], rounds: int) -> dict[str, object]:
    """Search lakes that grow in one way; give the least CPU time of some rounds for each."""
    points = []
    for value in values:
        with tempfile.TemporaryDirectory() as folder:
            size, rows = (value, 5000) if axis == "tables" else (32, value)
            lake = build_lake(Path(folder), families=[(rows, rows)], size=size, seed=5)
            runs = [in_process(lake=folder) for _ in range(rounds)]
            points.append(
                {
                    "tables": len(lake.tables),
                    "rows": lake.rows,
                    "bytes": lake.bytes,
                    "pairs": len(lake.pairs()),
                    "cpu_seconds": min(run["cpu_seconds"] for run in runs),
                    "seconds": min(run["seconds"] for run in runs),
                }
            )
        print(axis, json.dumps(points[-1]))
    logs = np.log([[point["rows"], point["cpu_seconds"]] for point in points[-3:]])
    exponent = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    return {"points": points, "exponent_of_rows_in_last_three": round(exponent, 2)}


def random_table(draw: np.random.Generator) -> pa.Table:
    columns = {f"n{i}": draw.integers(0, 2**62, _TABLE_ROWS) for i in range(5)}
    columns |= {f"x{i}": draw.random(_TABLE_ROWS) for i in range(3)}
    return pa.table(columns)


def write_table(lake: Path, number: int, pool: list[pa.Table], draw: np.random.Generator) -> Path:
    """Write rows of two tables of the pool under the columns of the table's family."""
    first, second = draw.integers(0, len(pool), 2)
    cut = int(draw.integers(1, _TABLE_ROWS))
    table = pa.concat_tables([pool[first].slice(0, cut), pool[second].slice(cut)])
    family = number // _FAMILY
    table = table.rename_columns([f"f{family}_{name}" for name in table.column_names])
    path = lake / f"t{number:04}.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, row_group_size=1 << 17)
    return path


def bound(gigabytes: float) -> dict[str, object]:
    """Search a lake that is far larger than the memory allowed, and then once more."""
    draw = np.random.default_rng(11)
    pool = [random_table(draw) for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        lake, cache = Path(folder) / "lake", Path(folder) / "cache"
        lake.mkdir()
        tables = round(gigabytes * 1e9 / (_TABLE_ROWS * 64)) // _FAMILY * _FAMILY + _FAMILY - 1
        if shutil.disk_usage(folder).free < 1.3 * gigabytes * 1e9:
            message = f"{folder} has no room for {gigabytes} GB; set TMPDIR or --gigabytes"
            raise SystemExit(message)
        for number in range(tables):
            write_table(lake, number, pool, draw)
        last = lake / f"t{tables - 1:04}"
        last.mkdir()
        last.with_suffix(".parquet").replace(last / "0.parquet")
        size = sum(path.stat().st_size for path in lake.rglob("*.parquet"))
        full = in_process(lake=str(lake), cache=str(cache))
        again = [in_process(lake=str(lake), cache=str(cache)) for _ in range(3)]
        added = write_table(lake, tables, pool, draw)  # the last of its family
        more = [after_change(lake, cache) for _ in range(3)]
        added_hashed = [in_process(files=[str(added)], hash=True) for _ in range(3)]
        assert_equal_to_a_rebuild(lake, added.name, more)
        added.unlink()
        file = last / "1.parquet"
        rows = pq.read_table(last / "0.parquet").slice(0, _TABLE_ROWS // 10)
        pq.write_table(rows, file, compression="none", use_dictionary=False)
        grown = [after_change(lake, cache) for _ in range(3)]
        grown_hashed = [in_process(files=[str(file)], hash=True) for _ in range(3)]
        assert_equal_to_a_rebuild(lake, last.name, grown)
    return {
        "lake_bytes": size,
        "tables": tables,
        "bound_mib": BOUND_MIB,
        "full": without_edges(full),
        "unchanged": without_edges(least(again)),
        "one_more_table": beyond(full, again, more, added_hashed),
        "one_more_file": beyond(full, again, grown, grown_hashed),
    }


def assert_equal_to_a_rebuild(lake: Path, changed: str, runs: list[dict[str, float]]) -> None:
    """Search the family of a table from nothing; raise AssertionError if its edges differ."""
    family = pq.read_schema(next(p for p in lake.rglob("*.parquet") if changed in p.parts)).names
    with tempfile.TemporaryDirectory(dir=lake.parent) as folder:
        for path in sorted(lake.iterdir()):
            file = next(iter(sorted(path.iterdir()))) if path.is_dir() else path
            if pq.read_schema(file).names == family:
                (Path(folder) / path.name).symlink_to(path)
        fresh = in_process(lake=folder)["edge_figures"]
    for run in runs:
        found = [row for row in run.pop("edge_figures") if row[0] in {c for c, *_ in fresh}]
        if found != fresh:
            message = f"edges after a change of {changed} differ from those of a rebuild"
            raise AssertionError(message)


def after_change(lake: Path, cache: Path) -> dict[str, float]:
    """Search with a copy of the cache, so that the change is new each time."""
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        own = Path(folder) / "cache"
        shutil.copytree(cache, own, copy_function=os.link)  # files are replaced, never changed
        return in_process(lake=str(lake), cache=str(own))


def without_edges(run: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in run.items() if name != "edge_figures"}


def least(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the run that took the least CPU time."""
    return min(runs, key=lambda run: run["cpu_seconds"])


def beyond(
    full: dict[str, float],
    again: list[dict[str, float]],
    changed: list[dict[str, float]],
    hashed: list[dict[str, float]],
) -> dict[str, object]:
    """Say what a change costs beyond reading and hashing what is new, the least of some runs each."""
    told: dict[str, object] = {"run": without_edges(least(changed))}
    for what in ("cpu_seconds", "seconds"):
        whole, nothing_new, reading = (
            min(run[what] for run in runs) for runs in (changed, again, hashed)
        )
        told[what] = {
            "search": whole,
            "reading_and_hashing": reading,
            "finding_nothing_new": nothing_new,
            "rest": round(whole - reading - nothing_new, 3),
            "beyond_reading_share_of_full": round((whole - reading) / full[what], 4),
        }
    return told


def hashing(rounds: int) -> dict[str, object]:
    """Compare reading a mixed lake as pyarrow does with reading and hashing it."""
    with tempfile.TemporaryDirectory() as folder:
        lake = build_lake(Path(folder), families=[(100, 10**5)] * 4, size=32, seed=32)
        files = [str(path) for path in lake.tables]
        taken = [
            [in_process(files=files, hash=own)["cpu_seconds"] for own in (False, True)]
            for _ in range(rounds)
        ]
        shares = sorted(read / hashed for read, hashed in taken)
        return {
            "rows": lake.rows,
            "cpu_seconds_reading": min(read for read, _ in taken),
            "cpu_seconds_reading_and_hashing": min(hashed for _, hashed in taken),
            "share_of_decode_speed": [round(share, 3) for share in shares],
        }


def draw_plot(results: dict[str, object]) -> None:
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for axis in ("tables", "rows"):
        if axis in results:
            points = results[axis]["points"]
            x = [point["rows"] / 1e6 for point in points]
            seconds = [point["cpu_seconds"] for point in points]
            axes.plot(x, seconds, "o-", label=f"more {axis}")
            proportional = [seconds[-1] * own / x[-1] for own in x]
            axes.plot(x, proportional, ":", color="grey", linewidth=1)
            for own, taken, point in zip(x, seconds, points, strict=True):
                told = f"{point['tables']}" if axis == "tables" else f"{own:.2g} M"
                axes.annotate(told, (own, taken), (4, -10), textcoords="offset points", fontsize=7)
    axes.set(xlabel="million rows in the lake", ylabel="CPU seconds", xscale="log", yscale="log")
    axes.legend()
    axes.set_title("whole search of a lake; dotted: proportional to rows", fontsize=9)
    figure.savefig(RESULTS.with_suffix(".png"), dpi=100, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["tables", "rows", "hashing", "bound"])
    parser.add_argument("--gigabytes", type=float, default=5.4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(json.loads(arguments.one))
        return
    told: dict[str, object] = {"machine": machine("polars")}
    if RESULTS.exists():
        told = json.loads(RESULTS.read_text()) | told
    if "tables" in arguments.parts:
        told["tables"] = grow("tables", [16, 32, 64, 128, 256], arguments.rounds)
    if "rows" in arguments.parts:
        told["rows"] = grow("rows", [2000, 8000, 32_000, 128_000], arguments.rounds)
    if "hashing" in arguments.parts:
        told["hashing"] = hashing(arguments.rounds)
        print(json.dumps(told["hashing"]))
    if "bound" in arguments.parts:
        told["bound"] = bound(arguments.gigabytes)
        print(json.dumps(told["bound"]))
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    if "tables" in told or "rows" in told:
        draw_plot(told)


if __name__ == "__main__":
    main()
