"""The main job on a small lake, whole: what comes out, what it promises, and what a second run does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from orchestration.execute import execute
from resources import delta
from resources.recipe_file import load_recipe
from resources.releases import last_release
from tests.faults.small import build, contents

CONTRACT = {
    "ingestion/tables": "table uri format version rows bytes columns status error",
    "ingestion/columns": "table column type nulls min max bounds_exact",
    "ingestion/quarantine": "table uri position reason raw",
    "containment/edges": (
        "child parent containment multiset_containment exact equality column_map child_rows parent_rows "
        "child_version parent_version"
    ),
    "containment/unions": "child parents versions",
    "containment/retention": "table decision parents saving rebuild_latency reason",
    "deduplication/records": (
        "record_id content_id table position role text features uri label language"
    ),
    "deduplication/duplicates": "record_id cluster kind keeper similarity label_conflict",
    "scoring/embeddings": "content_id embedder_id dim vector",
    "scoring/scores": "record_id quality calibration",
    "filtering/pools": "record_id pool",
    "filtering/curves": "pool samples_seen unique metric_name direction metric_value se seed run_id",
    "filtering/laws": "law pool b tau",
    "filtering/plan": "pools weights passes predicted p_best regret",
    "allocation/group_curves": (
        "group samples_seen unique metric_name direction metric_value se seed run_id"
    ),
    "allocation/plan": "group pool available samples records passes sampling_prob marginal_value",
    "publication/training_set": (
        "record_id content_id text features uri label language pool quality passes weight table position "
        "source_version"
    ),
    "publication/holdout": "record_id content_id text features uri label language pool quality table position",
    "publication/ledger": "record_id table fate stage reason by rows",
    "publication/releases": "release run_id recipe_hash code_version versions calibration time",
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    path = build(folder)
    lake = folder / "lake"
    # what lakes gather: an extract in another format, a broken line, a file that is no Parquet, an empty one
    rows = [
        json.loads(line) for line in (lake / "a.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    pl.DataFrame(rows[:20]).write_parquet(lake / "extract.parquet")
    (lake / "broken.jsonl").write_text(
        '{"text": "a good line of quite some words", "language": "en"}\n{"text": "cut o\n',
        encoding="utf-8",
    )
    (lake / "no.parquet").write_bytes(b"this is no parquet file")
    (lake / "empty.csv").write_bytes(b"")
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"*.jsonl", text', '["*.jsonl", "*.parquet"], text'), encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        outcome = execute(load_recipe(path))
    assert outcome.changed
    return path


def test_every_table_of_the_contract_exists_with_its_columns(recipe: Path) -> None:
    release = last_release(recipe.parent / "out")
    assert release is not None
    for table, columns in CONTRACT.items():
        version = release["versions"].get(table, 0)
        found = delta.scan(recipe.parent / "out" / table, version).collect_schema().names()
        assert set(columns.split()) <= set(found), table


def test_nothing_is_lost_counted_without_our_readers(recipe: Path) -> None:
    ledger = contents(recipe)["publication/ledger"]
    accounted = dict(ledger.group_by("table").agg(pl.col("rows").sum()).iter_rows())
    lake = recipe.parent / "lake"
    for name in ("a.jsonl", "b.jsonl", "eval.jsonl", "broken.jsonl"):
        lines = [x for x in (lake / name).read_text(encoding="utf-8").split("\n") if x.strip()]
        assert accounted[name] == len(lines), name
    assert accounted["n.csv"] == len((lake / "n.csv").read_text().strip().split("\n")) - 1
    assert accounted["extract.parquet"] == 20


def test_a_contained_table_is_not_read_again_and_its_line_says_by_whom(recipe: Path) -> None:
    ledger = contents(recipe)["publication/ledger"]
    line = ledger.filter(pl.col("fate") == "contained").to_dicts()
    assert [(x["table"], x["by"], x["rows"]) for x in line] == [("extract.parquet", "a.jsonl", 20)]


def test_evaluation_rows_and_their_twins_are_never_published(recipe: Path) -> None:
    tables = contents(recipe)
    records, training = tables["deduplication/records"], tables["publication/training_set"]
    held = tables["publication/holdout"]
    guarded = [_shingles(t) for t in records.filter(pl.col("role") != "train")["text"]]
    for text in pl.concat([training["text"], held["text"]]).drop_nulls():
        ours = _shingles(text)
        assert all(len(ours & s) / len(ours | s) < 0.8 for s in guarded)


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(len(words) - 4, 1))}


def test_published_texts_are_no_near_twins_of_each_other_or_of_the_held_out(recipe: Path) -> None:
    tables = contents(recipe)
    texts = pl.concat(
        [tables["publication/training_set"]["text"], tables["publication/holdout"]["text"]]
    )
    sets = [_shingles(t) for t in texts.drop_nulls()]
    for i, left in enumerate(sets):
        assert all(len(left & right) / len(left | right) < 0.8 for right in sets[:i])


def test_the_plan_is_followed_to_the_row(recipe: Path) -> None:
    tables = contents(recipe)
    training, plan = tables["publication/training_set"], tables["allocation/plan"]
    assert training["passes"].sum() == plan["samples"].sum() <= 60
    assert training.height == plan["records"].sum()
    assert training["record_id"].n_unique() == training.height
    assert (training["weight"] == 1.0).all()


def test_features_and_labels_go_through(recipe: Path) -> None:
    tables = contents(recipe)
    numbers = tables["deduplication/records"].filter(pl.col("table") == "n.csv")
    assert numbers.height == 30
    assert numbers["features"].list.len().unique().to_list() == [2]
    assert set(numbers["label"]) == {"0", "1"}
    silent = tables["scoring/silences"]
    assert "no text" in " ".join(silent.filter(pl.col("scorer") == "heuristics")["reason"])
    assert "dsir" in silent.filter(pl.col("rows").is_null())["scorer"].to_list()


def test_what_cannot_be_read_is_set_aside_with_its_reason(recipe: Path) -> None:
    aside = contents(recipe)["ingestion/quarantine"]
    found = {(t, p) for t, p in aside.select("table", "position").iter_rows()}
    assert found == {("broken.jsonl", 1), ("no.parquet", None), ("empty.csv", None)}
    assert aside["reason"].null_count() == 0


def test_a_second_run_commits_nothing_and_reads_no_data(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(recipe.parent / "dagster"))
    output = recipe.parent / "out"
    before = {p: p.stat().st_mtime_ns for p in output.rglob("_delta_log/*.json")}
    outcome = execute(load_recipe(recipe))
    assert not outcome.changed
    assert {p: p.stat().st_mtime_ns for p in output.rglob("_delta_log/*.json")} == before


def test_touching_a_file_changes_nothing_downstream(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(recipe.parent / "dagster"))
    before = last_release(recipe.parent / "out")
    (recipe.parent / "lake" / "a.jsonl").touch()
    execute(load_recipe(recipe))
    after = last_release(recipe.parent / "out")
    assert before is not None
    assert after is not None
    assert after["release"] == before["release"]


def test_no_record_text_in_the_history_of_dagster(recipe: Path) -> None:
    words = [
        row["text"] for row in contents(recipe)["deduplication/records"].to_dicts() if row["text"]
    ]
    marker = words[0][:40].encode()
    files = [p for p in (recipe.parent / "dagster").rglob("*") if p.is_file()]
    assert files
    assert not any(marker in p.read_bytes() for p in files)


def test_the_card_is_one_page_that_names_every_fate(recipe: Path) -> None:
    page = (recipe.parent / "out" / "publication" / "card.html").read_text(encoding="utf-8")
    for fate in contents(recipe)["publication/ledger"]["fate"].unique():
        assert fate.replace("_", " ") in page or fate in page, fate
    assert "<script" not in page


def test_neither_file_order_nor_workers_change_a_result(recipe: Path, tmp_path: Path) -> None:
    import shutil

    (tmp_path / "lake").mkdir()
    for file in sorted((recipe.parent / "lake").iterdir(), reverse=True):
        shutil.copy2(file, tmp_path / "lake" / file.name)
    other = tmp_path / "recipe.yaml"
    other.write_text(
        recipe.read_text(encoding="utf-8").replace("workers: 1", "workers: 2"), encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
        execute(load_recipe(other))
    ours, theirs = contents(recipe), contents(other)
    for name in ("deduplication/fates", "scoring/scores", "filtering/pools", "allocation/plan"):
        assert ours[name].equals(theirs[name]), name
    left, right = ours["publication/training_set"], theirs["publication/training_set"]
    assert left.drop("source_version").equals(right.drop("source_version"))
