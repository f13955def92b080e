"""The recipe for a real lake, where it is at hand: every row accounted for, and nothing to do the second time."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from orchestration.execute import execute
from resources.recipe import Recipe
from resources.recipe_file import load_recipe
from tests.end_to_end.test_run import commits_of, ledger_rows, release_of, table

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "open_lake.yaml"


def recipe_to(output: Path) -> Recipe:
    return load_recipe(RECIPE).model_copy(update={"output": str(output)})


def test_what_is_tested_on_has_rules_before_what_is_trained_on() -> None:
    roles = [rule.role for rule in load_recipe(RECIPE).records]
    assert roles.index("train") > max(i for i, role in enumerate(roles) if role == "evaluation")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not Path(load_recipe(RECIPE).lake).exists(), reason="needs ../shared/lake")
def test_a_real_lake_runs_whole_and_then_has_nothing_to_do(
    tmp_path: Path, dagster_home: Path
) -> None:
    output = tmp_path / "out"
    recipe = recipe_to(output)
    assert execute(recipe).changed
    counted = table(output, "ingestion/tables").select("table", "counted").drop_nulls()
    lines = pl.DataFrame(
        [(name, rows) for (name, _), rows in ledger_rows(output).items()],
        schema={"table": pl.String, "rows": pl.Int64},
        orient="row",
    )
    told = lines.group_by("table").agg(pl.col("rows").sum())
    joined = told.join(counted, on="table")
    assert joined.height > 400
    assert (joined["rows"] == joined["counted"]).all()
    edges = table(output, "containment/edges").filter(pl.col("containment") == 1.0)
    inside = (
        "multilingual/afrisenti/arq/train.tsv",
        "multilingual/afrisenti_subtask_a/dz_train.tsv",
    )
    assert inside in set(edges.select("child", "parent").iter_rows())
    groups = set(table(output, "allocation/plan")["group"])
    assert {"eng", "hau", "tso", "mul"} <= groups
    before, release = commits_of(output), release_of(output)
    assert not execute(recipe).changed
    assert commits_of(output) == before
    assert release_of(output) == release
