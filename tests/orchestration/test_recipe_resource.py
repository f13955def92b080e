"""The recipe as a resource is the recipe, and a run that is launched with other keys follows those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.definitions import definitions_for
from orchestration.recipe_resource import recipe_resource
from orchestration.recipes import DEMO_RECIPE
from resources.errors import RecipeError
from resources.recipe_file import load_recipe
from resources.releases import last_release
from tests.lakes import build_small, write_recipe


def test_what_comes_out_of_the_resource_is_what_went_in(tmp_path: Path) -> None:
    for path in (DEMO_RECIPE, write_recipe(tmp_path / "recipe.yaml"), build_small(tmp_path / "s")):
        recipe = load_recipe(path)
        again = recipe_resource(recipe).recipe()
        assert again == recipe
        assert again.hash == recipe.hash


def test_keys_that_a_run_was_launched_with_are_checked(tmp_path: Path) -> None:
    resource = recipe_resource(load_recipe(build_small(tmp_path)))
    wrong = resource.model_copy(update={"scoring": {"scorrers": []}})
    with pytest.raises(RecipeError, match=r"resource recipe: scoring\.scorrers: unknown key"):
        wrong.recipe()


def launch(recipe: Path, job: str, **options: Any) -> dg.ExecuteInProcessResult:
    definitions = definitions_for([load_recipe(recipe)])
    with dg.DagsterInstance.get() as instance:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, raise_on_error=False, **options
        )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    return str(data.user_failure_data.description)


@pytest.fixture
def small(tmp_path: Path, dagster_home: Path) -> Path:
    dagster_home.mkdir()
    return build_small(tmp_path, count=12)


def test_a_run_that_cannot_begin_fails_with_the_clear_message(small: Path) -> None:
    text = small.read_text(encoding="utf-8")
    small.write_text(text.replace("text: text", "text: txt"), encoding="utf-8")
    result = launch(small, "everything")
    assert not result.success
    assert "table notes.jsonl has no column 'txt'; did you mean 'text'?" in failure_of(result)


def test_the_shrink_guard_stops_a_run_of_the_ui_and_a_tag_lets_it_pass(small: Path) -> None:
    assert launch(small, "everything").success
    (small.parent / "lake" / "notes.jsonl").write_text('{"text": "all that is left of it"}\n')
    stopped = launch(small, "everything")
    assert "lake_has_not_shrunk" in failure_of(stopped)
    assert "sluice/accept_shrink" in failure_of(stopped)
    assert launch(small, "ingestion", tags={"sluice/accept_shrink": "true"}).success
    release = last_release(small.parent / "out")
    assert release is not None
    assert release["release"] == 1


def test_adopted_tables_show_what_was_shown_when_they_were_computed(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_FIGURES", "on")
    first = launch(small, "ingestion")
    again = launch(small, "ingestion")

    def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        (made,) = [
            e.step_materialization_data.materialization
            for e in result.get_asset_materialization_events()
            if e.asset_key == dg.AssetKey(["ingestion", "tables"])
        ]
        return dict(made.metadata)

    one, two = shown(first), shown(again)
    assert not one["adopted"].value
    assert two["adopted"].value
    changing = ("adopted", "seconds")
    assert {k: v for k, v in one.items() if k not in changing} == {
        k: v for k, v in two.items() if k not in changing
    }
    assert "by_format" in two
