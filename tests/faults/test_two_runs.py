"""Two runs at once on one root: one works, the other is told who is at work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.small import build, start

pytestmark = [pytest.mark.faults, pytest.mark.timeout(200)]


def test_one_finishes_and_the_other_is_busy_or_finds_nothing_to_do(tmp_path: Path) -> None:
    recipe = build(tmp_path)
    both = [start(recipe), start(recipe)]
    ends = [(*process.communicate(timeout=150), process.returncode) for process in both]
    statuses = sorted(status for _, _, status in ends)
    assert statuses in ([0, 4], [0, 0]), ends
    if statuses == [0, 4]:
        told = next(err for _, err, status in ends if status == 4)
        assert "is at work here" in told
    else:
        assert sorted("changed=True" in out for out, _, _ in ends) == [False, True]
