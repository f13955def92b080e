"""The lease: one holder, expiry, takers, and the fence before commits."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources.errors import BusyError
from resources.lease import Lease


def test_a_second_run_is_told_who_is_at_work(tmp_path: Path) -> None:
    with Lease(tmp_path, "first"), pytest.raises(BusyError, match=f"first.*process {os.getpid()}"):
        Lease(tmp_path, "second").acquire()
    with Lease(tmp_path, "second"):
        pass
    assert not (tmp_path / "_sluice" / "lease.json").exists()


def test_steps_of_one_run_share_the_lease(tmp_path: Path) -> None:
    with Lease(tmp_path, "run") as outer:
        with Lease(tmp_path, "run"):
            pass
        outer.assert_held()


def _held_by(folder: Path, **changes: object) -> None:
    (folder / "_sluice").mkdir()
    held = {
        "holder": "other",
        "token": "t",
        "host": "elsewhere",
        "pid": 1,
        "started": "x",
        "expires": time.time() + 1000,
    }
    (folder / "_sluice" / "lease.json").write_text(
        json.dumps({**held, **changes}), encoding="utf-8"
    )


def test_a_live_lease_of_another_machine_is_respected(tmp_path: Path) -> None:
    _held_by(tmp_path)
    with pytest.raises(BusyError, match="elsewhere"):
        Lease(tmp_path, "me").acquire()


def test_an_expired_lease_is_taken_over(tmp_path: Path) -> None:
    _held_by(tmp_path, expires=time.time() - 1)
    with Lease(tmp_path, "me") as lease:
        lease.assert_held()


def test_a_holder_of_this_machine_that_died_is_noticed_at_once(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    _held_by(tmp_path, host=socket.gethostname(), pid=int(process.stdout))
    with Lease(tmp_path, "me") as lease:
        lease.assert_held()


def test_a_reused_process_number_is_not_mistaken_for_the_holder(tmp_path: Path) -> None:
    _held_by(tmp_path, host=socket.gethostname(), pid=os.getpid(), started="another boot:1")
    with Lease(tmp_path, "me") as lease:
        lease.assert_held()


def test_a_lost_lease_fences_commits_and_is_not_given_back(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "me")
    lease.acquire()
    lease.path.write_text(json.dumps({"holder": "other", "token": "t"}), encoding="utf-8")
    with pytest.raises(BusyError, match="was lost"):
        lease.assert_held()
    lease.release()
    assert lease.path.exists(), "somebody else's lease was removed"


def test_of_many_takers_one_wins(tmp_path: Path) -> None:
    _held_by(tmp_path, expires=time.time() - 1)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom resources.lease import Lease\n"
        "try:\n    Lease(Path(sys.argv[1]), sys.argv[2]).acquire()\n    print('won', flush=True)\n    time.sleep(3)\n"
        "except Exception as e:\n    print(type(e).__name__, flush=True)\n"
    )
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(i)], stdout=subprocess.PIPE, text=True
        )
        for i in range(6)
    ]
    told = [taker.communicate(timeout=60)[0].strip() for taker in takers]
    assert told.count("won") == 1, told
    assert told.count("BusyError") == 5, told
