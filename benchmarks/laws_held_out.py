"""Predict the largest runs of a table of real curves from the smaller ones: a report, nothing is tuned on it.

The evaluations with the most samples seen (a share of all) are held out, the laws are fitted to the rest,
and their predictions are compared with what was measured: mean absolute error, bias, how often the 80 and
90 % intervals hold the measurement, and the same for two fixed rules (the last value of the pool and
model size carried forward, and a plain power law).

    python benchmarks/laws_held_out.py CURVES --share 0.3

CURVES: as `sluice laws` takes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.filtering.analyse import CHOICES, study
from orchestration.commands.tables import read_table

POINT = ("pool", "pool_unique", "samples_seen", "model_size")


def carried(train: pl.DataFrame, test: pl.DataFrame) -> np.ndarray:
    """Return for each held-out row the value of the longest run of its pool, and model size if known."""
    keys = [name for name in ("pool", "model_size") if name in train.columns]
    last = train.sort("samples_seen").group_by(keys).agg(last=pl.col("metric_value").last())
    overall = float(train.sort("samples_seen")["metric_value"][-1])
    joined = test.join(last, on=keys, how="left", maintain_order="left")
    return joined["last"].fill_null(overall).to_numpy()


def main() -> None:
    """Fit, compare and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("curves", type=Path)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument(
        "--laws", nargs="*", default=["average", "utility", "power"], choices=CHOICES
    )
    given = parser.parse_args()
    table = read_table(given.curves)
    cut = table["samples_seen"].quantile(1.0 - given.share)
    train = table.filter(pl.col("samples_seen") <= cut)
    test = table.filter(pl.col("samples_seen") > cut)
    points = test.select([name for name in POINT if name in test.columns])
    actual = test["metric_value"].to_numpy()
    error = carried(train, test) - actual
    results: dict[str, object] = {
        "fitted": train.height,
        "held_out": test.height,
        "last_value": {"mean_absolute_error": float(np.abs(error).mean())},
    }
    for law in given.laws:
        fitted = study(train, law=law)
        found = fitted.predict(points)
        predicted = np.array([row["predicted"] for row in found])
        inside = {
            level: [
                row[f"lo{level}"] <= y <= row[f"hi{level}"]
                for row, y in zip(found, actual, strict=True)
            ]
            for level in (80, 90)
        }
        results[law] = {
            "mean_absolute_error": float(np.abs(predicted - actual).mean()),
            "bias": float((predicted - actual).mean()),
            "held_by_80": float(np.mean(inside[80])),
            "held_by_90": float(np.mean(inside[90])),
            "warnings": [notice.code for notice in fitted.diagnosis.notices],
        }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
