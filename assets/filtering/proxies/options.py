"""List the further runs that could be made on pools and on mixtures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assets.filtering.proxies.pool_runs import LEAST_RECORDS
from assets.filtering.proxies.spec import VALIDATION, Maker, RunSpec

#: parts of the size in use, and passes over them
SHAPES = ((3, 1), (1, 1), (8, 8), (4, 4), (2, 2), (1, 4))
#: how far beyond the design's largest run a fresh run may reach, where the pool has the records
LONGER = 3


@dataclass(frozen=True)
class Option:
    """Hold a possible run: the first ``sizes`` records of each pool, ``passes`` times."""

    pools: tuple[int, ...]
    sizes: tuple[int, ...]
    passes: int

    @property
    def samples(self) -> int:
        """Return draws, repeats included."""
        return self.passes * sum(self.sizes)

    def spec(self, maker: Maker, seed: int) -> RunSpec:
        """Return the run with one seed."""
        rows = [maker.data.train_rows(pool=p) for p in self.pools]
        parts = [row[:size] for row, size in zip(rows, self.sizes, strict=True)]
        held = maker.evaluation()
        if len(self.pools) > 1:
            return maker.mixture(self.pools, parts, self.samples, seed=seed, held=held)
        whole = len(rows[0])
        return maker.pool(self.pools[0], parts[0], self.samples, seed=seed, whole=whole, held=held)


def options(
    maker: Maker, known: Sequence[RunSpec], mixtures: Sequence[tuple[int, ...]], *, seed: int = 0
) -> list[Option]:
    """Return possible runs: fresh and repeated on every pool that was trained, and on ``mixtures``.

    Parameters
    ----------
    maker
        Of the records.
    known
        Runs made so far; they set the size in use. Of a mixture that is kept out of the fit no
        further seed is offered.
    mixtures
        Pools of each mixture, in equal parts.
    seed
        Used only to compare with ``known``.

    Returns
    -------
    list of Option
        Each once, of at least 16 records.
    """
    trained = [spec for spec in known if spec.kind == "pool" and spec.proxy is not None]
    if not trained:
        return []
    largest = max(len(spec.content_ids) for spec in trained)
    whole = {p: len(maker.data.train_rows(pool=p)) for p in sorted({s.pools[0] for s in trained})}
    found: dict[Option, None] = {}
    for p, records in whole.items():
        size = min(largest, records)
        for part, passes in SHAPES:
            found.setdefault(Option((p,), (size // part,), passes))
        found.setdefault(Option((p,), (min(LONGER * largest, records),), 1))
    for pools in mixtures:
        if not set(pools) <= set(whole):
            continue
        even = min(largest, *(whole[p] for p in pools)) // len(pools)
        for part, passes in ((1, 1), (4, 4), (1, 4)):
            found.setdefault(Option(pools, (even // part,) * len(pools), passes))
    kept_out = {(s.content_ids, s.samples) for s in known if s.purpose == VALIDATION}
    out = []
    for option in found:
        if min(option.sizes) * len(option.sizes) < LEAST_RECORDS:
            continue
        if len(option.pools) > 1 and kept_out:
            spec = option.spec(maker, seed)
            if (spec.content_ids, spec.samples) in kept_out:
                continue
        out.append(option)
    return sorted(out, key=lambda option: (option.pools, option.sizes, option.passes))
