"""Retention plans for 10,000 tables: seconds and gap, beside one integer program over all of them and a greedy rule.

Prints a table and writes benchmarks/results/retention.json. Each plan is checked on its own: every
retired table has kept parents, within its latency limit, and the costs add up.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets.containment.retention import plan_retention, totals
from assets.containment.retention_costs import paying, read_options, read_tables
from assets.containment.retention_moves import cost_of
from assets.containment.retention_program import keep_by_program
from assets.containment.retention_solve import choose
from tests.oracles.containment import largest_saving_first

TABLES = 10_000
LIMIT_SECONDS = 45.0


class Lake:
    """Tables and which hold which, written down while they are made."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sizes: list[int] = []
        self.pairs: set[tuple[int, int]] = set()
        self.unions: list[tuple[int, tuple[int, ...]]] = []

    def table(self, size: float) -> int:
        self.sizes.append(max(1, int(size)))
        return len(self.sizes) - 1

    def size(self) -> float:
        return 10 ** self.rng.gauss(7.5, 1.2)

    def alone(self) -> None:
        self.table(self.size())

    def versions(self, count: int) -> None:
        """Daily versions of a table that grows: each is held by all later ones."""
        size, own = self.size(), []
        for _ in range(count):
            size *= 1 + self.rng.random() * 0.1
            own.append(self.table(size))
        self.pairs |= {(own[i], own[j]) for j in range(count) for i in range(j)}

    def copies(self, count: int) -> None:
        """Copies in several formats, of unlike sizes."""
        size = self.size()
        own = [self.table(size * self.rng.choice([1, 1, 0.3, 3])) for _ in range(count)]
        self.pairs |= {(a, b) for a in own for b in own if a != b}

    def family(self, count: int, depth: int = 3) -> None:
        """Filters of filters: each is held by those it comes from, some also by a sibling."""
        size = self.size()
        levels = [[(self.table(size), size, ())]]
        made = 1
        while made < count:
            above = self.rng.choice(levels[: min(depth, len(levels))])
            parent, held, older = self.rng.choice(above)
            own = held * self.rng.uniform(0.05, 0.95)
            child = self.table(own)
            holders = (*older, parent)
            self.pairs |= {(child, p) for p in holders}
            if self.rng.random() < 0.3 and len(above) > 1:
                other = self.rng.choice(above)[0]
                self.pairs |= {(child, other)} - {(child, child)}
            at = len(holders)
            if at == len(levels):
                levels.append([])
            levels[at].append((child, own, holders))
            made += 1

    def parts(self, count: int) -> None:
        """A table that its parts hold together, and that holds each of them."""
        own = [self.size() for _ in range(count)]
        whole, parts = self.table(sum(own)), [self.table(size) for size in own]
        self.pairs |= {(part, whole) for part in parts}
        if count <= 3:
            self.unions.append((whole, tuple(parts)))

    def tangle(self, count: int) -> None:
        """One component without structure: holders at random, cycles among them."""
        own = [self.table(self.size()) for _ in range(count)]
        for i, name in enumerate(own):
            near = own[max(0, i - 200) : i + 40]
            self.pairs |= {(name, p) for p in self.rng.sample(near, min(4, len(near)))} - {
                (name, name)
            }


def mixed(tables: int) -> Lake:
    lake = Lake(0)
    while len(lake.sizes) < tables:
        pick = lake.rng.random()
        if pick < 0.55:
            lake.alone()
        elif pick < 0.75:
            lake.versions(min(60, 2 + int(lake.rng.paretovariate(1.1))))
        elif pick < 0.85:
            lake.copies(min(40, 2 + int(lake.rng.paretovariate(1.3))))
        elif pick < 0.95:
            lake.family(min(400, 3 + int(lake.rng.paretovariate(0.9))))
        else:
            lake.parts(lake.rng.randint(2, 4))
    return lake


def giant(tables: int) -> Lake:
    lake = Lake(1)
    lake.tangle(tables)
    return lake


def crowded(tables: int) -> Lake:
    """The hard kind: tables of nearly one size and use, each of which a few others could stand for."""
    lake = Lake(3)
    for _ in range(tables):
        lake.table(1e9 * lake.rng.uniform(0.9, 1.1))
    for name in range(tables):
        for other in lake.rng.sample(range(tables), 2):
            if other != name:
                lake.pairs |= {(name, other), (other, name)}
    return lake


def both(tables: int) -> Lake:
    lake = mixed(tables * 7 // 10)
    lake.tangle(tables - len(lake.sizes))
    return lake


def frames(lake: Lake, *, alike: bool = False) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    rng = random.Random(2)
    names = [f"t{i:05}" for i in range(len(lake.sizes))]
    tables = pl.DataFrame(
        {
            "table": names,
            "bytes": lake.sizes,
            "accesses": [0.5 if alike else round(rng.lognormvariate(0, 1), 3) for _ in names],
            "max_latency_seconds": [
                None if alike else rng.choice([None, None, 60.0, 600.0]) for _ in names
            ],
            "pinned": [not alike and rng.random() < 0.02 for _ in names],
        },
        schema_overrides={"max_latency_seconds": pl.Float64},
    )
    pairs = sorted(lake.pairs)
    edges = pl.DataFrame(
        {"child": [names[c] for c, _ in pairs], "parent": [names[p] for _, p in pairs]}
    ).with_columns(
        containment=pl.lit(1.0), multiset_containment=pl.lit(1.0), exact=True,
        equality=pl.lit("typed"),
    )  # fmt: skip
    unions = pl.DataFrame(
        {
            "child": [names[c] for c, _ in lake.unions],
            "parents": [[names[p] for p in ps] for _, ps in lake.unions],
        },
        schema={"child": pl.String, "parents": pl.List(pl.String)},
    ).with_columns(multiset_containment=pl.lit(1.0))
    return tables, edges, unions


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(work):
    start, used = time.perf_counter(), cpu()
    out = work()
    return out, {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(cpu() - used, 2),
    }


def check(plan: pl.DataFrame, known, options) -> None:
    allowed = {(o.child, o.parents): o for o in options}
    kept = set(plan.filter(pl.col("decision") == "keep")["table"])
    cost = 0.0
    for row in plan.iter_rows(named=True):
        if row["decision"] == "keep":
            cost += known[row["table"]].keep_cost
            continue
        option = allowed[row["table"], tuple(row["parents"])]
        assert kept.issuperset(option.parents)
        assert option.latency <= known[row["table"]].costs.max_latency_seconds
        cost += option.cost
    assert abs(cost - totals(plan).cost) <= 1e-9 * cost


def measured(lake: Lake, *, alike: bool = False) -> dict[str, object]:
    tables, edges, unions = frames(lake, alike=alike)
    plan, took = timed(
        lambda: plan_retention(tables, edges, unions, time_limit_seconds=LIMIT_SECONDS)
    )
    known = read_tables(tables)
    options = paying(known, read_options(known, edges, unions, ("typed", "value")))
    check(plan, known, options)
    told = totals(plan)

    def plain():
        needs = {name: [] for name in known}
        for option in options:
            needs[option.child].append((frozenset(option.parents), option))
        kept, bound = keep_by_program(known, needs, LIMIT_SECONDS)
        return cost_of(choose(kept, known, options), known), bound

    (single, bound), single_took = timed(plain)
    keep = {name: table.keep_cost for name, table in known.items()}
    greedy, greedy_took = timed(
        lambda: largest_saving_first(keep, [(o.child, o.parents, o.cost) for o in options])
    )
    best = max(told.bound, bound)
    assert single >= told.bound * (1 - 1e-9)
    assert told.cost >= bound * (1 - 1e-9)
    components = plan.group_by("component").len()["len"]
    return {
        "tables": tables.height,
        "edges": edges.height,
        "ways that pay": len(options),
        "components": components.len(),
        "largest component": components.max(),
        "retired": plan.filter(pl.col("decision") == "retire").height,
        "saved share": round(1 - told.cost / told.keep_all, 4),
        "plan": {**took, "gap": told.gap},
        "one integer program": {
            **single_took,
            "gap": max(0.0, (single - bound) / single),
        },
        "largest saving first": {**greedy_took, "above the bound": greedy / best - 1},
    }


def main() -> None:
    results = {}
    for name, lake in (
        ("mixed", mixed(TABLES)),
        ("giant", giant(TABLES)),
        ("both", both(TABLES)),
        ("crowded", crowded(TABLES)),
    ):
        results[name] = own = measured(lake, alike=name == "crowded")
        print(f"{name}: {json.dumps(own)}", flush=True)
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    (out / "retention.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
