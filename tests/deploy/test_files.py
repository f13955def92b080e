"""The files of deploy/: what the composition names exists, it waits for health, and holds no secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"])


def compose() -> list[str]:
    """The command, version 2 or later, wherever it is."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            told = subprocess.run(
                [*command, "version"], capture_output=True, text=True, check=False
            )
            if told.returncode == 0 and not re.search(r"version v?1\.", told.stdout):
                return command
    pytest.skip("neither `docker compose` nor docker-compose 2 is installed")


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER_", "SLUICE_"))}
    return subprocess.run(
        [*compose(), "-f", str(DEPLOY / "compose.yaml"), "config"],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_docker_compose_accepts_the_composition() -> None:
    told = config(DAGSTER_PG_PASSWORD="p")
    assert told.returncode == 0, told.stderr
    parsed = yaml.safe_load(told.stdout)
    assert set(parsed["services"]) == {"postgres", "code", "webserver", "daemon"}
    assert parsed["services"]["daemon"]["environment"]["DAGSTER_PG_PASSWORD"] == "p"


def test_without_a_password_the_composition_refuses() -> None:
    told = config()
    assert told.returncode != 0
    assert "DAGSTER_PG_PASSWORD" in told.stderr


def test_every_process_waits_for_the_health_of_what_it_needs(services: dict[str, Any]) -> None:
    needs = {
        name: {k: v["condition"] for k, v in one.get("depends_on", {}).items()}
        for name, one in services.items()
    }
    assert needs == {
        "postgres": {},
        "code": {"postgres": "service_healthy"},
        "webserver": {"code": "service_healthy"},
        "daemon": {"code": "service_healthy"},
    }
    for name, one in services.items():
        assert one["healthcheck"]["test"][0] == "CMD", name


def test_the_processes_are_given_what_the_instance_asks_for(services: dict[str, Any]) -> None:
    wanted: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if set(node) == {"env"}:
                wanted.add(node["env"])
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    for file in ("dagster.yaml", "workspace.yaml"):
        collect(yaml.safe_load((DEPLOY / file).read_text()))
    assert "DAGSTER_PG_PASSWORD" in wanted
    for name in ("code", "webserver", "daemon"):
        assert wanted <= set(services[name]["environment"]), name


def test_no_secret_is_written_down(services: dict[str, Any]) -> None:
    for name, one in services.items():
        for key, value in one["environment"].items():
            if re.search("PASSWORD|SECRET|TOKEN|URL", key):
                assert re.fullmatch(r"\$\{[A-Z_]+(:\?[^}]*|:-)\}", str(value)), (name, key)


def test_the_scheme_is_that_of_the_driver_that_is_locked() -> None:
    storage = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["storage"]
    assert storage["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["postgres"]
    assert any(line.startswith("psycopg2-binary") for line in extra)
    locked = (ROOT / "requirements.lock").read_text()
    assert "psycopg2-binary==" in locked
    # the libraries of one Dagster release carry a number of their own
    release = re.search(r"^dagster==1\.(\d+\.\d+)$", locked, re.MULTILINE)
    library = re.search(r"^dagster-postgres==0\.(\d+)\.(\d+)$", locked, re.MULTILINE)
    assert release is not None
    assert library is not None
    minor, patch = map(int, release[1].split("."))
    assert (int(library[1]), int(library[2])) == (minor + 16, patch)


def test_the_image_copies_what_it_names() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert not [line for line in lines if line.startswith("USER root")]
    assert [line for line in lines if line.startswith("USER ")]
    for path in re.findall(r"cp (deploy/\S+)", "\n".join(lines)):
        assert (ROOT / path).exists(), path
