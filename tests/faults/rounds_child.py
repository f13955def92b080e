"""Buy rounds in a process of its own that is killed before a stated commit.

`python -m tests.faults.rounds_child FOLDER --last N [--at K] [--restart]`; FOLDER/out holds a release.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from orchestration.execute_rounds import execute_rounds
from resources.errors import SluiceError
from resources.staged_table import StagedTable
from tests.allocation import released_lake
from tests.faults.child import before


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--last", type=int, default=2)
    parser.add_argument("--at", type=int, default=-1)
    parser.add_argument("--restart", action="store_true")
    told = parser.parse_args()
    count = 0

    def accident(_number: int) -> None:
        nonlocal count
        if count == told.at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    # a table's first partition is committed by the one, each later one by the other
    before(StagedTable, "commit", accident)
    before(StagedTable, "commit_instead_of", accident)
    try:
        list(execute_rounds(released_lake.recipe(told.folder), told.last, restart=told.restart))
    except SluiceError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
