"""Design the fewest proxy runs that identify the laws: `pool_runs` and `group_runs` say which.

Sizes are nested by a hash of content. One pool size with many passes would cost the same and could
not separate the floor from the decay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.group_runs import group_runs
from assets.filtering.proxies.pool_runs import pool_runs
from assets.filtering.proxies.settings import ProxyLimits, ProxySettings
from assets.filtering.proxies.spec import Maker, RunSpec


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
        Pools first, then mixtures (held-out ones last), then groups by name. The same for any order
        of records.
    """
    limits = limits or ProxyLimits()
    maker = Maker(data, settings or ProxySettings())
    if data.kind is None:
        reason = "no proxy applies: records have neither text nor labels with features"
        none = np.empty(0, np.int64)
        return [
            maker.pool(int(p), none, 0, seed=seed, whole=0, held=(), reason=reason)
            for p in np.unique(data.pool)
        ]
    return pool_runs(maker, limits, seed) + group_runs(maker, limits, seed, groups)


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
    maker = Maker(data, settings or ProxySettings())
    rows = [data.train_rows(pool=p)[:largest] for p in pools]
    held = maker.evaluation()
    if len(pools) == 1:
        return maker.pool(pools[0], rows[0], samples, seed=seed, whole=len(rows[0]), held=held)
    return maker.mixture(tuple(pools), rows, samples, seed=seed, held=held)
