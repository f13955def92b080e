"""A lake of every format with contained tables, and a recipe for it."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from assets.containment.prove_rebuild import Bounds, Way
from assets.containment.restore import restore
from assets.containment.retire import delete, retire
from assets.ingestion.access import RegisteredTable, registered_tables
from assets.ingestion.definitions import COLUMN_SCHEMA, TABLE_SCHEMA
from assets.ingestion.discover import discover
from assets.ingestion.model import ReadOptions, Source
from assets.ingestion.register import landed_name, register
from resources.staged_table import StagedTable

RECIPE = """
lake: lake
output: out
records:
  - {tables: "*", text: text, groups: {language: {column: language}}}
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


def rows(count: int, start: int = 0) -> pl.DataFrame:
    """Some rows of every plain type."""
    numbers = range(start, start + count)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "language": ["en" if i % 3 else "sw" for i in numbers],
            "text": [
                f'{WORDS[i % 10]}, "{WORDS[i * 7 % 10]}" {i * i} ' + WORDS[i * 3 % 10] * (i % 4)
                for i in numbers
            ],
            "score": [None if i % 11 == 0 else i / 8 for i in numbers],
            "day": pl.Series([i * 7 % 9000 for i in numbers], dtype=pl.Int32).cast(pl.Date),
        }
    )


def write_lines(path: Path, frame: pl.DataFrame) -> None:
    """Write JSON Lines as `json.dumps` does."""
    lines = [json.dumps(row, default=str) + "\n" for row in frame.to_dicts()]
    path.write_text("".join(lines), encoding="utf-8")


def build(folder: Path) -> Path:
    """Write the lake and return the recipe's path."""
    lake = folder / "lake"
    (lake / "sets").mkdir(parents=True)
    whole = rows(600)
    swahili = whole.filter(language="sw")
    whole.write_csv(lake / "whole.csv")
    swahili.write_csv(lake / "sets/swahili.csv", line_terminator="\r\n")
    with gzip.open(lake / "sets/english.csv.gz", "wb") as file:
        file.write(whole.filter(language="en").write_csv().encode())
    shuffled = pl.concat([whole[100:300], whole[120:140]]).sample(fraction=1, shuffle=True, seed=1)
    shuffled.write_csv(lake / "sets/shuffled.csv")
    whole[50:250].select("text", "language", "score").write_csv(lake / "sets/narrow.csv")
    whole[:400].write_csv(lake / "sets/tabs.tsv", separator="\t")
    write_lines(lake / "lines.jsonl", rows(500, 10_000))
    write_lines(lake / "sets/lines.jsonl", rows(200, 10_100))
    stored = rows(3000, 20_000)
    stored.write_parquet(lake / "stored.parquet")
    table = stored[500:2500].to_arrow()
    kept = pa.schema(
        [f.with_type(pa.string()) if f.name in ("text", "language") else f for f in table.schema]
    )
    pq.write_table(table.cast(kept), lake / "sets/stored.parquet", row_group_size=700)
    (lake / "parts").mkdir()
    for number in range(2):
        part = stored[number * 900 : number * 900 + 800]
        part.write_parquet(lake / f"parts/part-{number}.parquet")
    (lake / "parts/_SUCCESS").touch()
    versioned = rows(2000, 40_000).to_arrow()
    write_deltalake(str(lake / "versioned"), versioned.slice(0, 1000))
    write_deltalake(str(lake / "versioned"), versioned.slice(1000), mode="append")
    write_deltalake(
        str(lake / "sets/versioned"),
        versioned.slice(300, 1500),
        partition_by=["language"],
        name="a set",
        configuration={"delta.appendOnly": "false"},
    )
    rows(300, 50_000).write_csv(lake / "first.csv")
    rows(300, 50_300).write_csv(lake / "second.csv")
    rows(300, 50_150).write_csv(lake / "sets/both.csv")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


def registered(lake: Path, state: Path) -> tuple[dict[str, RegisteredTable], dict[str, Source]]:
    """Register every table of a lake as ingestion does, without a run."""
    rows, columns, sources = [], [], {}
    for source in discover(lake).sources:
        name = landed_name(source.table)
        place = state / "ingestion/landed" / name
        found = register(
            source,
            ReadOptions(),
            open_sink=lambda schema, place=place: StagedTable(place, schema),
            reject=lambda _: None,
        )
        if found.sink is not None:
            found.table["data_uri"] = f"ingestion/landed/{name}"
            found.table["data_version"] = found.sink.commit({})
        rows.append(found.table)
        columns += found.columns
        sources[source.table] = source
    tables = registered_tables(
        pl.DataFrame(rows, schema=TABLE_SCHEMA), pl.DataFrame(columns, schema=COLUMN_SCHEMA), state
    )
    return tables, sources


@dataclass(frozen=True)
class Lake:
    """A lake that was registered, with what retiring needs of it."""

    root: Path
    state: Path
    tables: dict[str, RegisteredTable]
    sources: dict[str, Source]

    def way(self, child: str, *parents: str, equality: str = "typed", **renamed: str) -> Way:
        """Say that a table is in others; `renamed` gives the parent's name of a column."""
        names = {name: renamed.get(name, name) for name in self.tables[child].columns}
        listed = [(self.tables[p], self.sources[p], names if renamed else None) for p in parents]
        return Way(self.tables[child], self.sources[child], ReadOptions(), listed, equality)

    def retire(self, child: str, *parents: str, **more: Any) -> dict[str, Any]:
        """Retire with no grace period."""
        bounds = Bounds(
            1 << 30, 0.0, hold=more.pop("hold", "copy"), dry_run=more.pop("dry_run", False)
        )
        return retire(self.state, self.way(child, *parents, **more), bounds)

    def delete(self, child: str) -> dict[str, Any]:
        """Delete the bytes of a retired table."""
        return delete(self.state, self.root / child)

    def restore(self, child: str) -> dict[str, Any]:
        """Bring it back."""
        return restore(self.state, child, self.root / child)


def open_lake(root: Path, state: Path) -> Lake:
    """Register a lake."""
    return Lake(root, state, *registered(root, state))


def files_of(place: Path) -> dict[str, bytes]:
    """Return every file at a place by its path, and its bytes."""
    if place.is_file():
        return {"": place.read_bytes()}
    return {
        p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*") if p.is_file()
    }
