"""Logs for machines: with `SLUICE_LOG=json`, one JSON object a line on standard error.

Keys: time (UTC), level, logger, message, and where they are known run_id, stage, counts (done, total), exit_status
and exception. Progress is told every five seconds at most, and never in the words of a record.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from resources.stage_spec import Report

LOGGER = logging.getLogger("sluice")
SECONDS_BETWEEN_LINES = 5.0
_FIELDS = ("run_id", "stage", "counts", "exit_status")


def as_json() -> bool:
    """Tell whether the environment asks for JSON logs."""
    return os.environ.get("SLUICE_LOG", "").lower() == "json"


class JsonFormatter(logging.Formatter):
    """One JSON object a record; reads what Dagster knows of a run where a record comes from it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line."""
        dagster: dict[str, Any] = getattr(record, "dagster_meta", None) or {}
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "run_id": dagster.get("run_id"),
            "stage": _stage(dagster.get("op_name")),
            "message": dagster.get("orig_message") or record.getMessage(),
        }
        event = dagster.get("dagster_event")
        if event is not None and event.is_step_failure:
            line["message"] = cause(event)
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        line["message"] = line["message"].removeprefix(f"{line['stage']}: ")
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None})


def _stage(op: str | None) -> str | None:
    """Return the stage of an op: `scoring/scores` of `name__make__scoring__scores`."""
    return None if op is None else op.rpartition("make__")[2].replace("__", "/")


def cause(event: dg.DagsterEvent) -> str:
    """Return what a stage that failed said itself, without Dagster's words around it."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "failed" if error is None else error.message.strip()


def configure() -> None:
    """Send our own log to standard error as JSON, if the environment asks for that; may be called again."""
    if as_json() and not LOGGER.handlers:
        LOGGER.addHandler(_handler())
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    return handler


@dg.logger(None, description="One JSON object a line on standard error.")
def json_console(_context: dg.InitLoggerContext) -> logging.Logger:
    """Make the logger that takes the place of Dagster's coloured console."""
    logger = logging.getLogger("sluice.dagster")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_handler()]
    return logger


def job_loggers() -> dict[str, dg.LoggerDefinition]:
    """Return the loggers of all jobs: Dagster's own, or JSON on the console."""
    return {"console": json_console} if as_json() else {}


def job_config() -> dict[str, Any] | None:
    """Return the run configuration of all jobs: without it Dagster falls back on its coloured console."""
    return {"loggers": {"console": {}}} if as_json() else None


class LogReport:
    """Reports a run's progress to a log: what is finished at once, what is under way now and then."""

    def __init__(self, logger: logging.Logger, run_id: str) -> None:
        self.logger = logger
        self.run_id = run_id
        self._told = float("-inf")

    def __call__(
        self, stage: str, message: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Report progress; called as often as a stage likes."""
        now = time.monotonic()
        counts = {k: v for k, v in (("done", done), ("total", total)) if v is not None}
        if counts and now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        counted = f" {done:,}" if done is not None else ""
        counted += f" of {total:,}" if total is not None else ""
        told = {"run_id": self.run_id, "stage": stage, "counts": counts or None}
        self.logger.info(f"{stage}: {message}{counted}", extra=told)


def reporting(report: Report, run_id: str) -> Report:
    """Return the JSON log's report if the environment asks for that, else the one that is given."""
    return LogReport(LOGGER, run_id) if as_json() else report


@contextmanager
def logged(run_id: str) -> Iterator[None]:
    """Log a run's beginning and end, if the environment asks for logs."""
    if not as_json():
        yield
        return
    told = {"run_id": run_id, "stage": "run"}
    LOGGER.info("run started", extra=told)
    try:
        yield
    except Exception as error:
        LOGGER.error("run failed: %s", error, extra=told)  # noqa: TRY400 - the message is the clear one
        raise
    LOGGER.info("run done", extra=told)
