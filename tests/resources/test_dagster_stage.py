"""A stage as an asset: what is tried again and what is not, and figures that can't undo a commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from resources import delta
from resources.dagster_stage import Naming, TableInfo, stage_asset
from resources.errors import CheckError, RecipeError, SluiceError, StoreError
from resources.recipe_file import parse_recipe
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import StageSpec

SPEC = StageSpec(name="one", tables=("one/a",), reads=(), code_version="1", layer="recipe")


@pytest.fixture(autouse=True)
def figures_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_FIGURES", "on")


def execute(tmp_path: Path, compute: Any, **naming: Any) -> dg.ExecuteInProcessResult:
    keys = {"lake": "lake", "output": "out", "records": [{"tables": "*", "text": "text"}]}
    recipe = parse_recipe(keys, base=tmp_path)

    @dg.resource
    def run(context) -> Iterator[Run]:
        with Run(recipe, context.run.run_id, specs=(SPEC,)) as one:
            yield one

    asset = stage_asset(
        SPEC,
        Naming((), "run", **naming),
        {"one/a": SPEC},
        compute,
        {"one/a": TableInfo("A table.", {"x": "int64: a number"})},
        checks={"fine": "always"},
    )
    definitions = dg.Definitions(assets=[asset], resources={"run": run})
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(raise_on_error=False)


class Compute:
    """Fails with the given errors in turn, then writes the table."""

    def __init__(self, *errors: SluiceError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, _run: Run, stage: Stage) -> dict[str, dict[str, Any]]:
        self.calls += 1
        stage.put("one/a", pl.DataFrame({"x": [1, 2, 3]}))
        if self.errors:
            raise self.errors.pop(0)
        stage.check("fine", passed=True)
        return {}


def test_a_store_that_recovers_is_tried_again(tmp_path: Path) -> None:
    compute = Compute(StoreError("one/a: no space left"))
    assert execute(tmp_path, compute).success
    assert compute.calls == 2
    assert delta.count(tmp_path / "out" / "one" / "a", 0) == 3


@pytest.mark.parametrize("kind", [RecipeError, CheckError])
def test_what_would_be_refused_again_is_not_tried_again(
    tmp_path: Path, kind: type[SluiceError]
) -> None:
    compute = Compute(kind("scoring.scorers: none can run here"))
    assert not execute(tmp_path, compute).success
    assert compute.calls == 1
    assert delta.open_table(tmp_path / "out" / "one" / "a") is None


def test_a_figure_that_cannot_be_drawn_leaves_the_commit_and_a_warning(tmp_path: Path) -> None:
    def draw(_run: Run) -> dict[str, str]:
        message = "no such colour"
        raise ValueError(message)

    result = execute(tmp_path, Compute(), figures={"one/a": draw})
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["dagster/row_count"].value == 3
    assert metadata["dagster/uri"].value == str(tmp_path / "out" / "one" / "a")


def test_figures_and_lineage_stand_in_the_metadata(tmp_path: Path) -> None:
    drawn = {"shape": "| x |\n|---|\n| 3 |"}
    result = execute(
        tmp_path,
        Compute(),
        figures={"one/a": lambda run: {**drawn, "rows": str(run.read("one/a").height)}},
        lineage={"one/a": {"x": ("lake/tables.rows",)}},
    )
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["shape"] == dg.MetadataValue.md(drawn["shape"])
    assert metadata["rows"] == dg.MetadataValue.md("3")
    (dep,) = metadata["dagster/column_lineage"].value.deps_by_column["x"]
    assert (dep.asset_key, dep.column_name) == (dg.AssetKey(["lake", "tables"]), "rows")


def test_figures_can_be_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_FIGURES", "OFF")
    result = execute(tmp_path, Compute(), figures={"one/a": lambda _run: {"shape": "drawn"}})
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert "shape" not in metadata
    assert metadata["dagster/row_count"].value == 3
