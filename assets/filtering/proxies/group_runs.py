"""Design the runs on groups: four nested sizes of a group's own records, and one repeated run.

The smallest size but one is seen 4 times, which has the n of the next but one.
"""

from __future__ import annotations

from collections.abc import Sequence

from assets.filtering.proxies.pool_runs import LEAST_RECORDS
from assets.filtering.proxies.settings import ProxyLimits
from assets.filtering.proxies.spec import Maker, RunSpec
from assets.filtering.proxies.work import evaluation_work, work_per_record


def group_runs(
    maker: Maker, limits: ProxyLimits, seed: int, groups: Sequence[str] | None
) -> list[RunSpec]:
    """Return the runs of every group by name; groups that are too small carry the reason."""
    data = maker.data
    if data.group is None:
        return []
    present = {value for value in data.group if value is not None}
    names = sorted(groups if groups is not None else present)
    rows = {name: data.train_rows(group=name) for name in names}
    held = {name: maker.evaluation(name) for name in names}
    fit_for = [n for n in names if len(rows[n]) >= 2 * LEAST_RECORDS and held[n]]
    largest = _largest(maker, limits, [len(held[n]) for n in fit_for])
    out: list[RunSpec] = []
    for name in names:
        whole = len(rows[name])
        if name not in fit_for:
            why = (
                f"group {name!r} has no held-out records"
                if not held[name]
                else f"group {name!r} has {whole} usable training records; "
                f"{2 * LEAST_RECORDS} are needed"
            )
            none = rows[name][:0]
            out.append(
                maker.group(name, none, 0, seed=seed, whole=whole, held=held[name], reason=why)
            )
            continue
        size = min(largest, whole)
        sizes = sorted({max(size // part, LEAST_RECORDS // 2) for part in (8, 4, 2, 1)})
        part = sizes[max(len(sizes) - 3, 0)]
        draws = [(n, n) for n in sizes] + [(part, 4 * part)]
        for s in range(limits.group_seeds):
            out += [
                maker.group(
                    name, rows[name][:unique], n, seed=seed + s, whole=whole, held=held[name]
                )
                for unique, n in draws
            ]
    return out


def _largest(maker: Maker, limits: ProxyLimits, held: list[int]) -> int:
    """Return the size that all groups use at most, from the work that groups may do."""
    if not held:
        return limits.largest_group
    data, settings = maker.data, maker.settings
    fixed = sum(5 * limits.group_seeds * evaluation_work(data, settings, n) for n in held)
    budget = max(limits.group_share * limits.flops - fixed, 0.05 * limits.flops)
    draws = limits.group_seeds * 2.875 * len(held)
    per_record = work_per_record(data, settings)
    return int(min(limits.largest_group, max(budget / per_record / draws, 4 * LEAST_RECORDS)))
