"""`sluice ui`: the Dagster UI on some recipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestration.execute import dagster_home
from orchestration.recipes import load_recipes


def ui(recipes: Sequence[Path], *, host: str, port: int) -> int:
    """Start webserver, daemon and code server; returns when they end."""
    load_recipes(recipes)
    home = dagster_home()
    environment = {
        **os.environ,
        "SLUICE_RECIPE": os.pathsep.join(str(path.resolve()) for path in recipes),
        "DAGSTER_HOME": str(home),
    }
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        "orchestration.definitions",
        "-h",
        host,
        "-p",
        str(port),
    ]
    return subprocess.call(command, env=environment)
