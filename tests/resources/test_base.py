"""What a run keeps to from before: its last release's decisions, or another output's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from resources.errors import RecipeError, StoreError
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from resources.releases import RELEASES
from resources.run import Run
from resources.stage_spec import StageSpec

LAKE = StageSpec("ingestion", ("ingestion/tables",), (), "1", "lake")
FITTED = StageSpec(
    "scoring/scores",
    ("scoring/scores", "scoring/calibration"),
    ("ingestion/tables",),
    "1",
    "recipe",
    sections=("scoring",),
    remembers=("scoring/calibration",),
    calibrates=True,
)
HELD = StageSpec(
    "deduplication",
    ("deduplication/fates",),
    ("ingestion/tables",),
    "1",
    "recipe",
    remembers=("deduplication/fates",),
)
RELEASE = StageSpec(
    "publication/releases",
    (RELEASES,),
    ("scoring/scores", "deduplication/fates"),
    "1",
    "recipe",
    append=True,
)
SPECS = (LAKE, FITTED, HELD, RELEASE)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return recipe_in(tmp_path)


def recipe_in(folder: Path, **changes: Any) -> Recipe:
    raw: dict[str, Any] = {
        "lake": "lake",
        "output": "out",
        "records": [{"tables": "*", "text": "text"}],
    }
    return parse_recipe({**raw, **changes}, base=folder)


def publish(recipe: Recipe, name: str, lake: int, **more: Any) -> list[str]:
    """Run all stages on a lake known by a number; returns the stages that were computed, not adopted."""
    computed = []
    with Run(recipe, name, specs=SPECS, **more) as run:
        for spec in SPECS[:-1]:
            known = replace(spec, extra=lambda _run: lake) if spec is LAKE else spec
            run.specs.update(dict.fromkeys(known.tables, known))
            stage = run.stage(known)
            if stage.adopt() is not None:
                continue
            computed.append(spec.name)
            for table in spec.tables:
                stage.put(table, pl.DataFrame({"v": [name]}))
            stage.commit()
        versions = {t: run.committed(t).version for s in SPECS[:-1] for t in s.tables}
        stage = run.stage(RELEASE)
        number = 1 if run.release is None else run.release["release"] + 1
        row = {"release": [number], "versions": [json.dumps(versions)], "rows": ["{}"]}
        stage.put(RELEASES, pl.DataFrame(row))
        stage.commit()
    return computed


EVERYTHING = ["ingestion", "scoring/scores", "deduplication"]


def test_nothing_changed_and_what_was_decided_stands(recipe: Recipe) -> None:
    assert publish(recipe, "a", 1) == EVERYTHING
    assert publish(recipe, "b", 1) == []
    assert publish(recipe, "c", 2) == EVERYTHING
    assert publish(recipe, "d", 2) == []


def test_going_back_to_an_old_lake_does_not_go_back_to_old_decisions(recipe: Recipe) -> None:
    """What was held out in between stays held out, so the first run's version is not the answer."""
    publish(recipe, "a", 1)
    publish(recipe, "b", 2)
    assert publish(recipe, "c", 1) == ["scoring/scores", "deduplication"]


def test_work_of_a_killed_run_is_adopted_while_the_base_is_the_same(recipe: Recipe) -> None:
    publish(recipe, "a", 1)
    lake = replace(LAKE, extra=lambda _run: 2)
    for name in ("killed", "next"):
        with Run(recipe, name, specs=(lake, *SPECS[1:])) as run:
            stage = run.stage(lake)
            if stage.adopt() is None:
                stage.put("ingestion/tables", pl.DataFrame({"v": [2]}))
                stage.commit()
            stage = run.stage(FITTED)
            adopted = stage.adopt()
            assert (adopted is not None) == (name == "next")
            if adopted is None:
                for table in FITTED.tables:
                    stage.put(table, pl.DataFrame({"v": [name]}))
                stage.commit()


def test_recalibrating_forgets_calibrations_and_nothing_else(recipe: Recipe) -> None:
    publish(recipe, "a", 1)
    publish(recipe, "b", 2)
    assert publish(recipe, "c", 2, recalibrate=True) == ["scoring/scores"]
    with Run(recipe, "d", specs=SPECS, recalibrate=True) as run:
        assert run.kept_calibration(FITTED) == (None, "--recalibrate asked for it")
        assert run.base_of(HELD) is not None


def test_the_settings_decide_whether_a_calibration_may_be_kept(recipe: Recipe) -> None:
    with Run(recipe, "first", specs=SPECS) as run:
        assert run.kept_calibration(FITTED) == (None, "it is the first")
    publish(recipe, "a", 1)
    with Run(recipe, "b", specs=SPECS) as run:
        base, _ = run.kept_calibration(FITTED)
        assert base is not None
        newer = run.kept_calibration(replace(FITTED, code_version="2"))
        assert newer == (None, "the recipe or the code has changed")
    other = recipe_in(Path(recipe.output).parent, scoring={"dimensions": 8})
    with Run(other, "c", specs=SPECS) as run:
        assert run.kept_settings(FITTED) is None
        assert run.kept_settings(HELD) is not None, "it reads no part of the recipe"


def test_another_output_can_be_the_base(recipe: Recipe, tmp_path: Path) -> None:
    publish(recipe, "a", 1)
    other = recipe_in(tmp_path, output="other")
    with Run(other, "b", specs=SPECS, calibration_from=Path(recipe.output)) as run:
        base, _ = run.kept_calibration(FITTED)
        assert base is not None
        frame = base.scan("scoring/calibration")
        assert frame is not None
        assert frame.collect()["v"].to_list() == ["a"]
    own = publish(other, "c", 1)
    assert own == EVERYTHING
    assert publish(other, "d", 1, calibration_from=Path(recipe.output)) == EVERYTHING[1:]
    assert publish(other, "e", 1) == [], "from then on its own release is the base"
    with Run(recipe, "f", specs=SPECS, calibration_from=Path(recipe.output)) as run:
        assert run.calibration_from is None, "one's own output is the base anyway"


def test_a_base_without_a_release_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    run = Run(recipe, "a", specs=SPECS, calibration_from=tmp_path)
    with pytest.raises(RecipeError, match="no release under this root"):
        _ = run.base


def test_a_base_whose_log_was_cleaned_is_told(recipe: Recipe) -> None:
    publish(recipe, "a", 1)
    run = Run(recipe, "b", specs=SPECS)
    assert run.base is not None
    gone = replace(run.base, versions={"scoring/scores": 7})
    with pytest.raises(StoreError, match="version 7 of the last release"):
        gone.metadata("scoring/scores")
    assert gone.metadata("scoring/calibration") is None
    assert gone.scan("scoring/calibration") is None
