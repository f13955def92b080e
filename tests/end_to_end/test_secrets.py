"""No log, metadata, commit or error holds a secret: canaries in the environment and in addresses, then a search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.deploy.services import free_port
from tests.faults.small import ROOT
from tests.lakes import build_small, texts

CANARY = "canary7f3a9c"
ENVIRONMENT = {
    "DAGSTER_PG_PASSWORD": f"{CANARY}-database",
    "AWS_ACCESS_KEY_ID": f"{CANARY}-id",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-store",
    "AZURE_STORAGE_SAS_TOKEN": f"sv=1&sig={CANARY}",
    "SLUICE_ALERT_URL": f"http://user:{CANARY}@127.0.0.1:9/hook?token={CANARY}",
    "SLUICE_ALERT_COMMAND": f"false --token {CANARY}",
}


def sluice(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, "DAGSTER_HOME": str(folder / "dagster"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def holders(folder: Path) -> list[str]:
    """Files below a folder that hold the canary, as bytes or in the cells of a compressed Parquet file."""
    found = [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]
    for path in folder.rglob("*.parquet"):
        strings = pl.read_parquet(path).select(pl.selectors.string())
        if any(strings[name].str.contains(CANARY, literal=True).any() for name in strings.columns):
            found.append(str(path))
    return found


def test_runs_write_no_secret_of_the_environment(tmp_path: Path) -> None:
    recipe = build_small(tmp_path)
    done = sluice(tmp_path, "run", str(recipe), SLUICE_LOG="json")
    assert done.returncode == 0, done.stderr
    (tmp_path / "lake" / "notes.jsonl").write_text(json.dumps({"text": texts("en", 1)[0]}))
    stopped = sluice(tmp_path, "run", str(recipe))
    assert stopped.returncode == 3, stopped.stderr
    assert "lake_has_not_shrunk" in stopped.stderr
    unknown = sluice(tmp_path, "run", str(recipe), "--select", "nothing")
    for told in (done, stopped, unknown):
        assert CANARY not in told.stdout + told.stderr
    assert list((tmp_path / "dagster").rglob("*.db"))
    assert holders(tmp_path) == []


def test_a_run_from_the_ui_and_its_alert_write_no_secret(tmp_path: Path) -> None:
    """The same assets by Dagster's own command, which builds the code location with its alert."""
    recipe = build_small(tmp_path)
    (tmp_path / "dagster").mkdir()
    closed = f"http://127.0.0.1:{free_port()}/{CANARY}"
    code = (
        "import dagster as dg\nfrom orchestration import alerts\nfrom orchestration.definitions import defs\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    done = defs().resolve_job_def('ingestion').execute_in_process(instance=instance)\n"
        "assert [s.name for s in alerts.sensors()] == ['alert_on_failure']\n"
        "import os\n"
        "for left in ('SLUICE_ALERT_COMMAND', 'SLUICE_ALERT_URL'):\n"
        "    try: alerts.send({'event': 'run_failed'})\n"
        "    except alerts.AlertError: import traceback; traceback.print_exc()\n"
        "    else: raise AssertionError(left)\n"
        "    del os.environ[left]\n"
    )
    environment = {**os.environ, **ENVIRONMENT, "SLUICE_ALERT_URL": closed}
    environment |= {"DAGSTER_HOME": str(tmp_path / "dagster"), "SLUICE_RECIPE": str(recipe)}
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-4000:]
    assert "SLUICE_ALERT_COMMAND failed" in told.stderr
    assert "SLUICE_ALERT_URL did not take the alert" in told.stderr
    assert CANARY not in told.stdout + told.stderr
    assert holders(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"lake": f"s3://id:{CANARY}@bucket/lake"},
        {"output": f"abfss://store/out?sig={CANARY}"},
        {"state": f"https://host/state#token={CANARY}"},
        {"filtering": {"curves": f"https://host/curves.csv?token={CANARY}"}},
    ],
)
def test_an_address_with_a_secret_is_refused_without_saying_it(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    keys = {"lake": "lake", "output": "out", "records": [{"tables": "*", "text": "text"}]}
    (tmp_path / "lake").mkdir()
    recipe.write_text(yaml.safe_dump({**keys, **changes}), encoding="utf-8")
    refused = sluice(tmp_path, "run", str(recipe))
    assert refused.returncode == 2
    assert "holds a credential" in refused.stderr
    assert CANARY not in refused.stdout + refused.stderr
    recipe.unlink()
    assert holders(tmp_path) == []


def test_a_recipe_that_is_no_yaml_is_told_by_its_place_not_its_words(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"lake: s3://id:{CANARY}@bucket/lake: nowhere\n", encoding="utf-8")
    refused = sluice(tmp_path, "run", str(recipe))
    assert refused.returncode == 2
    assert "line 1" in refused.stderr
    assert CANARY not in refused.stdout + refused.stderr
