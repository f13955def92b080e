"""Write scikit-learn's bundled tables as lakes hold them: with copies, extracts, old versions.

Each dataset has one natural parent; beside it lie tables that hold nothing new. What contains what
is returned, so that a test can compare it with what containment finds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from examples.lake_files import (
    write_csv,
    write_delta,
    write_hive,
    write_json,
    write_jsonl,
    write_parquet,
)
from examples.lake_summary import Contained

_DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_bundled_tables(lake: Path) -> list[Contained]:
    """Write all tables under ``lake/tables`` and return which is contained in which."""
    return [
        *_write_digits(lake),
        *_write_breast_cancer(lake),
        *_write_wine(lake),
        *_write_iris(lake),
        *_write_diabetes(lake),
    ]


def _load(name: str, label: str | None, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - passed on to scikit-learn
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(**options)
    names = [
        str(c).replace(" ", "_").replace("/", "_per_").replace("(", "").replace(")", "")
        for c in bunch.feature_names
    ]
    frame = pl.DataFrame({c: bunch.data[:, i].copy() for i, c in enumerate(names)})
    if label is None:
        return frame
    return frame.with_columns(
        pl.Series(label, [str(bunch.target_names[t]) for t in bunch.target], dtype=pl.String)
    )


def _write_digits(lake: Path) -> list[Contained]:
    frame = _load("digits", "digit")
    pixels = frame.columns[:-1]
    words = {str(i): word for i, word in enumerate(_DIGIT_NAMES)}
    frame = frame.with_columns(pl.col(pixels).cast(pl.Int64), pl.col("digit").replace_strict(words))
    frame = frame.rename({c: f"p{i // 8}{i % 8}" for i, c in enumerate(pixels)})
    root = "tables/digits"
    write_parquet(frame, lake / root / "digits.parquet")
    write_csv(frame, lake / root / "digits_copy.csv")
    write_jsonl(frame, lake / root / "digits_export.jsonl.gz")
    write_delta([frame[:1200], frame[1200:]], lake / root / "digits_delta")
    write_csv(frame[:1200], lake / root / "digits_old.csv.zst")
    write_parquet(
        frame.filter(pl.col("digit").is_in(["zero", "one"])), lake / root / "zeros_and_ones.parquet"
    )
    write_hive(frame, lake / root / "by_digit", by="digit")
    upper = [c for c in frame.columns if c[0] == "p" and c[1] < "4"]
    write_parquet(
        frame.select(*upper, "digit"), lake / "tables/projections/digits_upper_half.parquet"
    )
    parent = f"{root}/digits.parquet"
    return [
        Contained(f"{root}/digits_copy.csv", (parent,), "copy"),
        Contained(f"{root}/digits_export.jsonl.gz", (parent,), "copy"),
        Contained(f"{root}/digits_delta", (parent,), "copy"),
        Contained(f"{root}/digits_old.csv.zst", (parent,), "older version"),
        Contained(f"{root}/zeros_and_ones.parquet", (parent,), "extract"),
        Contained(f"{root}/by_digit", (parent,), "copy"),
        Contained("tables/projections/digits_upper_half.parquet", (parent,), "projection"),
    ]


def _write_breast_cancer(lake: Path) -> list[Contained]:
    frame = _load("breast_cancer", "diagnosis")
    root = "tables/breast_cancer"
    write_delta([frame[:300], frame[300:450], frame[450:]], lake / root / "breast_cancer")
    write_csv(frame, lake / root / "breast_cancer_copy.csv")
    write_csv(frame[:450], lake / root / "breast_cancer_old.csv.gz")
    write_parquet(
        frame.filter(pl.col("diagnosis") == "malignant"), lake / root / "malignant.parquet"
    )
    write_jsonl(frame[:280], lake / root / "part_a.jsonl")
    write_jsonl(frame[280:], lake / root / "part_b.jsonl")
    means = [c for c in frame.columns if c.startswith("mean_")]
    write_csv(
        frame.select(*means, "diagnosis"), lake / "tables/projections/breast_cancer_means.csv"
    )
    parent = f"{root}/breast_cancer"
    parts = (f"{root}/part_a.jsonl", f"{root}/part_b.jsonl")
    return [
        Contained(f"{root}/breast_cancer_copy.csv", (parent,), "copy"),
        Contained(f"{root}/breast_cancer_old.csv.gz", (parent,), "older version"),
        Contained(f"{root}/malignant.parquet", (parent,), "extract"),
        *(Contained(part, (parent,), "extract") for part in parts),
        Contained(parent, parts, "union"),
        Contained("tables/projections/breast_cancer_means.csv", (parent,), "projection"),
    ]


def _write_wine(lake: Path) -> list[Contained]:
    frame = _load("wine", "cultivar")
    root = "tables/wine"
    write_csv(frame, lake / root / "wine.csv")
    write_csv(frame, lake / root / "wine_copy.tsv", separator="\t")
    write_json(frame, lake / root / "wine_export.json")
    write_csv(frame.filter(pl.col("alcohol") > 13), lake / root / "strong.csv")
    write_parquet(
        frame.select("alcohol", "hue", "proline", "cultivar"),
        lake / "tables/projections/wine_three.parquet",
    )
    parent = f"{root}/wine.csv"
    return [
        Contained(f"{root}/wine_copy.tsv", (parent,), "copy"),
        Contained(f"{root}/wine_export.json", (parent,), "copy"),
        Contained(f"{root}/strong.csv", (parent,), "extract"),
        Contained("tables/projections/wine_three.parquet", (parent,), "projection"),
    ]


def _write_iris(lake: Path) -> list[Contained]:
    frame = _load("iris", "species")
    root = "tables/iris"
    write_parquet(frame, lake / root / "iris.parquet")
    write_csv(frame, lake / root / "iris_copy.csv")
    write_jsonl(frame, lake / root / "iris_export.jsonl")
    write_csv(frame.filter(pl.col("species") == "setosa"), lake / root / "setosa.csv.gz")
    write_hive(frame, lake / root / "by_species", by="species")
    petals = frame.select("petal_length_cm", "petal_width_cm", "species")
    write_csv(petals, lake / "tables/projections/iris_petals.tsv", separator="\t")
    parent = f"{root}/iris.parquet"
    return [
        Contained(f"{root}/iris_copy.csv", (parent,), "copy"),
        Contained(f"{root}/iris_export.jsonl", (parent,), "copy"),
        Contained(f"{root}/setosa.csv.gz", (parent,), "extract"),
        Contained(f"{root}/by_species", (parent,), "copy"),
        Contained("tables/projections/iris_petals.tsv", (parent,), "projection"),
    ]


def _write_diabetes(lake: Path) -> list[Contained]:
    frame = _load("diabetes", None, scaled=False).with_columns(progression=_diabetes_target())
    root = "tables/diabetes"
    for number in range(3):  # one schema: the folder is one table
        rows = frame[number * 150 : (number + 1) * 150]
        write_parquet(rows, lake / root / "diabetes" / f"part-{number}.parquet")
    write_csv(frame, lake / root / "diabetes_copy.csv.gz")
    write_delta([frame[:300]], lake / root / "diabetes_old")
    write_parquet(frame.filter(pl.col("age") < 40), lake / root / "under_40.parquet")
    parent = f"{root}/diabetes"
    return [
        Contained(f"{root}/diabetes_copy.csv.gz", (parent,), "copy"),
        Contained(f"{root}/diabetes_old", (parent,), "older version"),
        Contained(f"{root}/under_40.parquet", (parent,), "extract"),
    ]


def _diabetes_target() -> pl.Series:
    from sklearn.datasets import load_diabetes

    return pl.Series(load_diabetes(scaled=False).target.copy())
