"""Run a recipe in a process of its own that comes to grief at a stated commit.

`python -m tests.faults.child RECIPE LOG [--at N --do kill|stop|wait --where fence|commit] [--lease-seconds S]`

Every commit, and every stage that was computed or adopted, is a line of LOG, written at once: what a killed
process had done is told by its log. `stop` freezes the process (SIGSTOP) as a machine that sleeps does; `wait` keeps
it at work until a file LOG.go appears.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestration.execute import execute
from resources.errors import SluiceError
from resources.lease import Lease
from resources.recipe_file import load_recipe
from resources.run import Run
from resources.stage import Stage
from resources.staged_table import StagedTable


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--at", type=int, default=-1)
    parser.add_argument("--do", choices=["kill", "stop", "wait"], default="kill")
    parser.add_argument("--where", choices=["fence", "commit"], default="commit")
    parser.add_argument("--lease-seconds", type=float)
    return parser.parse_args()


def befall(do: str, log: Path) -> None:
    """Let the accident happen."""
    if do == "wait":
        go = log.with_suffix(".go")
        log.with_suffix(".waiting").touch()
        while not go.exists():
            time.sleep(0.05)
        return
    os.kill(os.getpid(), signal.SIGKILL if do == "kill" else signal.SIGSTOP)


def before(owner: type, name: str, act: Callable[[int], None]) -> None:
    """Call `act` with the number of the call before each call of a method."""
    method = getattr(owner, name)
    count = 0

    def counted(self: Any, *positional: Any, **named: Any) -> Any:
        nonlocal count
        number, count = count, count + 1
        act(number)
        return method(self, *positional, **named)

    setattr(owner, name, counted)


def main() -> int:
    told = arguments()

    def note(event: str, name: str) -> None:
        with told.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps([event, name]) + "\n")

    commit, adopt = StagedTable.commit, Stage.adopt

    def noted_commit(self: StagedTable, *positional: Any, **named: Any) -> int:
        version = commit(self, *positional, **named)
        note("commit", "/".join(self.uri.parts[-2:]))
        return version

    def noted_adopt(self: Stage) -> Any:
        found = adopt(self)
        note("compute" if found is None else "adopt", self.spec.name)
        return found

    StagedTable.commit = noted_commit  # type: ignore[method-assign]
    Stage.adopt = noted_adopt  # type: ignore[method-assign]
    # the fence (is the lease still ours?) is asked once before each commit, so both count alike
    owner, name = (Run, "assert_held") if told.where == "fence" else (StagedTable, "commit")
    before(owner, name, lambda n: befall(told.do, told.log) if n == told.at else None)
    if told.lease_seconds is not None:
        defaults = Lease.__init__.__kwdefaults__
        assert defaults is not None
        defaults["seconds"] = told.lease_seconds
    try:
        outcome = execute(load_recipe(told.recipe))
    except SluiceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_status
    print(json.dumps({"changed": outcome.changed}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
