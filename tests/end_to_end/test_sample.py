"""A run on a share of the records: apart from the real release, nested, balanced, and without a trace in a full run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.execute import execute
from orchestration.stages_light import layer_of
from resources import delta
from resources.errors import CheckError
from resources.recipe_file import load_recipe
from resources.releases import last_release
from tests import lakes


def build(folder: Path) -> Path:
    """Write three tables: texts with a broken line, a copy of some of them, an evaluation set with one of them."""
    lake = folder / "lake"
    lake.mkdir(parents=True)
    rows = [{"text": text} for text in lakes.texts("en", 60)]
    lines = [json.dumps(row) for row in rows]
    lines.insert(7, '{"text": "cut o')
    (lake / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pl.DataFrame(rows[10:30]).write_parquet(lake / "texts_copy.parquet")
    judged = [rows[0]["text"], *lakes.texts("en", 4, start=900)]
    (lake / "judged.csv").write_text("text\n" + "\n".join(judged) + "\n", encoding="utf-8")
    recipe = {
        "lake": "lake",
        "output": "out",
        "records": [
            {"tables": "judged.csv", "role": "evaluation", "text": "text"},
            {"tables": "*", "text": "text"},
        ],
        "holdout": {"share": 0.1},
        "filtering": {"pools": 1, "proxy": {"seconds": 0.1, "seeds": 1, "records_per_pool": 20}},
        "limits": {"workers": 1},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def table(release: dict[str, Any], root: Path, state: Path, name: str) -> pl.DataFrame:
    place = state if layer_of(name) == "lake" else root
    return delta.scan(place / name, release["versions"][name]).collect()


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_samples_nest_balance_share_the_lake_layer_and_publish_nothing_in_the_real_output(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = build(tmp_path / "here")
    out = tmp_path / "here" / "out"
    small = call("run", recipe, "--sample", "0.4", "--json")
    assert small.exit_code == 0, small.output
    summary = json.loads(small.stdout)
    assert summary["sample"] == 0.4
    assert Path(summary["training_set"]).is_relative_to(tmp_path / "here" / "out.sample-0.4")
    assert not (out / "publication").exists()
    landed = {p: p.read_bytes() for p in out.rglob("_delta_log/*.json")}
    assert landed
    assert execute(load_recipe(recipe), sample=0.8).changed
    # what the first sample read is not read again, nor anything of the lake layer written
    assert {p: p.read_bytes() for p in out.rglob("_delta_log/*.json")} == landed

    records: dict[float, pl.DataFrame] = {}
    for share in (0.4, 0.8):
        root = tmp_path / "here" / f"out.sample-{share}"
        release = last_release(root)
        assert release is not None
        found = table(release, root, out, "deduplication/records")
        records[share] = found.filter(pl.col("role") == "train")
        assert found.filter(pl.col("role") == "evaluation").height == 5
        # each row of each table has its line, those outside the sample too
        ledger = table(release, root, out, "publication/ledger")
        by_table = dict(ledger.group_by("table").agg(pl.col("rows").sum()).iter_rows())
        assert by_table == {"texts.jsonl": 61, "texts_copy.parquet": 20, "judged.csv": 5}
        outside = ledger.filter(pl.col("fate") == "not_sampled")
        assert outside["rows"].sum() == 60 - records[share].height
        assert release["rows"]["not_sampled"] == 60 - records[share].height
        assert "A trial on" in (root / "publication" / "card.html").read_text(encoding="utf-8")
    chosen = {share: set(frame["record_id"]) for share, frame in records.items()}
    assert 0 < len(chosen[0.4]) < len(chosen[0.8]) < 60
    assert chosen[0.4] < chosen[0.8]

    assert not (out / "publication").exists()
    assert not execute(load_recipe(recipe), sample=0.4).changed

    kept = records[0.4].row(0, named=True)
    told = call("trace", kept["record_id"], "--recipe", recipe, "--sample", "0.4", "--json")
    assert json.loads(told.stdout)["record"]["position"] == kept["position"]
    left = next(p for p in range(60) if p not in set(records[0.4]["position"]) and p != 7)
    elsewhere = call(
        "trace", f"texts.jsonl#{left}", "--output", tmp_path / "here" / "out.sample-0.4", "--json"
    )
    assert json.loads(elsewhere.stdout)["fate"]["fate"] == "not_sampled"


@pytest.mark.timeout(300)  # four whole runs
def test_a_full_run_after_a_sample_is_as_if_there_had_been_none_and_a_sample_leaves_it_alone(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe, undisturbed = build(tmp_path / "here"), build(tmp_path / "there")
    out = tmp_path / "here" / "out"
    execute(load_recipe(recipe), sample=0.4)
    sample = last_release(tmp_path / "here" / "out.sample-0.4")
    assert sample is not None
    execute(load_recipe(recipe))
    execute(load_recipe(undisturbed))
    there = last_release(tmp_path / "there" / "out")
    here = last_release(out)
    assert here is not None
    assert there is not None
    assert (here["release"], here["rows"]) == (1, there["rows"])
    assert "not_sampled" not in here["rows"]
    for name in ("training_set", "holdout", "ledger"):
        pair = [
            table(release, root, root, f"publication/{name}").sort("table", "record_id")
            for release, root in ((here, out), (there, tmp_path / "there" / "out"))
        ]
        assert pair[0].equals(pair[1])
    whole = table(here, out, out, "deduplication/records")
    part = table(sample, tmp_path / "here" / "out.sample-0.4", out, "deduplication/records")
    assert set(part["record_id"]) < set(whole["record_id"])

    # the rows outside the sample are accounted for on the second day, too
    published = out / "publication"
    before = {p: p.read_bytes() for p in published.rglob("*") if p.is_file()}
    more = [json.dumps({"text": text}) for text in lakes.texts("en", 12, start=300)]
    added = tmp_path / "here" / "lake" / "more.jsonl"
    added.write_text("\n".join(more) + "\n", encoding="utf-8")
    second = execute(load_recipe(recipe), sample=0.4).release
    assert second is not None
    assert {p: p.read_bytes() for p in published.rglob("*") if p.is_file()} == before
    ledger = table(second, tmp_path / "here" / "out.sample-0.4", out, "publication/ledger")
    by_table = dict(ledger.group_by("table").agg(pl.col("rows").sum()).iter_rows())
    assert by_table == {
        "texts.jsonl": 61,
        "texts_copy.parquet": 20,
        "judged.csv": 5,
        "more.jsonl": 12,
    }


def test_a_sample_of_an_emptied_lake_is_stopped_by_what_the_full_run_released(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path)
    assert execute(load_recipe(recipe)).changed
    notes = tmp_path / "lake" / "notes.jsonl"
    notes.write_text("".join(notes.read_text("utf-8").splitlines(keepends=True)[:6]), "utf-8")
    with pytest.raises(CheckError, match="lake_has_not_shrunk"):
        execute(load_recipe(recipe), sample=0.5)


def test_a_group_that_the_sample_lacks_takes_its_settings_along(
    tmp_path: Path, dagster_home: Path
) -> None:
    recipe = lakes.build_small(tmp_path, 40)
    rare = {"text": lakes.words("sw", 11, 50)}
    (tmp_path / "lake" / "rare.jsonl").write_text(json.dumps(rare) + "\n", encoding="utf-8")
    group = "(?P<v>\\w+)[.]jsonl"
    policy = {
        **lakes.recipe()["allocation"],
        "floors": {"rare": 1, "notes": 4},
        "costs": {"rare": 2},
    }
    lakes.write_recipe(
        recipe,
        records=[{"tables": "*", "text": "text", "groups": {"language": {"path": group}}}],
        allocation=policy,
    )
    outcome = execute(load_recipe(recipe), sample=0.3)
    assert outcome.release is not None
    root = tmp_path / "out.sample-0.3"
    plan = table(outcome.release, root, tmp_path / "out", "allocation/plan")
    assert set(plan["group"]) == {"notes"}
    assert 0 < plan["samples"].sum() <= 48


def test_a_share_that_holds_no_record_says_so(tmp_path: Path, dagster_home: Path) -> None:
    result = call("run", lakes.build_small(tmp_path, 3), "--sample", "0.0001")
    assert result.exit_code == 2, result.output
    assert "choose a larger share" in result.stderr
