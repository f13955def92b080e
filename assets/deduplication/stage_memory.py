"""How much of a run's memory bound is left for sets and windows, beside the program and what is held of each record.

Measured with `benchmarks/deduplication_memory.py` on texts of about 1 kB: interpreter, libraries, and reading and
writing in batches take about 410 MB, and each record 500 bytes (identity, content, fate, sketch, and what reading
them leaves with the allocators).
"""

from __future__ import annotations

PROGRAM_BYTES = 410_000_000
RECORD_BYTES = 500
LEAST_BYTES = 32 << 20
MOST_SHARE = 4


def working_bytes(limit: int, records: int) -> int:
    """Return the bytes that a search may use for sets of shingles, or for sorting windows; they are not held at once.

    Parameters
    ----------
    limit
        The bound of the run.
    records
        How many are held.

    Returns
    -------
    int
        Half of what is left, at most a quarter of the bound, and never below `LEAST_BYTES`: a search goes on
        through scratch files then, slower and with the same answer, and the stage is above its bound.

    Examples
    --------
    >>> working_bytes(4_000_000_000, 1_000_000)
    1000000000
    >>> working_bytes(1_000_000_000, 500_000)
    170000000
    >>> working_bytes(512_000_000, 1_000_000) == LEAST_BYTES
    True
    """
    left = limit - PROGRAM_BYTES - records * RECORD_BYTES
    return max(min(left // 2, limit // MOST_SHARE), LEAST_BYTES)


def needed_bytes(records: int) -> int:
    """Return the least bound that the stage keeps to with so many records.

    Examples
    --------
    >>> needed_bytes(1_000_000) // 10**6
    910
    """
    return PROGRAM_BYTES + records * RECORD_BYTES
