"""Places of names in a list of names: keys of 32 hexadecimal digits as numbers, other names as they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.keys import CHUNK, KeyLookup, key_numbers, read_keys
from assets.deduplication.order import sorted_rows

I64 = npt.NDArray[np.int64]


class NamePlaces:
    """Find the places of names in a list of distinct names.

    Parameters
    ----------
    names
        (n,) strings. Where all are keys (see `keys`), a name costs 24 to 32 bytes.
    """

    def __init__(self, names: pl.Series) -> None:
        self._names = names
        self._numbers = key_numbers(names)
        self._lookup = None if self._numbers is None else KeyLookup(*self._numbers)

    def find(self, names: pl.Series) -> I64:
        """Return (m,) places, -1 for names that are not in the list."""
        if self._lookup is None:
            return self._joined(names)
        places = np.empty(len(names), np.int64)
        for first in range(0, len(names), CHUNK):
            read = read_keys(names[first : first + CHUNK].to_arrow())
            if read is None:  # a name that is no key is in no list of keys, but others may be
                return self._joined(names)
            places[first : first + CHUNK] = self._lookup.places(*read)
        return places

    def _joined(self, names: pl.Series) -> I64:
        """Join all names at once: every join builds a table of the whole list."""
        listed = pl.DataFrame({"name": self._names}).with_row_index("place")
        joined = names.to_frame("name").join(listed, on="name", how="left", maintain_order="left")
        return joined["place"].cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)

    def by_name(self, places: I64) -> I64:
        """Return some places in the order of their names."""
        if self._numbers is None:
            order = self._names.gather(places).arg_sort().to_numpy()
        else:
            high, low = self._numbers
            order = sorted_rows(high[places], low[places])
        return np.asarray(places[order], dtype=np.int64)


def repeated_names(names: pl.Series) -> pl.Series:
    """Say of each name whether it stands in the list twice or more; null never does."""
    from assets.deduplication.key_kernels import may_repeat

    numbers = key_numbers(names)
    if numbers is None:
        return names.is_duplicated() & names.is_not_null()
    high, low = numbers
    doubtful = may_repeat(high.astype(np.uint32))
    rows = doubtful[sorted_rows(high[doubtful], low[doubtful])]
    same = (high[rows[1:]] == high[rows[:-1]]) & (low[rows[1:]] == low[rows[:-1]])
    repeated = np.zeros(len(names), bool)
    repeated[rows[1:][same]] = repeated[rows[:-1][same]] = True
    return pl.Series(names.name, repeated)
