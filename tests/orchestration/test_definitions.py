"""The code location: it loads without a lake, and no key, check or schedule changes by accident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion

from orchestration.definitions import definitions_for
from orchestration.recipes import load_recipes
from orchestration.stages import BY_TABLE, STAGE_NAMES
from resources.errors import RecipeError
from resources.recipe import parse_recipe

RECIPE: dict[str, Any] = {
    "lake": "no/such/lake",
    "output": "out",
    "records": [{"tables": "*", "text": "text"}],
}


def loaded(**changes: Any) -> dg.Definitions:
    return definitions_for([parse_recipe({**RECIPE, **changes}, base=Path("/nowhere"))])


def test_loading_touches_no_lake() -> None:
    dg.Definitions.validate_loadable(loaded())


def test_every_asset_has_what_people_look_for() -> None:
    specs = {spec.key.to_user_string(): spec for spec in loaded().resolve_all_asset_specs()}
    assert specs.keys() == BY_TABLE.keys()
    for name, spec in specs.items():
        assert spec.description, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.code_version, name
        assert spec.group_name == name.split("/")[0]
        assert spec.metadata["dagster/column_schema"].columns, name


def test_asset_specs_are_these(snapshot: SnapshotAssertion) -> None:
    told = [
        {
            "key": spec.key.to_user_string(),
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "code_version": spec.code_version,
            "owners": list(spec.owners),
            "columns": [c.name for c in spec.metadata["dagster/column_schema"].columns],
        }
        for spec in sorted(loaded().resolve_all_asset_specs(), key=lambda s: s.key.to_user_string())
    ]
    assert told == snapshot


def test_checks_jobs_schedules_and_sensors_are_these(snapshot: SnapshotAssertion) -> None:
    definitions = loaded()
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    assert {
        "checks": sorted(
            f"{k.asset_key.to_user_string()}:{k.name}" for k in graph.asset_check_keys
        ),
        "jobs": sorted(j.name for j in repository.get_all_jobs() if not j.name.startswith("__")),
        "schedules": sorted(s.name for s in repository.schedule_defs),
        "sensors": sorted(s.name for s in repository.sensor_defs),
    } == snapshot
    assert set(STAGE_NAMES) <= {j.name for j in repository.get_all_jobs()}


def test_several_recipes_share_a_lake_layer(tmp_path: Path) -> None:
    paths = [_write(tmp_path, name, output=name, state="shared") for name in ("first", "second")]
    definitions = definitions_for(load_recipes(paths))
    dg.Definitions.validate_loadable(definitions)
    keys = {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}
    assert {"ingestion/tables", "first/publication/releases", "second/publication/releases"} <= keys
    assert "first/ingestion/tables" not in keys


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output": "first"}, "both write to"),
        ({"state": "other"}, "different state roots"),
        ({"lake": "another"}, "key `lake` differs"),
        (
            {"records": [{"tables": "*", "text": "text", "read": {"delimiter": ";"}}]},
            "key `records.*.read` differs",
        ),
        ({"name": "first"}, "both named first"),
    ],
)
def test_recipes_that_cannot_share_are_told_which_key_differs(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    one = _write(tmp_path, "first", output="first", state="shared")
    two = _write(tmp_path, "second", **{"output": "second", "state": "shared", **changes})
    with pytest.raises(RecipeError, match=told.replace("*", r"\*")):
        load_recipes([one, two])


def _write(folder: Path, stem: str, **changes: Any) -> Path:
    import yaml

    path = folder / f"{stem}.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "name": stem, **changes}), encoding="utf-8")
    return path
