"""`sluice ui`: the Dagster UI on some recipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import dagster as dg

from orchestration.dead_runs import dead_runs_of, give_up
from orchestration.execute import dagster_home
from orchestration.recipes import load_recipes

HOME = Path(__file__).resolve().parents[2]


def ui(recipes: Sequence[Path], *, host: str, port: int) -> NoReturn:
    """Become webserver, daemon and code server."""
    loaded = load_recipes(recipes)
    home = dagster_home()
    dead = set().union(*(dead_runs_of(recipe) for recipe in loaded))
    if dead:
        with dg.DagsterInstance.get() as instance:
            give_up(instance, dead)
    environment = {
        **os.environ,
        "SLUICE_RECIPE": os.pathsep.join(str(path.resolve()) for path in recipes),
        "DAGSTER_HOME": str(home),
    }
    # in a clone pyproject.toml names the code location; elsewhere the module does
    located = [] if (HOME / "pyproject.toml").exists() else ["-m", "orchestration.definitions"]
    command = [sys.executable, "-m", "dagster", "dev", *located, "-h", host, "-p", str(port)]
    os.chdir(HOME)
    os.execve(sys.executable, command, environment)  # in our place, so that signals reach it
