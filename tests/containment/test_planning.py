"""What a run's retention plan is told of each table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assets.containment.cost_table import parse_cost_table
from assets.containment.planning import (
    at_versions,
    planned_tables,
    prices_told,
    stated_costs,
    unions_at_versions,
)
from assets.containment.retention import plan_retention
from resources.errors import RecipeError
from resources.recipe_file import parse_recipe

RULES = [
    {"tables": "eval*", "role": "evaluation", "text": "t"},
    {"tables": "aim*", "role": "target", "text": "t"},
    {"tables": "raw*", "role": "ignore"},
    {"tables": "*.csv", "text": "t", "label": "y"},
]
NAMES = ["aim.csv", "eval.csv", "none.parquet", "raw.csv", "train.csv", "unlabelled.csv"]


def recipe(**changes):
    raw = {"lake": "lake", "output": "out", "records": RULES, **changes}
    return parse_recipe(raw, base=Path("/x"))


def planned(costs=""):
    columns = {name: ["t", "y"] for name in NAMES} | {"unlabelled.csv": ["t"]}
    table = parse_cost_table(costs or "table\n", "costs.csv")
    return planned_tables(recipe(), dict.fromkeys(NAMES, 10**9), columns, table)


def every_pair():
    pairs = [(c, p) for c in NAMES for p in NAMES if c != p]
    return pl.DataFrame(pairs, schema=["child", "parent"], orient="row").with_columns(
        containment=pl.lit(1.0), multiset_containment=pl.lit(1.0), exact=True,
        equality=pl.lit("typed"), child_version=pl.lit("1"), parent_version=pl.lit("1"),
    )  # fmt: skip


def test_evaluation_and_target_tables_stay_and_training_tables_need_one_that_is_read_alike():
    plan = {
        row["table"]: row for row in plan_retention(planned(), every_pair()).iter_rows(named=True)
    }
    assert plan["eval.csv"]["reason"] == "the recipe reads it as evaluation data"
    assert plan["aim.csv"]["reason"] == "the recipe reads it as target data"
    assert plan["train.csv"]["decision"] == plan["unlabelled.csv"]["decision"] == "keep"
    assert {plan[name]["decision"] for name in ("raw.csv", "none.parquet")} == {"retire"}
    both = planned().with_columns(
        reader=pl.when(pl.col("table") == "unlabelled.csv")
        .then(pl.lit(planned().filter(pl.col("table") == "train.csv")["reader"].item()))
        .otherwise("reader")
    )
    again = plan_retention(both, every_pair())
    assert (
        again.filter(pl.col("table").is_in(["train.csv", "unlabelled.csv"]))["decision"]
        .sort()
        .to_list()
    ) == ["keep", "retire"]


def test_the_cost_table_prices_and_pins():
    frame = planned("table,accesses,pinned\nraw*,7,\nnone*,,yes\n")
    rows = {row["table"]: row for row in frame.iter_rows(named=True)}
    assert rows["raw.csv"]["accesses"] == 7
    assert rows["train.csv"]["accesses"] is None
    assert rows["none.parquet"]["pinned"] == "pinned by costs.csv"
    assert rows["eval.csv"]["pinned"] == "the recipe reads it as evaluation data"


def test_edges_of_other_versions_do_not_count():
    versions = dict.fromkeys(NAMES, "1") | {"raw.csv": "2"}
    kept = at_versions(every_pair(), versions)
    assert kept.height == 20
    assert "raw.csv" not in {*kept["child"], *kept["parent"]}
    assert kept.columns == every_pair().columns
    unions = pl.DataFrame({"child": ["a", "b"], "parents": [["x", "y"], ["x"]],
                           "versions": [["1", "1"], ["1"]]})  # fmt: skip
    assert unions_at_versions(unions, {"x": "1", "y": "2"})["child"].to_list() == ["b"]


def test_prices_are_called_examples_until_they_are_stated():
    empty = parse_cost_table("table\n", "costs.csv")
    assert "examples, nobody stated them" in prices_told(
        plan_retention(planned(), every_pair()), empty
    )
    stated = "table,accesses\n*,2\n"
    told = prices_told(
        plan_retention(planned(stated), every_pair()), parse_cost_table(stated, "costs.csv")
    )
    assert "accesses" not in told
    assert "examples stand in for" in told
    assert "storage_per_gb (6 tables)" in told


def test_a_cost_table_counts_from_the_folder_of_the_recipe(tmp_path):
    raw = {"lake": "l", "output": "o", "records": RULES, "containment": {"costs": "c.csv"}}
    (tmp_path / "c.csv").write_text("table,accesses\n*,3\n")
    assert stated_costs(parse_recipe(raw, base=tmp_path)).stated("x") == {"accesses": 3.0}
    (tmp_path / "c.csv").write_text("table,accesses\n*,x\n")
    with pytest.raises(RecipeError, match=r"containment.costs: .*c.csv, line 2, column accesses"):
        stated_costs(parse_recipe(raw, base=tmp_path))
    (tmp_path / "c.csv").unlink()
    with pytest.raises(RecipeError, match=r"containment.costs: there is no file .*c.csv"):
        stated_costs(parse_recipe(raw, base=tmp_path))
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        stated_costs(parse_recipe(raw, base=tmp_path))
    assert stated_costs(recipe()).stated("x") == {}
