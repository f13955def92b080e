"""A run opens no socket beyond its stores: Python's own calls by an audit hook, those of native code by strace."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.small import ROOT
from tests.lakes import build_small

CHILD = Path(__file__).with_name("sockets_child.py")


def run_child(folder: Path, *before: str) -> dict[str, object]:
    recipe = build_small(folder)
    report = folder / "report.json"
    done = subprocess.run(
        [*before, sys.executable, str(CHILD), str(recipe), str(report)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(folder / "dagster")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, object] = json.loads(report.read_text())
    assert told["exit"] == 0, done.stdout[-4000:]
    assert (folder / "out" / "publication" / "releases").is_dir()
    return told


def test_python_code_asks_for_no_address(tmp_path: Path) -> None:
    assert run_child(tmp_path)["asked"] == []


def test_the_hook_sees_what_it_is_for() -> None:
    code = (
        "import sys, socket; from tests.end_to_end.sockets_child import asked, watch; sys.addaudithook(watch)\n"
        "try: socket.create_connection(('127.0.0.1', 9), timeout=0.1)\nexcept OSError: pass\nprint(asked)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "socket.connect" in told.stdout
    assert "socket.getaddrinfo" in told.stdout


@pytest.mark.slow
def test_native_code_connects_to_nothing(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here")
    tried = subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("strace may not trace here")
    trace = tmp_path / "trace"
    calls = "trace=socket,connect,sendto,sendmsg,sendmmsg"
    run_child(tmp_path, strace, "-f", "-qq", "-e", calls, "-o", str(trace))
    lines = trace.read_text(errors="replace").splitlines()
    internet = [line for line in lines if re.search(r"AF_INET6?\b|sin6?_addr", line)]
    assert internet == []
    connected = {
        path for line in lines for path in re.findall(r'connect\(.*sun_path="([^"]*)"', line)
    }
    # the name service's cache is asked for names of users
    assert connected <= {"/var/run/nscd/socket"}
