from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication.stage_memory import LEAST_BYTES, needed_bytes, working_bytes

bounds = st.integers(10**8, 10**11)
counts = st.integers(0, 10**8)


@given(bounds, bounds, counts, counts)
def test_more_memory_and_fewer_records_leave_more(
    limit: int, other: int, records: int, more: int
) -> None:
    low, high = sorted([limit, other])
    assert LEAST_BYTES <= working_bytes(low, records) <= working_bytes(high, records)
    assert working_bytes(limit, records + more) <= working_bytes(limit, records)
    assert working_bytes(limit, records) <= max(LEAST_BYTES, limit // 4)


def test_records_count_before_sets_do() -> None:
    """A share of the bound alone would give both the same."""
    assert working_bytes(10**9, 6 * 10**5) > working_bytes(10**9, 8 * 10**5) > LEAST_BYTES


@given(bounds, counts)
def test_what_is_needed_is_what_leaves_the_least(limit: int, records: int) -> None:
    """A bound that is too small by its own measure must not give the searches more than the least."""
    if needed_bytes(records) > limit:
        assert working_bytes(limit, records) == LEAST_BYTES
    assert needed_bytes(records + 1) > needed_bytes(records) > LEAST_BYTES
