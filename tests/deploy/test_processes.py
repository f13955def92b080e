"""The processes of deploy/compose.yaml without containers: a sensor's run goes through the queue and succeeds."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.releases import last_release
from tests.deploy.services import (
    ROOT,
    Service,
    free_port,
    graphql,
    postgres,
    service,
    wait_for,
)
from tests.lakes import build_small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SELECTOR = {"repositoryLocationName": "sluice", "repositoryName": "__repository__"}
ALERT = (
    "import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'alert.json').write_text(sys.stdin.read())"
)
START = """mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
  __typename ... on Sensor { sensorState { status } } ... on PythonError { message } } }"""
RUNS = """{ runsOrError { ... on Runs { results {
  runId status jobName tags { key value } } } } }"""


def composed() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"])


def located(command: list[str], ports: dict[str, int]) -> list[str]:
    """Take a command of the composition to this machine: its own ports, the loopback address, this environment."""
    places = {"0.0.0.0": "127.0.0.1", **{k: str(v) for k, v in ports.items()}}
    words = [places.get(word, word) for word in command]
    words = [w.replace(":3000/", f":{ports['3000']}/") for w in words]
    program = Path(sys.executable).parent / words[0]
    assert program.exists(), f"{program}: needs the locked environment"
    return [str(program), *words[1:]]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Start all of them as the composition does, each once the one that it needs is healthy."""
    pytest.importorskip("dagster_postgres", reason="needs the extra postgres")
    recipe = build_small(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "deploy" / "dagster.yaml", home / "dagster.yaml")
    ports = {"4266": free_port(), "3000": free_port()}
    services = composed()
    with contextlib.ExitStack() as running:
        database = running.enter_context(postgres())
        told = services["code"]["environment"]
        environment = {
            **os.environ,
            **{key: value for key, value in told.items() if "$" not in value},
            **database.environment,
            "DAGSTER_HOME": str(home),
            "SLUICE_CODE_HOST": "127.0.0.1",
            "SLUICE_CODE_PORT": str(ports["4266"]),
            "SLUICE_RECIPE": str(recipe),
            "SLUICE_LOG": "json",
            "SLUICE_ALERT_COMMAND": shlex.join([sys.executable, "-c", ALERT, str(tmp_path)]),
        }
        started: dict[str, Service] = {}
        for name in ("code", "webserver", "daemon"):
            command = located(services[name]["command"].split(), ports)
            started[name] = running.enter_context(service(name, command, environment, tmp_path))
            check = located(services[name]["healthcheck"]["test"][1:], ports)
            wait_for(
                lambda check=check: (
                    not subprocess.run(
                        check, env=environment, cwd=ROOT, capture_output=True, check=False
                    ).returncode
                ),
                f"health of {name}",
                120,
            )
        yield {
            "database": database,
            "web": ports["3000"],
            "folder": tmp_path,
            "services": started,
        }
    for name, one in started.items():
        assert one.process.returncode in (0, -15), f"{name} ended with {one.process.returncode}"


def test_a_sensors_run_goes_through_the_queue_and_a_failed_one_alerts(team: dict[str, Any]) -> None:
    web, folder = team["web"], team["folder"]
    selector = {**SELECTOR, "sensorName": "everything_on_change"}
    told = graphql(web, START, selector=selector)["startSensor"]
    assert told["__typename"] == "Sensor", told

    def ended() -> Any:
        runs = graphql(web, RUNS)["runsOrError"]["results"]
        return runs if runs and runs[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    (run,) = wait_for(ended, "the sensor's run", 240)
    assert run["status"] == "SUCCESS", team["services"]["code"].output.read_text()[-4000:]
    assert run["jobName"] == "everything"
    assert {"key": "dagster/sensor_name", "value": "everything_on_change"} in run["tags"]
    release = last_release(folder / "out")
    assert release is not None
    assert (release["release"], release["run_id"]) == (1, run["runId"])

    database = team["database"]
    assert database.rows("select run_id, status from runs") == [(run["runId"], "SUCCESS")]
    events = database.rows(
        "select dagster_event_type from event_logs where dagster_event_type like 'PIPELINE_%' order by id"
    )
    way = ["ENQUEUED", "STARTING", "START", "SUCCESS"]
    assert [event for (event,) in events] == [f"PIPELINE_{step}" for step in way]

    # the lake loses nearly all: the sensor sees it, the guard stops the run, and the alert says so
    (folder / "lake" / "notes.jsonl").write_text('{"text": "all that is left"}\n', encoding="utf-8")
    alert = json.loads(
        wait_for(lambda: (folder / "alert.json").read_text(encoding="utf-8"), "the alert", 240)
    )
    assert (alert["event"], alert["job"]) == ("run_failed", "everything")
    assert alert["steps"] == ["make__ingestion"]
    assert "lake_has_not_shrunk" in alert["message"]
    failed = (alert["run_id"], "FAILURE")
    assert database.rows("select run_id, status from runs order by id")[1:] == [failed]

    lines = team["services"]["code"].output.read_text(encoding="utf-8").splitlines()
    ours = [json.loads(line) for line in lines if '"logger": "sluice' in line]
    assert {"ingestion", "publication/releases"} <= {line.get("stage") for line in ours}
    assert {line["run_id"] for line in ours} == {run["runId"], alert["run_id"]}
    assert all(isinstance(json.loads(line), dict) for line in lines), lines
