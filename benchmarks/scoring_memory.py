"""Peak memory of scoring and selecting where the vectors are larger than the limit.

    python -m benchmarks.scoring_memory [--rows 550000] [--file-rows 270000] [--dimensions 1024] [--limit 1GB] [--all]

Every line is a process of its own, and its peak is what the kernel noted (VmHWM: all resident pages, those of mapped
files included). `imports` is what the program takes before it reads anything. `stage` is the scoring stage of a recipe
on a lake whose stored vectors are larger than `limits.memory`, with every scorer of recipes that reads vectors; `score`
is `sluice score --embedding` with one scorer on a Parquet file whose vectors are larger than `--memory`; `select` is
`sluice select`, which must refuse where a method holds all vectors. With `--all` also by the
scorers that take minutes at this size. The answers of the stage at this limit and at one
that holds everything are compared on fewer rows. Writes benchmarks/results/scoring_memory.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

RESULT = Path(__file__).resolve().parent / "results" / "scoring_memory.json"
BLOCK = 20_000
TARGETS = 2_000
STAGE_SCORERS = ["prototype", "rds", "el2n", "influence"]
FILE_SCORERS = [*STAGE_SCORERS, "got_d", "redundancy", "knn_shapley"]
SLOW_SCORERS = [
    "leverage", "lava", "margin", "group_shapley", "grand", "forgetting", "tracin", "less", "trak"
]  # fmt: skip
SELECTORS = ["random", "k_center", "facility_location", "kmeans_quality", "semdedup"]


def vectors(rows: int, dimensions: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw clustered vectors and their cluster."""
    draw = np.random.default_rng(block)
    centres = np.random.default_rng(1_000_003).normal(size=(50, dimensions)).astype(np.float32)
    own = draw.integers(50, size=rows)
    return centres[own] + draw.normal(size=(rows, dimensions)).astype(np.float32), own


def recipe_of(folder: Path, dimensions: int, limit: str) -> Any:
    from resources.recipe_file import parse_recipe

    rule = {
        "tables": "*",
        "text": "text",
        "label": "label",
        "groups": {"language": {"value": "en"}},
    }
    return parse_recipe(
        {
            "lake": "lake",
            "output": f"out-{limit}",
            "records": [rule],
            "scoring": {"embedder": "hashed", "dimensions": dimensions, "scorers": STAGE_SCORERS},
            "limits": {"memory": limit},
        },
        base=folder,
    )


def stage(folder: Path, rows: int, dimensions: int, limit: str) -> dict[str, Any]:
    """Write records and vectors as the stages before would, then run the scoring stage."""
    from assets.deduplication.records import record_schema
    from assets.scoring.definitions import EMBEDDINGS_SPEC, SCORES_SPEC, compute_scores
    from assets.scoring.hashed import to_stored
    from assets.scoring.recipe_models import embedder
    from resources.run import Run
    from resources.stage_spec import StageSpec

    recipe = recipe_of(folder, dimensions, limit)
    upstream = StageSpec(
        "deduplication",
        ("deduplication/records", "deduplication/fates", "deduplication/cut_records"),
        (),
        "1",
        "recipe",
    )
    with Run(recipe, "benchmark", specs=(upstream, EMBEDDINGS_SPEC, SCORES_SPEC)) as run:
        model = embedder(recipe).embedder_id
        made = run.stage(upstream)
        held = run.stage(EMBEDDINGS_SPEC.__class__(**{**vars_of(EMBEDDINGS_SPEC), "reads": ()}))
        records = made.open("deduplication/records", record_schema(["language"], []))
        fates = made.open(
            "deduplication/fates", pa.schema([("record_id", pa.string()), ("fate", pa.string())])
        )
        made.open("deduplication/cut_records", record_schema(["language"], [])).close()
        kinds = [pa.string(), pa.string(), pa.int32(), pa.binary()]
        names = ["content_id", "embedder_id", "dim", "vector"]
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        stored = held.open("scoring/embeddings", schema)
        for start in range(0, rows + TARGETS, BLOCK):
            count = min(BLOCK, rows + TARGETS - start)
            made_now, own = vectors(count, dimensions, start)
            numbers = np.arange(start, start + count)
            ids = [f"{i * 0x9E3779B97F4A7C15 % 2**128:032x}" for i in numbers.tolist()]
            role = np.where(numbers < rows, "train", "target")
            frame = pl.DataFrame(
                {
                    "record_id": ids,
                    "content_id": ids,
                    "table": ["t"] * count,
                    "position": numbers,
                    "role": role,
                    "text": [f"record {i}" for i in numbers],
                    "label": [str(c % 5) for c in own],
                    "language": [("en", "de", "sw")[c % 3] for c in own],
                    "rule": np.zeros(count, np.int32),
                    "tokens": np.full(count, 2),
                }
            )
            nothing = {"features": pl.List(pl.Float64), "uri": pl.String}
            records.write(frame.with_columns(pl.lit(None, t).alias(n) for n, t in nothing.items()))
            alive = frame.filter(pl.col("role") == "train")
            fates.write(alive.select("record_id", fate=pl.lit(None, pl.String)))
            ident = pa.array([model] * count)
            wide = pa.array([dimensions] * count, pa.int32())
            columns = [pa.array(ids), ident, wide, to_stored(made_now)]
            stored.write(pa.table(columns, schema=schema))
        for table in (records, fates, stored):
            table.close()
        made.commit()
        held.commit()
        reset_peak()
        work = run.stage(SCORES_SPEC)
        started = time.process_time()
        facts = compute_scores(run, work)
        work.commit()
        seconds = time.process_time() - started
        frame = run.read("scoring/scores").drop("calibration").sort("record_id")
        found = [int(frame[c].hash(0).sum() & (2**63 - 1)) for c in frame.columns]
    return {
        "rows": rows,
        "vectors_gb": round(rows * dimensions * 2 / 1e9, 3),
        "cpu_seconds": round(seconds, 1),
        "recall": facts["scoring/scores"]["redundancy_recall"],
        "answer": found,
    }


def vars_of(spec: Any) -> dict[str, Any]:
    """Return the fields of a specification."""
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def reset_peak() -> None:
    """Let the kernel note the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Return the peak of resident memory in MB."""
    told = Path("/proc/self/status").read_text()
    return round(int(told.split("VmHWM:")[1].split()[0]) / 1000, 1)


def write_file(path: Path, rows: int, dimensions: int, first: int) -> None:
    """Write a file of vectors, labels and groups."""
    kind = pa.list_(pa.float32())
    schema = pa.schema([("v", kind), ("label", pa.string()), ("group", pa.string())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, rows, BLOCK):
            count = min(BLOCK, rows - start)
            made, own = vectors(count, dimensions, first + start)
            ends = pa.array(np.arange(count + 1, dtype=np.int32) * dimensions)
            lists = pa.ListArray.from_arrays(ends, pa.array(made.reshape(-1)))
            columns = [lists, pa.array([str(c % 5) for c in own]), pa.array([str(c % 3) for c in own])]  # fmt: skip
            writer.write_table(pa.table(columns, schema=schema), row_group_size=4096)


def command(arguments: list[str]) -> dict[str, Any]:
    """Run the command in this process; returns its status and last line of errors."""
    from click.testing import CliRunner

    from orchestration.cli import main

    started = time.process_time()
    done = CliRunner().invoke(main, arguments)
    errors = done.stderr.strip().splitlines()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return {
        "exit": done.exit_code,
        "said": errors[-1] if done.exit_code else "",
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def child(name: str, options: dict[str, Any]) -> None:
    """Do one line, and print what it took."""
    folder = Path(options["folder"])
    memory = ["--memory", options["limit"], "--json"]
    given = [str(folder / "rows.parquet"), "--embedding", "v"]
    kind, _, which = name.partition(" ")
    told: dict[str, Any] = {}
    if kind == "imports":
        import torch  # noqa: F401

        import orchestration.commands.score  # noqa: F401
    elif kind == "stage":
        told = stage(folder, options["rows"], options["dimensions"], options["limit"])
    elif kind == "score":
        more = ["--target", str(folder / "aim.parquet"), "--label", "label", "--group", "group"]
        out = ["--scorers", which, "--out", str(folder / "scores.parquet")]
        told = command(["score", *given, *more, *out, *memory])
    elif kind == "select":
        out = ["--method", which, "--budget", "100", "--out", str(folder / "chosen.parquet")]
        score = ["--scores", str(folder / "random.parquet")] if which == "kmeans_quality" else []
        column = ["--column", "random"] if score else []
        told = command(["select", *given, *score, *column, *out, *memory])
    print(json.dumps({"name": name, "peak_mb": peak_mb(), **told}))


def run(name: str, **options: Any) -> dict[str, Any]:
    """Do one line in a process of its own."""
    call = [sys.executable, "-m", "benchmarks.scoring_memory", "--child", name]
    done = subprocess.run([*call, "--options", json.dumps(options)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    more = f"   exit {told['exit']} {told['said']}" if told.get("exit") else ""
    print(f"{name:<26}{told['peak_mb']:>9,.0f} MB{told.get('cpu_seconds', 0):>9,.1f} s{more}", flush=True)  # fmt: skip
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=520_000)
    parser.add_argument("--file-rows", type=int, default=270_000)
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--limit", default="1GB")
    parser.add_argument("--only", help="a part of the lines' names")
    parser.add_argument("--all", action="store_true", help="the slow scorers too")
    parser.add_argument("--child")
    parser.add_argument("--options")
    given = parser.parse_args()
    if given.child:
        child(given.child, json.loads(given.options))
        return
    from benchmarks.machine import machine

    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base: dict[str, Any] = {"folder": name, "dimensions": given.dimensions}
        limit = {**base, "limit": given.limit}

        def wanted(line: str) -> bool:
            return given.only is None or given.only in line

        lines.append(run("imports", **limit))
        if wanted("stage"):
            lines.append(run("stage", **limit, rows=given.rows))
            few = {"folder": name, "dimensions": 64, "rows": 20_000}
            answers = [run("stage again", **few, limit=m)["answer"] for m in ("20MB", "8GB")]
            if answers[0] != answers[1]:
                sys.exit("the limit changed the answer")
        scorers = [*FILE_SCORERS, *(SLOW_SCORERS if given.all else [])]
        names = [f"score {n}" for n in scorers] + [f"select {n}" for n in SELECTORS]
        names = [line for line in names if wanted(line)]
        if names:
            write_file(folder / "rows.parquet", given.file_rows, given.dimensions, 0)
            write_file(folder / "aim.parquet", 500, given.dimensions, 10**9)
            ids = [f"{folder / 'rows.parquet'}#{i}" for i in range(given.file_rows)]
            noise = np.random.default_rng(0).random(len(ids))
            pl.DataFrame({"id": ids, "random": noise}).write_parquet(folder / "random.parquet")
        lines += [run(line, **limit) for line in names]
    told = {
        "machine": machine("polars", "torch"),
        "limit": given.limit,
        "dimensions": given.dimensions,
        "rows": given.rows,
        "file_rows": given.file_rows,
        "file_vectors_gb": round(given.file_rows * given.dimensions * 4 / 1e9, 3),
        "lines": lines,
    }
    if given.only is None:
        RESULT.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
