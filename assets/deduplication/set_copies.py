"""Copies of sets that lie in one array to places in another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def copy_sets(source: U64, begins: I64, sizes: I64, target: U64, places: I64) -> None:
    """Copy (n,) sets: `sizes` elements from `begins` in `source` on, to `places` in `target`."""
    from assets.deduplication import set_kernels as kernels

    source = source.view()
    source.flags.writeable = False  # one type for the compiled loop
    kernels.copy_sets(source, begins, sizes, target, places)


def gathered_sets(source: U64, begins: I64, sizes: I64) -> U64:
    """Return (n,) sets out of `source` one after another."""
    flat = np.empty(int(sizes.sum()), np.uint64)
    copy_sets(source, begins, sizes, flat, np.cumsum(sizes) - sizes)
    return flat
