"""The code location: it loads without a lake, and no key, check or schedule changes by accident."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from orchestration.definitions import definitions_for
from orchestration.execute import DAGSTER_YAML, selected_keys
from orchestration.jobs import ROOT_TAG
from orchestration.recipes import DEMO_RECIPE, load_recipes, recipe_paths
from orchestration.stages import BY_TABLE, SPECS, STAGE_NAMES
from resources.errors import RecipeError
from resources.recipe_file import parse_recipe

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
    definitions = loaded()
    pools = {
        key: asset.op.pool
        for asset in definitions.resolve_asset_graph().assets_defs
        for key in asset.keys
    }
    told = [
        {
            "key": spec.key.to_user_string(),
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "group": spec.group_name,
            "kinds": sorted(spec.kinds),
            "code_version": spec.code_version,
            "owners": list(spec.owners),
            "pool": pools[spec.key],
            "description": spec.description,
            "columns": [c.name for c in spec.metadata["dagster/column_schema"].columns],
        }
        for spec in sorted(
            definitions.resolve_all_asset_specs(), key=lambda s: s.key.to_user_string()
        )
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


ROUNDS: dict[str, Any] = {
    "records": [{"tables": "*", "text": "text", "groups": {"language": {"value": "en"}}}],
    "filtering": {"budgets": [{"samples": 1000}]},
    "allocation": {
        "by": "language",
        "objective": "max_min",
        "level": "raw",
        "policy": {"owner": "us", "reason": "a test"},
        "rounds": {"count": 2, "pilot": 0.5},
    },
}


def test_stated_rounds_add_these_partitioned_assets_and_a_job(snapshot: SnapshotAssertion) -> None:
    definitions = loaded(**ROUNDS)
    before = {spec.key for spec in loaded().resolve_all_asset_specs()}
    added = [spec for spec in definitions.resolve_all_asset_specs() if spec.key not in before]
    graph = definitions.resolve_asset_graph()
    assert {
        "assets": [
            {
                "key": spec.key.to_user_string(),
                "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "group": spec.group_name,
                "code_version": spec.code_version,
                "partitions": spec.partitions_def.get_partition_keys(),  # type: ignore[union-attr]
                "description": spec.description,
                "columns": [c.name for c in spec.metadata["dagster/column_schema"].columns],
            }
            for spec in sorted(added, key=lambda s: s.key.to_user_string())
        ],
        "checks": sorted(k.name for k in graph.asset_check_keys if k.asset_key not in before),
        "job": sorted(
            key.to_user_string()
            for key in definitions.resolve_job_def("rounds").asset_layer.executable_asset_keys
        ),
    } == snapshot


def test_rounds_are_run_by_their_own_job_alone() -> None:
    definitions = loaded(**ROUNDS)
    for job in ("everything", "allocation"):
        keys = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
        assert {key.to_user_string() for key in keys} <= BY_TABLE.keys(), job
    recipe = parse_recipe({**RECIPE, **ROUNDS}, base=Path("/nowhere"))
    chosen = selected_keys(recipe, definitions, ["allocation"])
    assert {key.to_user_string() for key in chosen} == {
        name for name in BY_TABLE if name.startswith("allocation/")
    }
    named = definitions_for([recipe.model_copy(update={"name": "x"})])
    assert "x__rounds" in {job.name for job in named.get_repository_def().get_all_jobs()}


def test_every_stage_is_audited_on_its_first_table() -> None:
    audited = {
        key.asset_key.to_user_string() for key in loaded().resolve_asset_graph().asset_check_keys
    }
    assert audited == {spec.tables[0] for spec in SPECS}


def test_every_description_of_a_column_has_a_type_and_a_meaning() -> None:
    for spec in loaded().resolve_all_asset_specs():
        for column in spec.metadata["dagster/column_schema"].columns:
            told = (spec.key.to_user_string(), column.name)
            assert column.type, told
            assert column.description, told
            assert column.type != column.description, told


def test_nothing_starts_by_itself() -> None:
    repository = loaded().get_repository_def()
    for starter in (*repository.schedule_defs, *repository.sensor_defs):
        assert starter.default_status.value == "STOPPED", starter.name
    (schedule,) = repository.schedule_defs
    (sensor,) = repository.sensor_defs
    assert schedule.job_name == sensor.job_name == "everything"


def test_the_sensor_asks_for_a_run_when_the_lake_has_changed_and_not_before(
    tmp_path: Path,
) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.csv").write_text("text\none\n", encoding="utf-8")
    recipe = parse_recipe({**RECIPE, "lake": "lake"}, base=tmp_path)
    (sensor,) = definitions_for([recipe]).get_repository_def().sensor_defs

    def tick(cursor: str | None) -> Any:
        with dg.DagsterInstance.ephemeral() as instance:
            return sensor(dg.build_sensor_context(instance=instance, cursor=cursor))

    first = tick(None)
    assert len(first.run_requests) == 1
    assert isinstance(tick(first.cursor), dg.SkipReason)
    (tmp_path / "lake" / "b.csv").write_text("text\ntwo\n", encoding="utf-8")
    second = tick(first.cursor)
    assert len(second.run_requests) == 1
    (tmp_path / "lake" / "b.csv").unlink()
    back = tick(second.cursor)
    assert back.cursor == first.cursor
    assert [request.run_key for request in (*first.run_requests, *back.run_requests)] == [
        None,
        None,
    ]


def test_a_queue_lets_one_run_a_root_through(tmp_path: Path) -> None:
    """All jobs of recipes that share a root carry its tag, and both instances that we write limit that tag."""
    paths = [_write(tmp_path, name, output=name, state="shared") for name in ("first", "second")]
    repository = definitions_for(load_recipes(paths)).get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert len({job.tags[ROOT_TAG] for job in jobs}) == 1
    other = loaded().get_repository_def().get_job("everything")
    assert other.tags[ROOT_TAG] != jobs[0].tags[ROOT_TAG]
    ours = yaml.safe_load(DAGSTER_YAML)
    teams = yaml.safe_load((DEMO_RECIPE.parents[1] / "deploy" / "dagster.yaml").read_text())
    for settings in (ours, teams):
        assert {
            "key": ROOT_TAG,
            "value": {"applyLimitPerUniqueValue": True},
            "limit": 1,
        } in settings["concurrency"]["runs"]["tag_concurrency_limits"]


def test_the_environment_names_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [_write(tmp_path, name, output=name, state="shared") for name in ("first", "second")]
    monkeypatch.setenv("SLUICE_RECIPE", os.pathsep.join(str(p) for p in paths))
    assert recipe_paths() == paths
    monkeypatch.delenv("SLUICE_RECIPE")
    assert recipe_paths() == [DEMO_RECIPE]
    dg.Definitions.validate_loadable(definitions_for(load_recipes(recipe_paths())))


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
    path = folder / f"{stem}.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, "name": stem, **changes}), encoding="utf-8")
    return path


def test_what_hashes_is_part_of_what_its_stages_are_known_by() -> None:
    """A table written under another scheme is not taken for this run's."""
    from assets.kernels import canonical, cell_hash

    versions = {spec.name: spec.code_version for spec in SPECS}
    assert canonical.SCHEME in versions["deduplication"]
    assert cell_hash.SCHEME in versions["containment"]
