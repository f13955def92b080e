"""Runs a recipe in this process and writes down every address that Python code asks for or connects to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WATCHED = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
asked: list[list[str]] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    if event in WATCHED:
        asked.append([event, *(str(arg) for arg in args)])


def main(recipe: str, report: str) -> None:
    sys.addaudithook(watch)  # before anything of ours, or of Dagster, is imported
    from click.testing import CliRunner

    from orchestration.cli import main as sluice

    result = CliRunner().invoke(sluice, ["run", recipe])
    Path(report).write_text(json.dumps({"asked": asked, "exit": result.exit_code}))
    sys.stdout.write(result.output)


if __name__ == "__main__":
    main(*sys.argv[1:])
