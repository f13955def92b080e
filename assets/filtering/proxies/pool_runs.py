"""Design the runs on pools and on mixtures of them.

For the pools (a fresh run never sees a record twice; U is the size used of a pool):

* the best pool: fresh at U/32, U/10, U/3, U; other pools: fresh at U/10, U/3, U;
* each pool: U/8 seen 8 times, so n = U again: a fresh and a repeated run at equal n tell
  repetition from size;
* a fresh half-and-half mixture of the best and the next pool, which weighs mixture assumptions;
* mixtures that nothing is fitted to or weighed by: they check the mixture rule before a plan is
  trusted. First a fresh one of all pools (of two pools: three to one), then the two best pools with
  a quarter of the records seen 4 times.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from assets.filtering.proxies.settings import ProxyLimits
from assets.filtering.proxies.spec import VALIDATION, Maker, Rows, RunSpec
from assets.filtering.proxies.work import evaluation_work, work_per_record

LEAST_RECORDS = 16
VALIDATION_PASSES = 4


def pool_runs(maker: Maker, limits: ProxyLimits, seed: int) -> list[RunSpec]:
    """Return runs on every pool, then the mixtures; pools that are too small carry the reason."""
    data = maker.data
    pools = [int(p) for p in np.unique(data.pool)]
    rows = {p: data.train_rows(pool=p) for p in pools}
    held = maker.evaluation()
    usable = [p for p in pools if len(rows[p]) >= LEAST_RECORDS]
    reason = "no held-out records to evaluate on" if not held else None
    largest = _largest(maker, limits, rows, usable, len(held)) if usable and not reason else 0
    out: list[RunSpec] = []
    for p in pools:
        whole = len(rows[p])
        if p not in usable or reason is not None:
            why = reason or f"pool {p} has {whole} usable records; {LEAST_RECORDS} are needed"
            out.append(maker.pool(p, rows[p][:0], 0, seed=seed, whole=whole, held=held, reason=why))
            continue
        size = min(largest, whole)
        parts = (32, 10, 3, 1) if p == usable[0] else (10, 3, 1)
        sizes = sorted({size // part for part in parts if size // part >= LEAST_RECORDS} | {size})
        part = max(size // 8, LEAST_RECORDS)
        draws = [(n, n) for n in sizes] + [(part, min(8, -(-size // part)) * part)]
        for s in range(limits.seeds):
            out += [
                maker.pool(p, rows[p][:unique], n, seed=seed + s, whole=whole, held=held)
                for unique, n in draws
            ]
    if reason is None and len(usable) > 1:
        out += _mixtures(maker, limits, rows, usable, largest, held, seed)
    return out


def _largest(
    maker: Maker, limits: ProxyLimits, rows: dict[int, Rows], usable: list[int], held: int
) -> int:
    """Return the size that all pools use at most; a smaller pool uses what it has.

    One size keeps their runs comparable.
    """
    data, settings = maker.data, maker.settings
    share = 1.0 - (limits.group_share if data.group is not None else 0.0)
    per_record = work_per_record(data, settings)
    mixtures = limits.mixtures + limits.held_out_mixtures
    runs = len(usable) * 4 + 1 + mixtures
    fixed = runs * limits.seeds * evaluation_work(data, settings, held)
    draws = limits.seeds * (1.47 + 1.44 * (len(usable) - 1) + len(usable) + mixtures)
    budget = max(share * limits.flops - fixed, 0.1 * limits.flops)
    largest = min(limits.largest, max(len(rows[p]) for p in usable))
    return int(min(largest, max(budget / per_record / draws, 8 * LEAST_RECORDS)))


def _mixtures(
    maker: Maker,
    limits: ProxyLimits,
    rows: dict[int, Rows],
    usable: list[int],
    largest: int,
    held: tuple[str, ...],
    seed: int,
) -> list[RunSpec]:
    out: list[RunSpec] = []
    for a, b in list(pairwise(usable))[: limits.mixtures]:
        half = min(largest, len(rows[a]), len(rows[b])) // 2
        if half >= LEAST_RECORDS:
            both = [rows[a][:half], rows[b][:half]]
            out += [
                maker.mixture((a, b), both, 2 * half, seed=seed + s, held=held)
                for s in range(limits.seeds)
            ]
    for pools, sizes, passes in _validations(rows, usable, largest)[: limits.held_out_mixtures]:
        parts = [rows[p][:n] for p, n in zip(pools, sizes, strict=True)]
        samples = passes * sum(sizes)
        out += [
            maker.mixture(pools, parts, samples, seed=seed + s, held=held, purpose=VALIDATION)
            for s in range(limits.seeds)
        ]
    return out


def _validations(
    rows: dict[int, Rows], usable: list[int], largest: int
) -> list[tuple[tuple[int, ...], list[int], int]]:
    """Return (pools, records of each, passes) of mixtures that are kept out of every fit."""
    out: list[tuple[tuple[int, ...], list[int], int]] = []
    least = min(largest, *(len(rows[p]) for p in usable))
    even = least // len(usable)
    fresh = [even] * len(usable) if len(usable) > 2 else [3 * (least // 4), least // 4]
    if min(fresh) >= LEAST_RECORDS // 2:
        out.append((tuple(usable), fresh, 1))
    pair = usable[:2]
    half = min(largest, *(len(rows[p]) for p in pair)) // (2 * VALIDATION_PASSES)
    if half >= LEAST_RECORDS // 2:
        out.append((tuple(pair), [half, half], VALIDATION_PASSES))
    return out
