"""The alert on a failed run: a command or an address that the environment names; nothing unless one is set.

Runs that the daemon or the UI started are watched by a sensor. `sluice run` alerts nobody: it has an exit status.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.logs import cause
from resources.errors import SluiceError

COMMAND, URL = "SLUICE_ALERT_COMMAND", "SLUICE_ALERT_URL"
SECONDS = 30.0


class AlertError(SluiceError):
    """An alert that did not get through."""


def sensors() -> list[dg.SensorDefinition]:
    """Make the sensor that alerts, if the environment says how; it needs no turning on."""
    if not (os.environ.get(COMMAND) or os.environ.get(URL)):
        return []

    @dg.run_failure_sensor(
        name="alert_on_failure",
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells {COMMAND} or {URL} of a run that failed.",
    )
    def _alert(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        failed = context.get_step_failure_events()
        send(
            {
                "event": "run_failed",
                "run_id": run.run_id,
                "job": run.job_name,
                "steps": [event.step_key for event in failed],
                "message": "; ".join(map(cause, failed))
                or context.failure_event.message
                or "failed",
                "will_retry": run.tags.get("dagster/will_retry") == "true",
            }
        )

    return [_alert]


def send(alert: Mapping[str, Any]) -> None:
    """Give an alert, as one JSON object, to the command on standard input, and to the address by POST.

    Raises
    ------
    AlertError
        Naming the setting, never its value: addresses of this kind are secrets.
    """
    body = json.dumps(alert).encode()
    command = os.environ.get(COMMAND)
    if command:
        try:
            subprocess.run(
                shlex.split(command), input=body, check=True, capture_output=True, timeout=SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            message = f"{COMMAND} failed ({type(error).__name__}); run it by hand with a JSON object on its input"
            raise AlertError(message) from None
    address = os.environ.get(URL)
    if address:
        request = urllib.request.Request(
            address, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS):
                pass
        except (OSError, ValueError, urllib.error.URLError) as error:
            status = f" {error.code}" if isinstance(error, urllib.error.HTTPError) else ""
            message = f"{URL} did not take the alert ({type(error).__name__}{status}); check the address and its server"
            raise AlertError(message) from None
