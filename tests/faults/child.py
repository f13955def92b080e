"""Run a recipe in a process of its own, and die at a stated commit: `python -m tests.faults.child RECIPE [KILL_AT]`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from orchestration.execute import execute
from resources import delta
from resources.errors import SluiceError
from resources.recipe import load_recipe


def main(recipe: Path, kill_at: int | None) -> int:
    commit = delta.StagedTable.commit
    count = 0

    def counted(self: delta.StagedTable, *arguments: Any, **named: Any) -> int:
        nonlocal count
        if kill_at is not None and count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return commit(self, *arguments, **named)

    delta.StagedTable.commit = counted  # type: ignore[method-assign]
    try:
        outcome = execute(load_recipe(recipe))
    except SluiceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_status
    print(f"commits={count} changed={outcome.changed}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
