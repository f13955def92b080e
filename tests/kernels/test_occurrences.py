"""The table of occurrences counts as Python's Counter does, however keys come and the table grows."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.kernels import occurrences as module
from assets.kernels.occurrences import KEY_BYTES, Occurrences

# keys that share their first half or their last, and one of nothing but zeros
awkward = st.sampled_from(
    [bytes(16), b"a" * 16, b"a" * 8 + b"b" * 8, b"b" * 8 + b"a" * 8, bytes(8) + b"a" * 8]
)


def digest(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=KEY_BYTES).digest()


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.one_of(awkward, st.integers(0, 9).map(digest)), max_size=12), max_size=8)
)
def test_it_counts_as_a_counter_does(batches: list[list[bytes]]) -> None:
    original, module._LEAST_SLOTS = module._LEAST_SLOTS, 2
    try:
        table, seen = Occurrences(), Counter[bytes]()
    finally:
        module._LEAST_SLOTS = original
    for batch in batches:
        want = []
        for key in batch:
            want.append(seen[key])
            seen[key] += 1
        assert table.add(b"".join(batch)).tolist() == want


def test_many_keys() -> None:
    table = Occurrences()
    for times in range(3):
        for begin in range(0, 5000, 700):
            keys = [digest(number) for number in range(begin, min(begin + 700, 5000))]
            assert set(table.add(b"".join(keys)).tolist()) == {times}
