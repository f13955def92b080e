"""A release of a few hundred labelled records in two groups, written without what lies upstream of allocation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.scoring.recipe_models import embedder
from resources import delta
from resources.delta_types import frame_schema
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from resources.staged_table import StagedTable

DIMENSIONS = 8
SIZES = {"en": 400, "sw": 260}
NOISE = {"en": 0.3, "sw": 1.5}
KEYS: dict[str, Any] = {
    "lake": "lake",
    "output": "out",
    "records": [
        {"tables": "*", "features": "x", "groups": {"language": {"column": "language"}}},
    ],
    "scoring": {"dimensions": DIMENSIONS},
    "filtering": {
        "pools": 2,
        "budgets": [{"samples": 300}],
        "proxy": {"kind": "head", "seconds": 1, "seeds": 2, "records_per_pool": 200},
    },
    "allocation": {
        "by": "language",
        "objective": "max_min",
        "level": "raw",
        "rounds": {"count": 2, "pilot": 0.4},
        "policy": {"owner": "us", "reason": "a test"},
    },
}


def recipe(folder: Path, *, rounds: dict[str, Any] | None = None, **allocation: Any) -> Recipe:
    """Return the recipe below a folder, some of its keys changed."""
    stated = {**KEYS["allocation"], **allocation}
    stated["rounds"] = {**stated["rounds"], **(rounds or {})}
    return parse_recipe({**KEYS, "allocation": stated}, base=folder)


def frames(seed: int = 0) -> dict[str, pl.DataFrame]:
    """Return what a study reads."""
    rng = np.random.default_rng(seed)
    groups = [name for name, size in SIZES.items() for _ in range(size)]
    count = len(groups)
    x = rng.normal(size=(count, DIMENSIONS)).astype("<f2")
    noise = np.array([NOISE[name] for name in groups]) * rng.normal(size=count)
    label = ["yes" if v > 0 else "no" for v in x[:, 0] + x[:, 1] + noise]
    ids = [f"{i:032x}" for i in rng.permutation(10 * count)[:count]]
    contents = [f"{i:032x}" for i in rng.permutation(10 * count)[:count] + 10**6]
    held_out = [bool(v) for v in rng.random(count) < 0.25]
    records = pl.DataFrame(
        {
            "record_id": ids,
            "content_id": contents,
            "role": "train",
            "text": pl.Series([None] * count, dtype=pl.String),
            "label": label,
        }
    )
    return {
        "deduplication/records": records,
        "deduplication/cut_records": records.clear(),
        "deduplication/fates": pl.DataFrame({"record_id": ids, "content_id": contents}),
        "scoring/embeddings": pl.DataFrame(
            {
                "content_id": contents,
                "embedder_id": embedder(recipe(Path.cwd())).embedder_id,
                "dim": pl.Series([DIMENSIONS] * count, dtype=pl.Int32),
                "vector": [row.tobytes() for row in x],
            }
        ),
        "filtering/pools": pl.DataFrame(
            {
                "record_id": ids,
                "pool": pl.Series(rng.integers(0, 2, count), dtype=pl.Int32),
                "group": groups,
                "quality": rng.random(count),
                "tokens": pl.Series([5] * count, dtype=pl.Int64),
                "held_out": held_out,
            }
        ),
    }


def release(output: Path, number: int = 1, seed: int = 0) -> None:
    """Write a release of `frames(seed)` under an output root."""
    versions = {}
    for name, frame in frames(seed).items():
        versions[name] = put(output / name, frame, {"identity": f"{name} {seed}"})
    row = {"release": number, "versions": json.dumps(versions), "rows": "{}"}
    put(output / "publication/releases", pl.DataFrame([row]), {}, mode="append")


def put(uri: Path, frame: pl.DataFrame, metadata: dict[str, Any], mode: Any = "overwrite") -> int:
    """Commit a frame as a table's content."""
    staged = StagedTable(uri, frame_schema(frame))
    staged.write(frame)
    staged.close()
    return staged.commit(metadata, mode=mode)


def newest(output: Path, table: str) -> pl.DataFrame:
    """Read a table as it stands."""
    there = delta.open_table(output / table)
    assert there is not None, table
    return delta.scan(output / table, there.version()).collect()
