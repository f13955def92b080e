"""The lease: one holder, expiry, takers, and the fence before commits."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from resources.errors import BusyError, StoreError
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


def test_a_step_that_ends_leaves_the_lease_to_its_siblings(tmp_path: Path) -> None:
    first, second = Lease(tmp_path, "run"), Lease(tmp_path, "run")
    first.acquire()
    second.acquire()
    first.release()  # it made the file, and is done before its sibling
    second.assert_held()
    with pytest.raises(BusyError, match="run"):
        Lease(tmp_path, "another").acquire()
    second.release()
    assert not list((tmp_path / "_sluice").iterdir())


STEP = (
    "import os, sys, time\nfrom pathlib import Path\nfrom resources.lease import Lease\n"
    "Lease(Path(sys.argv[1]), sys.argv[2], seconds=0.15).acquire()\n"
    "time.sleep(0.5)\nos._exit(9)\n"
)


def test_a_sibling_that_is_killed_does_not_make_the_run_look_dead(tmp_path: Path) -> None:
    with Lease(tmp_path, "run") as lease:
        subprocess.run([sys.executable, "-c", STEP, str(tmp_path), "run"], check=False)
        # the heartbeat of the killed step has left its process number behind
        held = json.loads(lease.path.read_text(encoding="utf-8"))
        lease.path.write_text(json.dumps({**held, "expires": time.time() + 1000}), encoding="utf-8")
        with pytest.raises(BusyError, match="run"):
            Lease(tmp_path, "another").acquire()
        lease.assert_held()
    assert not list((tmp_path / "_sluice").iterdir())


def test_a_step_tried_again_after_a_crash_is_the_holder(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", STEP, str(tmp_path), "run"], check=False)
    with Lease(tmp_path, "run") as lease:
        with pytest.raises(BusyError, match=f"process {os.getpid()}"):
            Lease(tmp_path, "another").acquire()
        lease.assert_held()
    assert not list((tmp_path / "_sluice").iterdir())


def test_all_of_a_killed_run_is_swept_by_the_next(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", STEP, str(tmp_path), "killed"], check=False)
    with Lease(tmp_path, "next") as lease:
        lease.assert_held()
    assert not list((tmp_path / "_sluice").iterdir())


def test_a_heartbeat_keeps_a_lease_that_would_expire(tmp_path: Path) -> None:
    with Lease(tmp_path, "me", seconds=0.3) as lease:
        first = json.loads(lease.path.read_text(encoding="utf-8"))["expires"]
        deadline = time.monotonic() + 20
        while json.loads(lease.path.read_text(encoding="utf-8"))["expires"] == first:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.05)
        lease.assert_held()


def test_a_run_that_waits_takes_over_when_the_other_ends(tmp_path: Path) -> None:
    first = Lease(tmp_path, "first")
    first.acquire()
    threading.Timer(0.3, first.release).start()
    with Lease(tmp_path, "second", wait_seconds=30) as lease:
        lease.assert_held()


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, no folder", encoding="utf-8")
    with pytest.raises(StoreError, match="out"):
        Lease(tmp_path / "out", "me").acquire()


def _count_up(folder: Path, name: str, times: int) -> None:
    """Read, think, write: turns that overlap lose counts."""
    file = folder / "count"
    for turn in range(times):
        with Lease(folder, f"{name} {turn}", wait_seconds=60):
            before = int(file.read_text(encoding="utf-8"))
            time.sleep(0.01)
            file.write_text(str(before + 1), encoding="utf-8")


def test_of_several_processes_one_at_a_time_works(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0", encoding="utf-8")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count_up, args=(tmp_path, str(i), 3)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=100)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "count").read_text(encoding="utf-8") == "9"
    assert not list((tmp_path / "_sluice").iterdir())


HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom resources.lease import Lease\n"
    "Lease(Path(sys.argv[1]), 'the holder').acquire()\nprint('held', flush=True)\ntime.sleep(100)\n"
)


def test_a_holder_is_respected_while_it_lives_and_succeeded_as_soon_as_it_is_killed(
    tmp_path: Path,
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = f"the holder.*process {holder.pid} on {socket.gethostname()}.*lease.json"
        with pytest.raises(BusyError, match=told) as caught:
            Lease(tmp_path, "me").acquire()
        assert caught.value.exit_status == 4
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
        left = json.loads((tmp_path / "_sluice" / "lease.json").read_text(encoding="utf-8"))
        assert left["expires"] > time.time() + 10, "it is taken over because its holder is gone"
        with Lease(tmp_path, "me") as lease:
            lease.assert_held()
    finally:
        holder.kill()
        holder.communicate()


def test_a_lease_that_another_took_is_not_renewed_by_the_old_heartbeat(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "slept", seconds=0.06)
    lease.acquire()
    taken = json.dumps({"holder": "other", "token": "t", "expires": time.time() + 1000})
    # in one step, as the taker does it
    fresh = tmp_path / "fresh"
    fresh.write_text(taken, encoding="utf-8")
    fresh.replace(lease.path)
    heart = lease._thread
    assert heart is not None
    heart.join(timeout=30)
    assert not heart.is_alive(), "a run that lost its lease has no heartbeat"
    with pytest.raises(BusyError, match=r"run slept was lost.*Run again"):
        lease.assert_held()
    lease.release()
    assert lease.path.read_text(encoding="utf-8") == taken


def test_a_lease_that_was_removed_by_hand_fences_its_holder(tmp_path: Path) -> None:
    with Lease(tmp_path, "me") as lease:
        lease.path.unlink()
        with pytest.raises(BusyError, match="was lost"):
            lease.assert_held()
        with Lease(tmp_path, "other") as other:
            other.assert_held()
            with pytest.raises(BusyError, match="was lost"):
                lease.assert_held()


@pytest.mark.parametrize("torn", ["", '{"holder": "x", "pid'])
def test_a_lease_that_is_being_written_is_held_for_a_moment_only(tmp_path: Path, torn: str) -> None:
    (tmp_path / "_sluice").mkdir()
    file = tmp_path / "_sluice" / "lease.json"
    file.write_text(torn, encoding="utf-8")
    with pytest.raises(BusyError, match=r"remove .*lease\.json"):
        Lease(tmp_path, "me").acquire()
    os.utime(file, (time.time() - 10, time.time() - 10))  # its writer died in between
    with Lease(tmp_path, "me") as lease:
        lease.assert_held()


def test_the_lease_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    def work() -> None:
        with Lease(tmp_path, "me"):
            message = "no work"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError):
        work()
    with Lease(tmp_path, "other"):
        pass


def test_a_lease_can_be_taken_again_by_the_one_who_gave_it_back(tmp_path: Path) -> None:
    lease = Lease(tmp_path, "me", seconds=0.3)
    for _ in range(2):
        with lease:
            lease.assert_held()
            assert lease._thread is not None
            assert lease._thread.is_alive()
    assert not list((tmp_path / "_sluice").iterdir())
