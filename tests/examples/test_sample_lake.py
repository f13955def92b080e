"""The sample lake: the same twice, bounded, every format, and contained is contained."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import polars as pl
import pytest

from examples.build_sample_lake import (
    SMALLEST_BYTES,
    DestinationError,
    LakeSizeError,
    build,
    main,
)
from examples.installed_files import MissingDistributionError
from examples.lake_summary import Summary
from resources.recipe_file import load_recipe
from resources.rules import matching_rule

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

try:
    distribution("django")
    HAS_DJANGO = True
except PackageNotFoundError:
    HAS_DJANGO = False


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = tmp_path_factory.mktemp("sample") / "lake"
    return folder, build(folder, target_bytes=SMALLEST_BYTES, allow_missing=True)


def listing(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read(path: Path) -> pl.DataFrame:
    """Read a table with polars, numbers as floats: independent of how the project reads."""
    import gzip
    import io

    import zstandard

    if (path / "_delta_log").is_dir():
        frame = pl.read_delta(str(path))
    elif path.is_dir():
        frame = pl.read_parquet(path, hive_partitioning=True)
    elif path.suffix == ".parquet":
        frame = pl.read_parquet(path)
    else:
        data = path.read_bytes()
        name = path.name
        if name.endswith(".gz"):
            data, name = gzip.decompress(data), name[:-3]
        elif name.endswith(".zst"):
            data, name = (
                zstandard.ZstdDecompressor().decompress(data, max_output_size=10**9),
                name[:-4],
            )
        match name.rsplit(".", 1)[1]:
            case "csv":
                frame = pl.read_csv(io.BytesIO(data), infer_schema_length=None)
            case "tsv":
                frame = pl.read_csv(io.BytesIO(data), separator="\t", infer_schema_length=None)
            case "json":
                frame = pl.read_json(io.BytesIO(data), infer_schema_length=None)
            case _:
                frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    return frame.with_columns(pl.selectors.numeric().cast(pl.Float64))


def test_two_builds_are_byte_for_byte_the_same(lake: tuple[Path, Summary], tmp_path: Path) -> None:
    again = tmp_path / "elsewhere" / "lake"
    build(again, target_bytes=SMALLEST_BYTES, workers=2, allow_missing=True)
    assert listing(again) == listing(lake[0])


def test_size_is_bounded_and_summed(lake: tuple[Path, Summary]) -> None:
    folder, summary = lake
    sizes = [
        p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")
    ]
    assert summary.bytes == sum(sizes) <= SMALLEST_BYTES
    assert summary.files == len(sizes)
    assert summary.text_records > 1500


def test_every_format_occurs(lake: tuple[Path, Summary]) -> None:
    names = list(listing(lake[0]))
    for ending in (
        ".parquet", ".csv", ".csv.gz", ".csv.zst", ".tsv", ".json", ".jsonl", ".jsonl.gz",
        ".jsonl.zst", ".txt", ".txt.gz",
    ):  # fmt: skip
        assert any(name.endswith(ending) for name in names), ending
    assert any("_delta_log" in name for name in names)
    assert any("digit=seven" in name for name in names)


def test_tables_are_those_that_ingestion_finds(lake: tuple[Path, Summary]) -> None:
    from assets.ingestion.discover import discover

    found = discover(lake[0])
    tables = {source.table for source in found.sources}
    assert len(tables) + len(found.unreadable) == lake[1].tables
    assert {entry.table for entry in found.unreadable} == {
        "broken/empty.csv",
        "broken/truncated.parquet",
    }
    assert len([table for table in tables if table.startswith("tables/")]) >= 25
    assert {
        name for relation in lake[1].contained for name in (relation.child, *relation.parents)
    } <= tables


def test_what_is_said_to_be_contained_is(lake: tuple[Path, Summary]) -> None:
    folder, summary = lake
    kinds = set()
    for child, parents, kind in summary.contained:
        rows = read(folder / child)
        parent = pl.concat([read(folder / name).select(rows.columns) for name in parents])
        missing = rows.join(parent, on=rows.columns, how="anti", nulls_equal=True)
        assert missing.is_empty(), child
        assert rows.height > 0
        if kind == "copy":
            assert rows.height == parent.height
        elif kind in {"extract", "older version"}:
            assert rows.height < parent.height
        kinds.add(kind)
    assert kinds == {"copy", "extract", "older version", "projection", "union"}


def test_evaluation_is_partly_contaminated(lake: tuple[Path, Summary]) -> None:
    folder, summary = lake
    evaluation = read(folder / "evaluation/documentation.jsonl")
    paths = (p for p in (folder / "documentation").iterdir() if p.name != "data_files.csv.gz")
    training = pl.concat([read(path).select("id", "text") for path in paths])
    verbatim = evaluation.filter(pl.col("text").is_in(training["text"].to_list()))
    assert verbatim.height >= summary.evaluation["verbatim"]
    edited = evaluation.filter(pl.col("id").str.ends_with(":page"))
    originals = edited.with_columns(pl.col("id").str.strip_suffix(":page")).join(training, on="id")
    assert originals.height == edited.height == summary.evaluation["edited"]
    for one, two in originals.select("text", "text_right").iter_rows():
        assert one != two
        assert _jaccard(one, two) >= 0.8
    target = read(folder / "target/prose.jsonl")
    assert target.height >= 60
    assert not set(target["id"]) & set(training["id"])


def _jaccard(one: str, two: str) -> float:
    a, b = ({tuple(w[i : i + 5]) for i in range(len(w) - 4)} for w in (one.split(), two.split()))
    return len(a & b) / len(a | b)


def test_ids_are_distinct_within_a_table(lake: tuple[Path, Summary]) -> None:
    for path in (lake[0] / "documentation").iterdir():
        frame = read(path)
        assert frame["id"].n_unique() == frame.height, path.name
        assert frame["text"].null_count() == 0


def test_real_duplicates_occur(lake: tuple[Path, Summary]) -> None:
    licences = read(lake[0] / "documentation/licences.csv.zst")
    assert licences["text"].n_unique() < licences.height


@pytest.mark.parametrize("name", ["recipe.yaml", "minimal.yaml"])
def test_recipes_load_and_name_real_columns(name: str, lake: tuple[Path, Summary]) -> None:
    from assets.ingestion.discover import discover

    recipe = load_recipe(EXAMPLES / name)
    used = set()
    for source in discover(lake[0]).sources:
        index = matching_rule(recipe.records, source.table)
        if index is None:
            assert name == "minimal.yaml"
            continue
        rule = recipe.records[index]
        used.add(index)
        if source.format == "text" or rule.role == "ignore" or source.table.startswith("broken/"):
            continue
        columns = set(read(source.path).columns)
        groups = {group.column for group in rule.groups.values() if group.column}
        assert {*rule.text, *rule.features, *groups} <= columns, source.table
        assert rule.label is None or rule.label in columns
    unused = set(range(len(recipe.records))) - used
    assert not unused or (
        not HAS_DJANGO and [recipe.records[i].tables for i in unused] == [("multilingual/*",)]
    )


@pytest.mark.skipif(
    not HAS_DJANGO, reason="the translations come from django, which is not installed"
)
def test_languages_are_uneven(lake: tuple[Path, Summary]) -> None:
    languages = lake[1].languages
    assert 10 <= len(languages) <= 12
    assert languages["am"] < 20 < languages["sw"] < languages["es"] / 3
    frame = read(lake[0] / "multilingual/romance.jsonl")
    assert frame["text"].str.len_chars().median() >= 300
    assert frame["id"].n_unique() == frame.height


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DestinationError, match="no sample lake"):
        build(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_too_small_a_lake_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LakeSizeError, match="at least"):
        build(tmp_path / "lake", target_bytes=1000)
    assert main([str(tmp_path / "lake"), "--megabytes", "1"]) == 2
    assert "at least" in capsys.readouterr().err
    assert not (tmp_path / "lake").exists()


def test_a_missing_package_costs_no_earlier_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples import documentation_tables

    (tmp_path / ".sample_lake").touch()
    (tmp_path / "earlier.csv").write_text("a\n1\n")
    monkeypatch.setattr(documentation_tables, "ROOTS", ("no-such-thing",))
    with pytest.raises(MissingDistributionError, match="pip install no-such-thing"):
        build(tmp_path)
    assert (tmp_path / "earlier.csv").exists()
