"""A lake of a few hundred rows, a recipe for it, and runs in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from resources import delta
from resources.releases import last_release

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
WORDS = [
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
SOURCES = 4
"""Files of the lake, all of which are landed."""
CHANGED_SOURCES = 2
"""Those of them that `change` touches."""


def build(folder: Path) -> Path:
    """Write the lake and return the recipe's path."""
    lake = folder / "lake"
    lake.mkdir(parents=True)
    rows = [
        {
            "text": " ".join(WORDS[(i * k + k) % 10] + str((i * 7 + k) % 97) for k in range(1, 14)),
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


def change(recipe: Path) -> None:
    """Append to two tables: values beyond the bounds of their columns, and a line that can't be read."""
    lake = recipe.parent / "lake"
    with (lake / "a.jsonl").open("a", encoding="utf-8") as file:
        text = "zebra words that nobody wrote before and that stand after all others"
        file.write(json.dumps({"text": text, "language": "zu"}) + "\n")
        file.write('{"text": "cut sho\n')
    with (lake / "n.csv").open("a", encoding="utf-8") as file:
        file.write("999,-5,1\n")


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@dataclass(frozen=True)
class End:
    """How a run ended, and what it did before."""

    status: int
    out: str
    err: str
    events: list[tuple[str, str]] = field(default_factory=list)

    def of(self, event: str) -> list[str]:
        """Names of the tables committed, or of the stages computed or adopted, in order."""
        return [name for kind, name in self.events if kind == event]

    @property
    def changed(self) -> bool:
        return bool(json.loads(self.out)["changed"])


class Child:
    """A run in a process of its own; see `tests.faults.child` for the options."""

    _count = 0

    def __init__(self, recipe: Path, *options: str) -> None:
        Child._count += 1
        self.log = recipe.parent / f"events.{os.getpid()}.{Child._count}.jsonl"
        command = [sys.executable, "-m", "tests.faults.child", str(recipe), str(self.log), *options]
        self.process = spawn(recipe, command)

    def end(self, seconds: float = 150.0) -> End:
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return End(self.process.returncode, out, err, [tuple(json.loads(line)) for line in lines])


def spawn(recipe: Path, command: list[str]) -> subprocess.Popen[str]:
    """Start a command at the root of the repository, with a Dagster home beside the recipe."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(recipe.parent / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(recipe: Path, *options: str) -> End:
    """Run to the end."""
    return Child(recipe, *options).end()


def command(recipe: Path, *options: str) -> subprocess.Popen[str]:
    """Start `sluice run` as a person would."""
    arguments = ["-m", "orchestration.cli", "run", str(recipe), *options]
    return spawn(recipe, [sys.executable, *arguments])


class Snapshots:
    """States of one folder, kept beside it: a lake's address is part of what a run is judged by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = folder / "recipe.yaml"

    def keep(self, name: str) -> None:
        shutil.copytree(self.folder, self.folder.with_name(name))

    def restore(self, name: str) -> Path:
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name(name), self.folder)
        return self.recipe


def release(recipe: Path) -> dict[str, Any]:
    """Return the last release."""
    found = last_release(recipe.parent / "out")
    assert found is not None
    return found


def contents(recipe: Path) -> dict[str, pl.DataFrame]:
    """Every table of the last release, rows in an order of their own, without what names the run."""
    output = recipe.parent / "out"
    tables = {}
    for name, version in release(recipe)["versions"].items():
        frame = delta.scan(output / name, version).collect().drop("data_version", strict=False)
        nested = [c for c, t in frame.schema.items() if t.is_nested() or t == pl.Binary]
        tables[name] = frame.sort([c for c in frame.columns if c not in nested])
    return tables


def orphans(output: Path) -> dict[str, list[Path]]:
    """Parquet files in the folders of Delta tables that no entry of the table's log ever named."""
    found = {}
    for log in output.rglob("_delta_log"):
        named = {
            action["add"]["path"]
            for entry in log.glob("*.json")
            for action in map(json.loads, entry.read_text(encoding="utf-8").splitlines())
            if "add" in action
        }
        lost = [f for f in log.parent.glob("*.parquet") if f.name not in named]
        if lost:
            found[str(log.parent.relative_to(output))] = lost
    return found
