"""The alert on a failed run: off unless set, told to a command or an address, silent about both."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import alerts


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(alerts.COMMAND, raising=False)
    monkeypatch.delenv(alerts.URL, raising=False)


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(403 if self.path == "/refused" else 204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", got
        httpd.shutdown()
        thread.join()


def test_it_is_off_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert alerts.sensors() == []
    monkeypatch.setenv(alerts.COMMAND, "")
    assert alerts.sensors() == []


def test_a_failed_run_is_told_to_the_command_in_the_stages_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "told by a command.json"
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    monkeypatch.setenv(alerts.COMMAND, f"{sys.executable} -c '{code}' '{place}'")
    (sensor,) = alerts.sensors()
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING

    @dg.op
    def make__ingestion() -> None:
        raise dg.Failure(description="ingestion: nothing is committed")

    @dg.job
    def everything() -> None:
        make__ingestion()

    with dg.DagsterInstance.ephemeral() as instance:
        result = everything.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_failure",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
        ).for_run_failure()
        sensor(context)
    assert json.loads(place.read_text()) == {
        "event": "run_failed",
        "run_id": result.run_id,
        "job": "everything",
        "steps": ["make__ingestion"],
        "message": "ingestion: nothing is committed",
        "will_retry": False,
    }


def test_an_alert_is_posted_as_json(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, got = server
    monkeypatch.setenv(alerts.URL, f"{address}/hook")
    alerts.send({"event": "run_failed", "run_id": "r"})
    assert got == [("application/json", {"event": "run_failed", "run_id": "r"})]


def test_an_alert_that_is_refused_is_an_error_without_the_address(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _got = server
    monkeypatch.setenv(alerts.URL, f"{address}/refused")
    with pytest.raises(alerts.AlertError, match=r"SLUICE_ALERT_URL .*HTTPError 403") as told:
        alerts.send({"event": "run_failed"})
    assert "127.0.0.1" not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("command", ["no-such-command-at-all --token abc", "false --token abc"])
def test_a_command_that_fails_is_named_by_its_setting(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(alerts.COMMAND, command)
    with pytest.raises(alerts.AlertError, match="SLUICE_ALERT_COMMAND failed") as told:
        alerts.send({"event": "run_failed"})
    assert "abc" not in str(told.value)
