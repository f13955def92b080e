"""A cost table through the flow: other prices plan anew and search nothing, and a bad one stops before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from orchestration.execute import execute
from resources import delta
from resources.errors import RecipeError
from resources.recipe_file import load_recipe
from tests.faults.small import build

EDGES, RETENTION = "containment/edges", "containment/retention"


def plan(recipe: Path) -> dict[str, dict[str, object]]:
    execute(load_recipe(recipe), select=["+containment/retention"])
    frame = pl.read_delta(str(recipe.parent / "out" / RETENTION))
    return {row["table"]: row for row in frame.iter_rows(named=True)}


def commits(recipe: Path, table: str) -> int:
    return len(list(delta.commits(recipe.parent / "out" / table)))


def test_other_prices_plan_anew_and_search_nothing(tmp_path: Path) -> None:
    recipe = build(tmp_path)
    lake = tmp_path / "lake"
    # a copy that the recipe reads like the original, and one of what is measured on
    shutil.copy(lake / "a.jsonl", lake / "b_copy.jsonl")
    pl.read_ndjson(lake / "eval.jsonl").write_parquet(lake / "eval_copy.parquet")
    before = plan(recipe)
    pair = {name: before[name]["decision"] for name in ("a.jsonl", "b_copy.jsonl")}
    assert sorted(pair.values()) == ["keep", "retire"]
    assert before["eval.jsonl"]["reason"] == "the recipe reads it as evaluation data"
    assert before["eval_copy.parquet"]["examples"]

    retired = next(name for name, decision in pair.items() if decision == "retire")
    (tmp_path / "costs.csv").write_text(f"table,accesses,pinned\n{retired},,yes\n*,100,\n")
    with recipe.open("a") as file:
        file.write("containment: {costs: costs.csv}\n")
    after = plan(recipe)
    assert after[retired]["reason"] == "pinned by costs.csv"
    assert all("accesses" not in row["examples"] for row in after.values())
    assert (commits(recipe, EDGES), commits(recipe, RETENTION)) == (1, 2)

    (tmp_path / "costs.csv").write_text("table,accesses\n*,often\n")
    with pytest.raises(RecipeError, match=r"costs.csv, line 2, column accesses: 'often'"):
        plan(recipe)
    (tmp_path / "costs.csv").write_text("table,accesses\nc.jsonl,1\n")
    with pytest.raises(RecipeError, match=r"line 2, column table: 'c.jsonl' matches no table"):
        plan(recipe)
    assert commits(recipe, RETENTION) == 2
