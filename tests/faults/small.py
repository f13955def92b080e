"""A lake of a few hundred bytes, a recipe for it, and runs in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl

from resources import delta
from resources.run import RELEASES, last_release

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """
lake: lake
output: out
records:
  - {tables: "eval.jsonl", role: evaluation, text: text}
  - {tables: "*.jsonl", text: text, groups: {language: {column: language}}}
  - {tables: "*.csv", features: [a, b], label: y, groups: {language: {value: numbers}}}
holdout: {share: 0.1}
filtering: {pools: 2, budgets: [{samples: 60}], proxy: {seconds: 0.2, seeds: 1, records_per_pool: 40}}
limits: {workers: 1}
"""


def build(folder: Path) -> Path:
    """Write the lake and return the recipe's path."""
    lake = folder / "lake"
    lake.mkdir(parents=True)
    words = [
        "river",
        "stone",
        "cloud",
        "letter",
        "window",
        "garden",
        "signal",
        "copper",
        "winter",
        "morning",
    ]
    rows = [
        {
            "text": " ".join(words[(i * k + k) % 10] + str((i * 7 + k) % 97) for k in range(1, 14)),
            "language": "en" if i % 3 else "sw",
        }
        for i in range(90)
    ]
    _write(lake / "a.jsonl", [*rows[:60], rows[0]])
    _write(lake / "b.jsonl", rows[55:])
    _write(lake / "eval.jsonl", [{"text": rows[5]["text"]}])
    pl.DataFrame(
        {
            "a": list(range(30)),
            "b": [i * i % 7 for i in range(30)],
            "y": [str(i % 2) for i in range(30)],
        }
    ).write_csv(lake / "n.csv")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def start(recipe: Path, kill_at: int | None = None) -> subprocess.Popen[str]:
    """Start a run; `kill_at` is the number of the commit before which the process kills itself."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(recipe.parent / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    arguments = [str(recipe)] + ([] if kill_at is None else [str(kill_at)])
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(recipe: Path, kill_at: int | None = None) -> tuple[int, str, str]:
    """Run to the end; returns exit status, output and errors."""
    process = start(recipe, kill_at)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def contents(recipe: Path) -> dict[str, pl.DataFrame]:
    """Every table of the last release, rows in an order of their own, without what names the run."""
    output = recipe.parent / "out"
    release = last_release(output)
    assert release is not None
    tables = {}
    for name, version in release["versions"].items():
        frame = delta.scan(output / name, version).collect()
        nested = [c for c, t in frame.schema.items() if t.is_nested() or t == pl.Binary]
        keys = [c for c in frame.columns if c not in nested]
        tables[name] = frame.drop("data_version", strict=False).sort(
            [k for k in keys if k != "data_version"]
        )
    return tables


def runs_of(recipe: Path) -> dict[str, str]:
    """Which run committed the version of each table that the last release names."""
    output = recipe.parent / "out"
    release = last_release(output)
    assert release is not None
    return {
        name: next(m["run"] for v, m in delta.commits(output / name) if v == version)
        for name, version in release["versions"].items()
    }


__all__ = ["RELEASES", "build", "contents", "run", "runs_of", "start"]
