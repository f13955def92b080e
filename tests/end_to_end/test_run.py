"""What a run promises about its rows: counted without our readers, followed through releases, beside other runs.

Most tests read the one run of `tests.conftest.run_lake`. What differs from it (no budget, no policy, three keys,
a second recipe on the same lake) runs on lakes of a few rows.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from orchestration.execute import execute
from orchestration.stages_light import layer_of
from resources import delta
from resources.errors import NotReadyError
from resources.recipe_file import load_recipe
from resources.releases import RELEASES, last_release
from tests import lakes
from tests.conftest import RunLake


def release_of(output: Path) -> dict[str, Any]:
    release = last_release(output)
    assert release is not None
    return release


def table(output: Path, name: str, state: Path | None = None) -> pl.DataFrame:
    root = state if state is not None and layer_of(name) == "lake" else output
    return delta.scan(root / name, release_of(output)["versions"][name]).collect()


def ledger_rows(output: Path) -> dict[tuple[str, str], int]:
    lines = table(output, "publication/ledger").group_by("table", "fate").agg(pl.col("rows").sum())
    return {(t, f): n for t, f, n in lines.iter_rows()}


def physical_rows(path: Path) -> int:
    """Count the rows of a file with the standard library (Parquet and Delta: by their own footers)."""
    if path.is_dir():
        return sum(physical_rows(p) for p in path.glob("*.parquet"))
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.ParquetFile(path).metadata.num_rows)
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if path.suffix in {".csv", ".tsv"}:
        mark = "\t" if path.suffix == ".tsv" else ","
        return len(list(csv.reader(raw.decode().splitlines(), delimiter=mark))) - 1
    return sum(bool(line.strip()) for line in raw.split(b"\n"))


def commits_of(output: Path) -> dict[Path, bytes]:
    """Return the logs of every table; landed copies aside, which are read at the version that ingestion registered."""
    logs = output.rglob("_delta_log/*.json")
    return {p: p.read_bytes() for p in logs if "landed" not in p.parts}


def shingles(text: str) -> set[tuple[str, ...]]:
    parts = re.findall(r"\w+", text.lower())
    return {tuple(parts[i : i + 5]) for i in range(max(len(parts) - 4, 1))}


def likeness(left: str, right: str) -> float:
    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b)


# what the lake is, before anything is concluded from it


def test_the_lake_is_the_same_bytes_every_time_and_what_it_says(
    run_lake: RunLake, tmp_path: Path
) -> None:
    other = lakes.build(tmp_path, backwards=True)
    for name, rows in other.rows.items():
        ours, theirs = run_lake.lake.root / name, other.root / name
        if ours.is_file():
            assert ours.read_bytes() == theirs.read_bytes(), name
        if rows is not None:
            assert physical_rows(ours) == rows, name


# one run of it


def test_nothing_is_lost_table_by_table(run_lake: RunLake) -> None:
    lake = run_lake.lake
    accounted: Counter[str] = Counter()
    for (name, _), rows in ledger_rows(lake.output).items():
        accounted[name] += rows
    read = {n: r for n, r in lake.rows.items() if not n.startswith("archive/")}
    assert dict(accounted) == {name: rows or 0 for name, rows in read.items()}
    counted = dict(table(lake.output, "ingestion/tables").select("table", "counted").iter_rows())
    assert counted == lake.rows


def test_each_record_has_one_line_and_each_published_row_its_line(run_lake: RunLake) -> None:
    output = run_lake.lake.output
    lines = table(output, "publication/ledger").drop_nulls("record_id")
    records = table(output, "deduplication/records")
    assert sorted(lines["record_id"]) == sorted(records["record_id"])
    assert lines["record_id"].n_unique() == lines.height
    for fate, name in (("published", "training_set"), ("held_out", "holdout")):
        named = set(lines.filter(pl.col("fate") == fate)["record_id"])
        assert named == set(table(output, f"publication/{name}")["record_id"])


def test_the_rows_of_contained_tables_are_counted_once_and_not_read(run_lake: RunLake) -> None:
    lake = run_lake.lake
    lines = table(lake.output, "publication/ledger").filter(pl.col("fate") == "contained")
    assert dict(lines.select("table", "by").iter_rows()) == lake.contained
    read = set(table(lake.output, "deduplication/records")["table"])
    assert not read & lake.contained.keys()
    edges = table(lake.output, "containment/edges").filter(pl.col("containment") == 1.0)
    assert lake.contained.items() <= set(edges.select("child", "parent").iter_rows())


def test_what_cannot_be_read_is_set_aside_and_nothing_else(run_lake: RunLake) -> None:
    aside = table(run_lake.lake.output, "ingestion/quarantine")
    assert set(aside.select("table", "position").iter_rows()) == run_lake.lake.aside


def test_no_text_comes_out_that_is_like_a_protected_one(run_lake: RunLake) -> None:
    output = run_lake.lake.output
    out = [
        *table(output, "publication/training_set")["text"].drop_nulls(),
        *table(output, "publication/holdout")["text"].drop_nulls(),
    ]
    guarded = [shingles(t) for t in run_lake.lake.protected]
    for text in out:
        ours = shingles(text)
        assert max(len(ours & g) / len(ours | g) for g in guarded) < 0.8
    fates = table(output, "deduplication/fates").filter(pl.col("fate") == "contaminated")
    assert fates.height == 3  # the exact one, the edited one, and the one that the target holds


def test_what_comes_out_is_what_went_in(run_lake: RunLake) -> None:
    output, root = run_lake.lake.output, run_lake.lake.root
    lines = (root / "texts" / "english.jsonl").read_text(encoding="utf-8").splitlines()
    shown = table(output, "publication/training_set").filter(
        pl.col("table") == "texts/english.jsonl"
    )
    assert shown.height
    for row in shown.to_dicts():
        source = json.loads(lines[row["position"]])
        assert (row["text"], row["language"], row["source"]) == (
            source["text"],
            source["language"],
            source["source"],
        )


def test_every_twin_names_a_keeper_that_it_is_like(run_lake: RunLake) -> None:
    output = run_lake.lake.output
    texts = dict(
        table(output, "deduplication/records").select("record_id", "text").drop_nulls().iter_rows()
    )
    twins = table(output, "deduplication/duplicates")
    kept = set(
        table(output, "deduplication/fates")
        .filter(pl.col("fate").is_null() | (pl.col("fate") == "held_out"))["record_id"]
        .to_list()
    )
    dropped = twins.filter(pl.col("record_id") != pl.col("keeper")).to_dicts()
    assert Counter(t["kind"] for t in dropped) == {"exact": 1, "near": 3}
    for twin in dropped:
        assert twin["keeper"] in kept
        assert twin["similarity"] == pytest.approx(
            likeness(texts[twin["record_id"]], texts[twin["keeper"]])
        )


def test_the_plan_is_followed_and_its_floors_kept(run_lake: RunLake) -> None:
    output = run_lake.lake.output
    plan, training = table(output, "allocation/plan"), table(output, "publication/training_set")
    shown = training.group_by("language", "pool").agg(
        samples=pl.col("passes").sum(), records=pl.len()
    )
    got = {(g, p): (s, n) for g, p, s, n in shown.iter_rows()}
    wanted = {
        (row["group"], row["pool"]): (row["samples"], row["records"])
        for row in plan.to_dicts()
        if row["records"]
    }
    assert got == wanted
    assert training["passes"].sum() == 160
    assert training.filter(pl.col("language") == "am")["record_id"].n_unique() >= 6
    assert plan["sampling_prob"].sum() == pytest.approx(1.0)


def test_what_a_method_cannot_apply_to_is_null_with_a_reason(run_lake: RunLake) -> None:
    output = run_lake.lake.output
    training = table(output, "publication/training_set")
    numbers = training.filter(pl.col("language") == "numbers")
    assert numbers.height
    assert numbers["text"].null_count() == numbers.height
    assert set(numbers["label"]) <= {"k0", "k1", "k2"}
    assert numbers["features"].list.len().unique().to_list() == [3]
    scores = table(output, "scoring/scores").join(
        table(output, "deduplication/records").select("record_id", "features"), on="record_id"
    )
    without_text = scores.filter(pl.col("features").is_not_null())
    assert without_text["heuristics"].null_count() == without_text.height
    silences = table(output, "scoring/silences")
    assert silences.filter(pl.col("scorer") == "heuristics")["reason"].str.len_chars().min() > 0


def test_the_release_names_the_version_of_every_table_and_the_run_that_made_it(
    run_lake: RunLake,
) -> None:
    output = run_lake.lake.output
    release = release_of(output)
    assert release["run_id"] == run_lake.run_id
    on_disk = {
        str(log.parent.relative_to(output))
        for log in output.rglob("_delta_log")
        if "_sluice" not in str(log) and "landed" not in str(log)
    }
    assert release["versions"].keys() <= on_disk
    assert {f"{s}/" for s in ("ingestion", "containment", "deduplication", "scoring")} <= {
        name.split("/")[0] + "/" for name in release["versions"]
    }
    for name, version in release["versions"].items():
        made = dict(delta.commits(output / name))[version]
        assert made["run"] == run_lake.run_id, name
    rows: Counter[str] = Counter()
    for (_, fate), count in ledger_rows(output).items():
        rows[fate] += count
    assert release["rows"] == dict(rows)


def test_no_text_of_a_record_is_in_the_history_of_dagster(run_lake: RunLake) -> None:
    files = [p for p in run_lake.home.rglob("*") if p.is_file()]
    assert any(p.suffix == ".db" for p in files)
    mark = lakes.MARKER.encode()
    assert [p for p in files if mark in p.read_bytes()] == []
    # and the search would have found it: the tables hold it
    parts = list(run_lake.lake.output.rglob("records/*.parquet"))
    assert any(lakes.MARKER in str(pl.read_parquet(p)["text"].to_list()) for p in parts)


def test_the_history_of_dagster_holds_every_table_with_its_version(run_lake: RunLake) -> None:
    import dagster as dg

    release = release_of(run_lake.lake.output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(run_lake.home))
        with dg.DagsterInstance.get() as instance:
            for name, version in {**release["versions"], RELEASES: 0}.items():
                event = instance.get_latest_materialization_event(dg.AssetKey(name.split("/")))
                assert event is not None, name
                assert event.asset_materialization is not None
                told = event.asset_materialization.metadata["delta/version"].value
                assert told == version, name


# runs that differ


def test_three_keys_suffice_and_then_all_survivors_pass_once(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = load_recipe(lakes.build_small(tmp_path))
    first = execute(recipe)
    assert first.changed
    output = tmp_path / "out"
    training = table(output, "publication/training_set")
    held = table(output, "publication/holdout")
    assert training.height + held.height == 24
    assert training["passes"].unique().to_list() == [1]
    assert {f for _, f in ledger_rows(output)} <= {"published", "held_out"}
    reasons = table(output, "filtering/plan")["reason"].drop_nulls().to_list()
    assert reasons
    report = table(output, "allocation/report").to_dicts()[0]
    assert "no policy stated" in json.dumps(report, default=str)

    before = commits_of(output)
    again = execute(recipe)
    assert not again.changed
    assert again.release == first.release
    assert commits_of(output) == before

    # a row more is a new release; what was held out stays so
    with (tmp_path / "lake" / "notes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": lakes.words("en", 5000, 50)}) + "\n")
    third = execute(recipe)
    assert third.changed
    assert release_of(output)["release"] == 2
    later = table(output, "publication/holdout")
    assert set(held["record_id"]) <= set(later["record_id"])
    assert table(output, "publication/training_set").height + later.height == 25


def test_addresses_that_no_scorer_can_read_have_no_quality_and_are_published(
    tmp_path: Path, dagster_home: Path
) -> None:
    (tmp_path / "lake").mkdir()
    pictures = pl.DataFrame({"path": [f"pictures/{i}.png" for i in range(20)]})
    pictures.write_csv(tmp_path / "lake" / "pictures.csv")
    plain = {"lake": "lake", "output": "out", "records": [{"tables": "*", "uri": "path"}]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    execute(load_recipe(tmp_path / "recipe.yaml"))
    output = tmp_path / "out"
    assert table(output, "scoring/scores")["quality"].null_count() == 20
    assert table(output, "filtering/pools")["pool"].unique().to_list() == [0]
    reasons = table(output, "scoring/silences")["reason"]
    assert reasons.str.contains("left out: needs .*, which the records lack").any()
    shown = [
        *table(output, "publication/training_set")["uri"],
        *table(output, "publication/holdout")["uri"],
    ]
    assert sorted(shown) == sorted(pictures["path"])


@pytest.mark.slow
def test_a_budget_without_a_policy_reallocates_nothing(tmp_path: Path, dagster_home: Path) -> None:
    least = lakes.build_small(tmp_path, 40)
    keys = yaml.safe_load(least.read_text(encoding="utf-8"))
    keys["filtering"] = {
        "pools": 1,
        "budgets": [{"samples": 20}],
        "proxy": {"seconds": 0.2, "seeds": 1, "records_per_pool": 20},
    }
    least.write_text(yaml.safe_dump(keys), encoding="utf-8")
    execute(load_recipe(least))
    output = tmp_path / "out"
    small = table(output, "publication/training_set")
    assert small["passes"].sum() == 20
    keys["filtering"]["budgets"] = [{"samples": 30}]
    least.write_text(yaml.safe_dump(keys), encoding="utf-8")
    execute(load_recipe(least))
    large = table(output, "publication/training_set")
    assert large["passes"].sum() == 30
    assert set(small["record_id"]) <= set(large["record_id"])


@pytest.mark.slow
def test_two_recipes_share_a_lake_layer_and_neither_disturbs_the_other(
    tmp_path: Path, dagster_home: Path
) -> None:
    least = lakes.build_small(tmp_path)
    keys = {**yaml.safe_load(least.read_text(encoding="utf-8")), "state": "shared"}
    paths = {}
    for name in ("first", "second"):
        paths[name] = tmp_path / f"{name}.yaml"
        paths[name].write_text(
            yaml.safe_dump({**keys, "name": name, "output": name}), encoding="utf-8"
        )
    execute(load_recipe(paths["first"]))
    ingested = list((tmp_path / "shared" / "ingestion").rglob("_delta_log/*.json"))
    ours = release_of(tmp_path / "first")
    execute(load_recipe(paths["second"]))
    assert list((tmp_path / "shared" / "ingestion").rglob("_delta_log/*.json")) == ingested
    assert release_of(tmp_path / "first") == ours
    left, right = (
        table(tmp_path / name, "publication/training_set", tmp_path / "shared").sort("record_id")
        for name in paths
    )
    assert left.equals(right)
    assert not (tmp_path / "first" / "ingestion").exists()


def test_a_stage_alone_reads_the_release_and_publication_is_untouched(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = load_recipe(lakes.build_small(tmp_path))
    with pytest.raises(NotReadyError, match=r"--select"):
        execute(recipe, select=["deduplication"])
    execute(recipe, select=["+containment/edges"])
    assert last_release(tmp_path / "out") is None
    execute(recipe)
    release = release_of(tmp_path / "out")
    execute(recipe, select=["scoring"])
    assert release_of(tmp_path / "out") == release


@pytest.mark.slow  # a second run of the whole tiny lake
def test_the_whole_lake_written_backwards_and_two_workers_give_the_same(
    run_lake: RunLake, tmp_path: Path, dagster_home: Path
) -> None:
    other = lakes.build(tmp_path, backwards=True)
    lakes.write_recipe(other.recipe, limits={"workers": 2, "memory": "1GB"})
    execute(load_recipe(other.recipe))
    for name in (
        "deduplication/records",
        "deduplication/duplicates",
        "deduplication/fates",
        "scoring/scores",
        "filtering/pools",
        "allocation/plan",
        "publication/ledger",
    ):
        left, right = (table(lake.output, name) for lake in (run_lake.lake, other))
        keys = [c for c, kind in left.schema.items() if not kind.is_nested()]
        assert left.sort(keys).equals(right.sort(keys)), name
    left, right = (
        table(lake.output, "publication/training_set").drop("source_version").sort("record_id")
        for lake in (run_lake.lake, other)
    )
    assert left.equals(right)
