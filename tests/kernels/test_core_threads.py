"""Work on every core, and the first largest number of each row."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assets.kernels.core_threads import blocks, on_every_core
from assets.kernels.largest import first_largest


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


@settings(deadline=None, max_examples=60)
@given(
    arrays(
        np.float32, st.tuples(st.integers(0, 5), st.integers(1, 40)), elements=st.integers(-3, 3)
    )
)
def test_the_first_of_equal_numbers_is_the_largest(rows):
    for given_rows in (rows, rows.astype(np.float64)):
        places, values = first_largest(given_rows)
        assert np.array_equal(places, given_rows.argmax(axis=1))
        assert np.array_equal(values, given_rows.max(axis=1))
        assert values.dtype == given_rows.dtype
