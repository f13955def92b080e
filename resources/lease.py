"""One run at a time per root: a lease file that expires, renewed by a heartbeat.

The file is created exclusively, so two runs that start together can't both hold it. A lease is taken over when it has
expired, or when its holder was a process of this very machine that is gone: after a kill the next run need not wait.
Every commit asks `Lease.assert_held` first, so a run that lost its lease (a machine that slept) can't write any more.

The steps of a multi-process run share its lease. Each leaves a small member file beside it, so that a step which ends
hands the lease to its siblings, and one that is killed doesn't make the whole run look dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resources.errors import BusyError, StoreError

DEFAULT_SECONDS = 60.0


class Lease:
    """A lease on one root, held by a run.

    Parameters
    ----------
    root
        Folder that is leased.
    holder
        Run id. Processes of the same run share one lease (the steps of a multi-process run).
    seconds
        Life of the lease without a heartbeat.
    wait_seconds
        How long to wait for another holder before `BusyError`.

    Attributes
    ----------
    taken_over
        Run whose lease this one took over, because its process died or its lease ran out; else None.
    """

    def __init__(
        self,
        root: Path,
        holder: str,
        *,
        seconds: float = DEFAULT_SECONDS,
        wait_seconds: float = 0.0,
    ) -> None:
        self.path = root / "_sluice" / "lease.json"
        self.holder = holder
        self.seconds = seconds
        self.wait_seconds = wait_seconds
        self.taken_over: str | None = None
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._member = self.path.with_name(f"lease.{uuid.uuid4().hex}.member")

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease, or raise `BusyError` after `wait_seconds`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{self.path.parent}: can't be written ({error.strerror}); check the rights of the output folder"
            raise StoreError(message) from error
        deadline = time.monotonic() + self.wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                other = self._read() or {}
                message = (
                    f"{self.path.parent.parent}: run {other.get('holder', '?')} (process {other.get('pid', '?')} on "
                    f"{other.get('host', '?')}) is at work here; "
                    f"wait for it, or remove {self.path} if you know it is gone"
                )
                raise BusyError(message)
            time.sleep(0.2)
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name="sluice-lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back; a lease that has passed to someone else is left alone."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        self._member.unlink(missing_ok=True)
        if (self._read() or {}).get("token") != self._token:
            return
        siblings = self._members(self.holder)
        if siblings:
            self._write({**siblings[0], "expires": time.time() + self.seconds})
            return
        self.path.unlink(missing_ok=True)

    def assert_held(self) -> None:
        """Raise `BusyError` unless the lease is still this run's: the fence before every commit."""
        current = self._read()
        if current is None or current.get("holder") != self.holder:
            message = f"{self.path}: the lease of run {self.holder} was lost; nothing more is written. Run again."
            raise BusyError(message)

    def _try(self) -> bool:
        if self._create():
            return True
        current = self._read()
        if current is None:
            return self._create()
        if current.get("holder") == self.holder:
            return self._join()
        gone = _holder_is_gone(current) and not self._members(str(current.get("holder")))
        if current.get("expires", 0) > time.time() and not gone:
            return False
        # only one of several takers succeeds in moving the old file away
        grave = self.path.with_name(f"lease.{self._token}.expired")
        try:
            self.path.rename(grave)
        except FileNotFoundError:
            return False
        if (_load(grave) or {}).get("token") != current.get("token"):
            # someone was quicker and this is their fresh lease: hand it back
            grave.replace(self.path)
            return False
        grave.unlink()
        self.taken_over = current.get("holder")
        return self._create()

    def _join(self) -> bool:
        """Share the lease of this run; the member file comes first, so that a sibling that ends now sees it."""
        self._write_member(self._token)
        current = self._read()
        if current is None or current.get("holder") != self.holder:
            self._member.unlink(missing_ok=True)
            return self._create()
        self._token = str(current.get("token"))
        self._write_member(self._token)
        if _holder_is_gone(current):
            self._write(self._content())  # a step that crashed, tried again
        return True

    def _members(self, holder: str) -> list[dict[str, Any]]:
        """Return what the living steps of a run wrote of themselves; files of dead ones are removed."""
        living = []
        for file in sorted(self.path.parent.glob("lease.*.member")):
            told = _load(file)
            if told is None or told.get("holder") != holder:
                continue
            if _holder_is_gone(told):
                file.unlink(missing_ok=True)
            else:
                living.append(told)
        return living

    def _write_member(self, token: str) -> None:
        self._write({**self._content(), "token": token}, self._member)

    def _create(self) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(self._content()))
        for member in self.path.parent.glob("lease.*.member"):
            if (_load(member) or {}).get("holder") != self.holder:
                member.unlink(missing_ok=True)  # of a run that is fenced out by now
        self._write_member(self._token)
        return True

    def _content(self) -> dict[str, Any]:
        return {
            "holder": self.holder,
            "token": self._token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "expires": time.time() + self.seconds,
        }

    def _read(self) -> dict[str, Any] | None:
        return _load(self.path)

    def _beat(self) -> None:
        while not self._stop.wait(self.seconds / 3):
            current = self._read()
            if current is None or current.get("token") != self._token:
                return
            with contextlib.suppress(OSError):
                self._write(self._content())

    def _write(self, content: dict[str, Any], path: Path | None = None) -> None:
        """Replace the lease file (or another) in one step."""
        fresh = self.path.with_name(f"lease.{uuid.uuid4().hex}.new")
        fresh.write_text(json.dumps(content), encoding="utf-8")
        fresh.replace(path or self.path)


def dead_holder(root: Path) -> str | None:
    """Return the run that died and left the lease of a root, or None where there is no lease or its run may live."""
    current = _load(root / "_sluice" / "lease.json")
    if current is None or not _holder_is_gone(current):
        return None
    for member in (root / "_sluice").glob("lease.*.member"):
        told = _load(member) or {}
        if told.get("holder") == current.get("holder") and not _holder_is_gone(told):
            return None
    return str(current["holder"])


def _load(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        # created this instant and not yet filled: treat as held for a moment
        return {"expires": path.stat().st_mtime + 5.0} if path.exists() else None
    return value if isinstance(value, dict) else None


def _holder_is_gone(current: dict[str, Any]) -> bool:
    """Tell whether the holder was a process of this machine that has ended."""
    if current.get("host") != socket.gethostname() or not isinstance(current.get("pid"), int):
        return False
    started = _process_start(current["pid"])
    return started is None or started != current.get("started")


def _process_start(pid: int) -> str | None:
    """Identity of a running process (boot and start time), so that a reused number is not mistaken for it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            return "unknown"
        return "unknown"
    if fields[0] == "Z":
        return None
    return f"{boot}:{fields[19]}"
