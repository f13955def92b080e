"""Work on every core."""

from __future__ import annotations

import sys
import threading

import pytest
import torch

from assets.kernels.core_threads import blocks, on_every_core


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_answers_come_in_order_and_torch_is_as_before(two_threads):
    seen = set()
    wait = threading.Barrier(2, timeout=30)

    def work(part):
        if part < 2:
            wait.wait()  # passed only if two are at work
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return part * part

    assert list(on_every_core(work, range(20))) == [i * i for i in range(20)]
    assert len(seen) == 2
    assert {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]  # what new threads begin with is as before too


def test_one_part_or_one_thread_is_done_by_the_caller(two_threads):
    me = threading.get_ident()
    assert list(on_every_core(lambda _: threading.get_ident(), [0])) == [me]
    torch.set_num_threads(1)
    assert list(on_every_core(lambda _: threading.get_ident(), range(3))) == [me] * 3


def test_an_error_comes_through_and_torch_is_as_before(two_threads):
    def work(part):
        if part == 3:
            message = "part 3"
            raise ValueError(message)
        return part

    with pytest.raises(ValueError, match="part 3"):
        list(on_every_core(work, range(50)))
    assert torch.get_num_threads() == 2


def test_blocks_part_rows():
    assert [(b.start, b.stop) for b in blocks(7, 3)] == [(0, 3), (3, 6), (6, 7)]
    assert blocks(0, 3) == []


def test_without_torch_it_is_not_loaded_and_the_cores_are_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    wait = threading.Barrier(3, timeout=30)  # passed only if three are at work
    assert len(list(on_every_core(lambda _: wait.wait(), range(3)))) == 3
    assert "torch" not in sys.modules
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    me = threading.get_ident()
    assert list(on_every_core(lambda _: threading.get_ident(), range(3))) == [me] * 3
