"""JSON logs: one object a line with what is known, nothing twice a second, nothing at all unless asked for."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import logs
from resources.errors import CheckError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The log of a run with JSON on, as it was written."""
    monkeypatch.setenv("SLUICE_LOG", "json")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    monkeypatch.setattr(logs.LOGGER, "handlers", [handler])
    monkeypatch.setattr(logs.LOGGER, "propagate", False)
    monkeypatch.setattr(logs.LOGGER, "level", logging.INFO)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_how_bad_which_run_which_stage_and_how_many(told: Any) -> None:
    report = logs.LogReport(logs.LOGGER, "run-1")
    report("scoring", "embedding contents", 20_000, 80_000)
    (line,) = told()
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "sluice",
        "run_id": "run-1",
        "stage": "scoring",
        "message": "embedding contents 20,000 of 80,000",
        "counts": {"done": 20_000, "total": 80_000},
    }


def test_progress_is_told_now_and_then_and_an_end_at_once(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: clock[0])
    report = logs.LogReport(logs.LOGGER, "run-1")
    for done in range(5):
        report("ingestion", "reading", done, None)
        clock[0] += 2.0
    report("ingestion", "done", None, None)
    assert [line["message"] for line in told()] == ["reading 0", "reading 3", "done"]


def test_a_failed_run_ends_in_an_error_of_its_own_words(told: Any) -> None:
    message = "nothing is committed"
    with pytest.raises(CheckError), logs.logged("run-2"):
        raise CheckError(message)
    lines = told()
    assert [line["level"] for line in lines] == ["info", "error"]
    assert lines[-1]["message"] == "run failed: nothing is committed"
    assert {line["run_id"] for line in lines} == {"run-2"}


def test_nothing_is_logged_unless_asked_for(
    told: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLUICE_LOG")
    with pytest.raises(CheckError), logs.logged("run-3"):
        raise CheckError
    assert told() == []
    assert capfd.readouterr().err == ""
    assert logs.job_loggers() == {}
    assert logs.job_config() is None
    given = logs.LogReport(logs.LOGGER, "run-3")
    assert logs.reporting(given, "another") is given


def test_a_job_of_dagster_logs_json_with_the_stages_own_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_LOG", "json")

    @dg.op(name="named__make__scoring__scores")
    def _stage(context) -> None:
        logs.LogReport(context.log, context.run_id)("scoring/scores", "scoring records", 3, 9)
        raise dg.Failure(description="scoring.scorers: none can run here")

    @dg.job(logger_defs=logs.job_loggers(), config=logs.job_config())
    def _job() -> None:
        _stage()

    result = _job.execute_in_process(raise_on_error=False)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {line["run_id"] for line in lines} == {result.run_id}
    progress = next(line for line in lines if line.get("counts"))
    assert (progress["stage"], progress["message"]) == ("scoring/scores", "scoring records 3 of 9")
    failed = next(line for line in lines if line["level"] == "error")
    assert failed["stage"] == "scoring/scores"
    assert failed["message"] == "scoring.scorers: none can run here"


def test_the_command_tells_an_error_as_json_too(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    told = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", "run", str(tmp_path / "no.yaml")],
        env={**os.environ, "SLUICE_LOG": "json", "DAGSTER_HOME": str(tmp_path)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    (line,) = [json.loads(line) for line in told.stderr.splitlines()]
    assert (line["level"], line["exit_status"]) == ("error", 2)
    assert "there is no such recipe" in line["message"]
