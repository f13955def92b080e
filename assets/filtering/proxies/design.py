"""Design the fewest proxy runs that identify the laws.

For the pools (a fresh run never sees a record twice; U is the size used of a pool):

* the best pool: fresh at U/32, U/10, U/3, U; other pools: fresh at U/10, U/3, U;
* each pool: U/8 seen 8 times, so n = U again: a fresh and a repeated run at equal n tell
  repetition from size;
* a fresh half-and-half mixture of the best and the next pool, held out from the fit to check the
  mixture rule.

For each group: fresh at four nested sizes of its own records, and the smallest-but-one size seen 4
times, which has the n of the next but one. Sizes are nested by a hash of content. One pool size
with many passes would cost the same and could not separate the floor from the decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import orjson
import xxhash

from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings

LEAST_RECORDS = 16


@dataclass(frozen=True)
class RunSpec:
    """Describe one run completely: ``run_id`` is a hash of everything that determines its result.

    Attributes
    ----------
    kind
        ``pool``, ``mixture`` or ``group``. ``pools``: names joined for mixtures; ``group``: value
        or None.
    proxy
        ``language_model``, ``head`` or None where none applies (``reason`` says why).
    content_ids
        Distinct training contents, sorted. ``samples``: draws, repeats included. ``passes``:
        samples / unique.
    shares
        Sampling shares of the pools of a mixture.
    pool_unique
        Unique records of the pool as a whole that the design uses.
    evaluation_ids
        Contents evaluated on, sorted.
    """

    run_id: str
    kind: str
    pools: tuple[int, ...]
    group: str | None
    proxy: str | None
    content_ids: tuple[str, ...]
    samples: int
    passes: float
    seed: int
    shares: tuple[float, ...]
    pool_unique: int
    evaluation_ids: tuple[str, ...]
    reason: str | None = None


def design(
    data: ProxyData,
    *,
    limits: ProxyLimits | None = None,
    settings: ProxySettings | None = None,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[RunSpec]:
    """Return the runs for all pools and groups of ``data``.

    Parameters
    ----------
    data
        Sampled records.
    limits
        Work allowed, seeds, largest sizes; sizes shrink by one factor until all runs fit into the
        work.
    settings
        Of the models; part of every run_id.
    groups
        Group values; those without a trainable or held-out record get a run without a proxy and
        the reason. Default: all values of ``data.group``.
    seed
        The first seed; further ones follow.

    Returns
    -------
    list of RunSpec
        Pools first, then mixtures, then groups by name. The same for any order of records.
    """
    limits, settings = limits or ProxyLimits(), settings or ProxySettings()
    if data.kind is None:
        reason = "no proxy applies: records have neither text nor labels with features"
        return [
            _spec(
                data,
                settings,
                "pool",
                (int(p),),
                None,
                np.empty(0, int),
                0,
                seed,
                (1.0,),
                0,
                (),
                reason,
            )
            for p in np.unique(data.pool)
        ]
    pool_runs = _pool_runs(data, limits, settings, seed)
    group_runs = _group_runs(data, limits, settings, seed, groups)
    return pool_runs + group_runs


def run_on(
    data: ProxyData,
    pools: Sequence[int],
    samples: int,
    *,
    largest: int,
    settings: ProxySettings | None = None,
    seed: int = 0,
) -> RunSpec:
    """Return one run on a union of pools, sampled in proportion to size.

    Parameters
    ----------
    data
        Sampled records.
    pools
        One pool or several.
    samples
        Draws, repeats included.
    largest
        Records used of each pool at most, in the nested order.
    settings, seed
        As for `design`.
    """
    settings = settings or ProxySettings()
    rows = [data.train_rows(pool=p)[:largest] for p in pools]
    total = sum(len(part) for part in rows)
    return _spec(
        data,
        settings,
        "pool" if len(pools) == 1 else "mixture",
        tuple(pools),
        None,
        np.concatenate(rows),
        samples,
        seed,
        tuple(len(part) / total for part in rows),
        total,
        _evaluation(data, None, settings),
    )


def _work_per_record(data: ProxyData, settings: ProxySettings) -> float:
    if data.kind == "head" and data.embedding is not None and data.label is not None:
        classes = len({value for value in data.label if value is not None})
        # a step of a tiny matrix is all overhead: 20 microseconds a record at the stated rate
        return float(max(6.0 * data.embedding.shape[1] * classes, 1.2e5))
    return settings.bytes_per_record * settings.flops_per_byte


def _evaluation_work(data: ProxyData, settings: ProxySettings, records: int) -> float:
    return records * _work_per_record(data, settings) / 3.0


def _pool_runs(
    data: ProxyData, limits: ProxyLimits, settings: ProxySettings, seed: int
) -> list[RunSpec]:
    pools = [int(p) for p in np.unique(data.pool)]
    rows = {p: data.train_rows(pool=p) for p in pools}
    held = _evaluation(data, None, settings)
    empty = [p for p in pools if len(rows[p]) < LEAST_RECORDS]
    usable = [p for p in pools if p not in empty]
    reason = "no held-out records to evaluate on" if not held else None
    if usable and reason is None:
        # one size for all pools keeps their runs comparable; a smaller pool uses what it has
        share = 1.0 - (limits.group_share if data.group is not None else 0.0)
        largest = min(limits.largest, max(len(rows[p]) for p in usable))
        per_record = _work_per_record(data, settings)
        runs = len(usable) * 4 + 1 + limits.mixtures
        fixed = runs * limits.seeds * _evaluation_work(data, settings, len(held))
        draws = limits.seeds * (1.47 + 1.44 * (len(usable) - 1) + len(usable) + limits.mixtures)
        budget = max(share * limits.flops - fixed, 0.1 * limits.flops)
        largest = int(min(largest, max(budget / per_record / draws, 8 * LEAST_RECORDS)))
    out: list[RunSpec] = []
    for p in pools:
        if p in empty or reason is not None:
            why = (
                reason or f"pool {p} has {len(rows[p])} usable records; {LEAST_RECORDS} are needed"
            )
            out.append(
                _spec(
                    data,
                    settings,
                    "pool",
                    (p,),
                    None,
                    rows[p][:0],
                    0,
                    seed,
                    (1.0,),
                    len(rows[p]),
                    held,
                    why,
                )
            )
            continue
        size = min(largest, len(rows[p]))
        parts = (32, 10, 3, 1) if p == usable[0] else (10, 3, 1)
        sizes = sorted(
            {max(size // part, LEAST_RECORDS) for part in parts if size // part >= LEAST_RECORDS}
            | {size}
        )
        for s in range(limits.seeds):
            out += [
                _spec(
                    data,
                    settings,
                    "pool",
                    (p,),
                    None,
                    rows[p][:n],
                    n,
                    seed + s,
                    (1.0,),
                    len(rows[p]),
                    held,
                )
                for n in sizes
            ]
            part = max(size // 8, LEAST_RECORDS)
            out.append(
                _spec(
                    data,
                    settings,
                    "pool",
                    (p,),
                    None,
                    rows[p][:part],
                    min(8, -(-size // part)) * part,
                    seed + s,
                    (1.0,),
                    len(rows[p]),
                    held,
                )
            )
    if reason is None:
        for a, b in list(pairwise(usable))[: limits.mixtures]:
            half = min(largest, len(rows[a]), len(rows[b])) // 2
            both = np.concatenate([rows[a][:half], rows[b][:half]])
            out += [
                _spec(
                    data,
                    settings,
                    "mixture",
                    (a, b),
                    None,
                    both,
                    2 * half,
                    seed + s,
                    (0.5, 0.5),
                    2 * half,
                    held,
                )
                for s in range(limits.seeds)
                if half >= LEAST_RECORDS
            ]
    return out


def _group_runs(
    data: ProxyData,
    limits: ProxyLimits,
    settings: ProxySettings,
    seed: int,
    groups: Sequence[str] | None,
) -> list[RunSpec]:
    if data.group is None:
        return []
    present = {value for value in data.group if value is not None}
    names = sorted(groups if groups is not None else present)
    rows = {name: data.train_rows(group=name) for name in names}
    held = {name: _evaluation(data, name, settings) for name in names}
    fit_for = [n for n in names if len(rows[n]) >= 2 * LEAST_RECORDS and held[n]]
    largest = limits.largest_group
    if fit_for:
        per_record = _work_per_record(data, settings)
        fixed = sum(
            5 * limits.group_seeds * _evaluation_work(data, settings, len(held[n])) for n in fit_for
        )
        budget = max(limits.group_share * limits.flops - fixed, 0.05 * limits.flops)
        draws = limits.group_seeds * 2.875 * len(fit_for)
        largest = int(min(largest, max(budget / per_record / draws, 4 * LEAST_RECORDS)))
    out: list[RunSpec] = []
    for name in names:
        if name not in fit_for:
            why = (
                f"group {name!r} has no held-out records"
                if not held[name]
                else f"group {name!r} has {len(rows[name])} usable training records; "
                f"{2 * LEAST_RECORDS} are needed"
            )
            out.append(
                _spec(
                    data,
                    settings,
                    "group",
                    (),
                    name,
                    rows[name][:0],
                    0,
                    seed,
                    (1.0,),
                    len(rows[name]),
                    held[name],
                    why,
                )
            )
            continue
        size = min(largest, len(rows[name]))
        sizes = sorted({max(size // part, LEAST_RECORDS // 2) for part in (8, 4, 2, 1)})
        for s in range(limits.group_seeds):
            out += [
                _spec(
                    data,
                    settings,
                    "group",
                    (),
                    name,
                    rows[name][:n],
                    n,
                    seed + s,
                    (1.0,),
                    len(rows[name]),
                    held[name],
                )
                for n in sizes
            ]
            part = sizes[max(len(sizes) - 3, 0)]
            out.append(
                _spec(
                    data,
                    settings,
                    "group",
                    (),
                    name,
                    rows[name][:part],
                    4 * part,
                    seed + s,
                    (1.0,),
                    len(rows[name]),
                    held[name],
                )
            )
    return out


def _evaluation(data: ProxyData, group: str | None, settings: ProxySettings) -> tuple[str, ...]:
    """Return the contents to evaluate on, chosen by a hash of content, sorted."""
    from assets.kernels.keyed_random import hash64

    keep = data.held_out & data.usable()
    most = settings.evaluation_records
    if group is not None and data.group is not None:
        keep = keep & (data.group == group)
        most = max(most // 3, 32)
    contents = np.unique(data.content_ids[keep])
    if not contents.size:
        return ()
    order = np.lexsort((contents, hash64(contents.tolist(), 0, "proxy evaluation")))
    return tuple(sorted(str(c) for c in contents[order[:most]]))


def _spec(
    data: ProxyData,
    settings: ProxySettings,
    kind: str,
    pools: tuple[int, ...],
    group: str | None,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    samples: int,
    seed: int,
    shares: tuple[float, ...],
    pool_unique: int,
    held: tuple[str, ...],
    reason: str | None = None,
) -> RunSpec:
    contents = tuple(sorted(str(c) for c in data.content_ids[rows]))
    proxy = None if reason else data.kind
    # pool numbers are names: what a run yields is set by the records themselves
    identity = {
        "kind": kind,
        "pools": pools,
        "group": group,
        "proxy": proxy,
        "contents": contents,
        "samples": samples,
        "seed": seed,
        "held": held,
        "settings": settings.as_dict(),
        "shares": shares,
        "reason": reason,
    }
    packed = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
    return RunSpec(
        run_id=xxhash.xxh3_128_hexdigest(packed),
        kind=kind,
        pools=pools,
        group=group,
        proxy=proxy,
        content_ids=contents,
        samples=int(samples),
        passes=samples / max(len(contents), 1),
        seed=seed,
        shares=shares,
        pool_unique=pool_unique,
        evaluation_ids=held,
        reason=reason,
    )
