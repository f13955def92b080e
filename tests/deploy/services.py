"""A PostgreSQL server of a test's own, and processes that end with the test."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a pass-word of the tests"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(done: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Return what `done` returns once that is true; errors while waiting count as not yet."""
    deadline = time.monotonic() + seconds
    last: BaseException | None = None
    while time.monotonic() < deadline:
        try:
            if found := done():
                return found
        except (OSError, subprocess.SubprocessError, KeyError, TypeError) as error:
            last = error
        time.sleep(0.5)
    pytest.fail(f"{what} did not happen within {seconds:.0f} s ({last!r})")


@dataclass(frozen=True)
class Postgres:
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_USER": "dagster",
            "DAGSTER_PG_DB": "dagster",
            "DAGSTER_PG_PASSWORD": PASSWORD,
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="dagster", password=PASSWORD, dbname="dagster"
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())


def _binaries() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.skip("no PostgreSQL here: neither initdb on the path nor below /usr/lib/postgresql")


def _account() -> str | None:
    """PostgreSQL refuses to run as root, so as root another account is taken."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    pytest.skip("PostgreSQL refuses to run as root, and there is no account postgres or nobody")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server with the database and the user that deploy/compose.yaml has."""
    binaries, account, port = _binaries(), _account(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    secret = folder / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    if account is not None:
        shutil.chown(folder, account)
        shutil.chown(secret, account)
    data = folder / "data"
    options: dict[str, Any] = {"user": account, "cwd": folder, "capture_output": True}
    try:
        subprocess.run(
            [
                binaries / "initdb",
                "-D",
                data,
                "-U",
                "dagster",
                "-A",
                "scram-sha-256",
                "--pwfile",
                secret,
                "--no-sync",
                "-E",
                "UTF8",
                "--locale",
                "C",
            ],
            check=True,
            **options,
        )
        server = subprocess.Popen(
            [
                binaries / "postgres",
                "-D",
                data,
                "-p",
                str(port),
                "-k",
                folder,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ],
            user=account,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("wb"),
        )
        try:
            ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            wait_for(
                lambda: not subprocess.run(ready, check=False, **options).returncode, "PostgreSQL"
            )
            subprocess.run(
                [
                    binaries / "createdb",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(port),
                    "-U",
                    "dagster",
                    "dagster",
                ],
                check=True,
                env={**os.environ, "PGPASSWORD": PASSWORD},
                **options,
            )
            yield Postgres(port)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Service:
    """A process in a group of its own, with what it prints in a file."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    def stop(self) -> None:
        """Ask it to end, and hold it to that: it ends by itself, and leaves no child behind."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=45)
            assert not group_members(self.process.pid), f"{self.name} left children behind"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


def group_members(group: int, seconds: float = 15.0) -> list[int]:
    """Processes of a group that are still there after a while; those that only wait to be reaped don't count."""
    deadline = time.monotonic() + seconds
    while True:
        alive = []
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, _parent, of_group = place.read_text().rpartition(")")[2].split()[:3]
                if int(of_group) == group and state != "Z":
                    alive.append(int(place.parent.name))
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.25)


@contextlib.contextmanager
def service(
    name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[Service]:
    """Run a process from the project's folder until the test is done with it."""
    output = folder / f"{name}.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env=dict(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Service(name, process, output)
    try:
        yield running
    finally:
        running.stop()


def graphql(port: int, query: str, **variables: Any) -> dict[str, Any]:
    """Ask the webserver."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told: dict[str, Any] = json.load(answer)
    assert "errors" not in told, told["errors"]
    return dict(told["data"])
