"""Retire, delete or restore a table in a process of its own that is killed before a stated change of the disk.

`python -m tests.faults.retire_child ROOT retire|delete|restore CHILD PARENT LOG [--at N]`

Every creation, renaming, linking, emptying and removal of a file or folder below ROOT counts, as Python's audit
events tell them before they happen; each is a line of LOG.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

from assets.containment.restore import restore
from assets.containment.retire import delete
from tests.containment.retire_lake import open_lake

CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.truncate",
    "os.utime",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("do", choices=["retire", "delete", "restore"])
    parser.add_argument("child")
    parser.add_argument("parent")
    parser.add_argument("log", type=Path)
    parser.add_argument("--at", type=int, default=-1)
    told = parser.parse_args()
    state, place = told.root / "state", told.root / "lake" / told.child
    lake = open_lake(told.root / "lake", state) if told.do == "retire" else None
    root, count = str(told.root), 0
    log = os.open(told.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def before(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, int):
            return
        # names without a folder are those of a tree that is being removed
        if not os.fsdecode(path).startswith(root) and Path(os.fsdecode(path)).is_absolute():
            return
        os.write(log, f"{event} {os.fsdecode(path)}\n".encode())
        if count == told.at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    sys.addaudithook(before)
    if lake is not None:
        lake.retire(told.child, told.parent)
    elif told.do == "delete":
        delete(state, place)
    else:
        restore(state, told.child, place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
