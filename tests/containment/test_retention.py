"""Retention plans against all sets of kept tables."""

from __future__ import annotations

import random

import polars as pl
import pytest

from assets.containment import retention_solve
from assets.containment.retention import Costs, RetentionInputError, plan_retention
from assets.containment.retention_costs import read_options, read_tables
from tests.oracles.containment import least_cost

EDGE = {
    "child": pl.String, "parent": pl.String, "containment": pl.Float64,
    "multiset_containment": pl.Float64, "exact": pl.Boolean, "equality": pl.String,
}  # fmt: skip


def edge_frame(pairs):
    return pl.DataFrame(
        [(c, p, 1.0, 1.0, True, "typed") for c, p in pairs], schema=EDGE, orient="row"
    )


def union_frame(unions):
    schema = {"child": pl.String, "parents": pl.List(pl.String), "multiset_containment": pl.Float64}
    return pl.DataFrame([(c, list(ps), 1.0) for c, ps in unions], schema=schema, orient="row")


def instance(seed):
    """A random graph with cycles, unions, pins and latency limits; costs of a like size."""
    rng = random.Random(seed)
    n = rng.randint(1, 8)
    names = [f"t{i}" for i in range(n)]
    table = pl.DataFrame(
        {
            "table": names,
            "bytes": [rng.choice([0, 10**9, 2 * 10**9, rng.randint(1, 10**10)]) for _ in names],
            "accesses": [rng.choice([0.0, 0.3, 1.0, 3.0, None]) for _ in names],
            "max_latency_seconds": [rng.choice([None, None, 5.0, 120.0]) for _ in names],
            "pinned": [rng.random() < 0.15 for _ in names],
        },
        schema_overrides={"accesses": pl.Float64, "max_latency_seconds": pl.Float64},
    )
    density = rng.choice([0.1, 0.3, 0.7])
    pairs = [(a, b) for a in names for b in names if a != b and rng.random() < density]
    unions = []
    for _ in range(rng.randint(0, 3)):
        if n >= 3:
            child, *parents = rng.sample(names, rng.randint(3, min(n, 4)))
            unions.append((child, parents))
    return table, edge_frame(pairs), union_frame(unions)


def check_plan(plan, tables, edges, unions, costs):
    """The plan can be carried out; return what it costs."""
    known = read_tables(tables, costs)
    options = {
        (o.child, o.parents): o
        for o in read_options(known, edges, unions, costs, ("typed", "value"))
    }
    rows = {row["table"]: row for row in plan.iter_rows(named=True)}
    assert rows.keys() == known.keys()
    total = 0.0
    for name, row in rows.items():
        if row["decision"] == "keep":
            assert row["parents"] == []
            assert row["saving"] == 0
            total += known[name].keep_cost
            continue
        assert row["decision"] == "retire"
        option = options[name, tuple(row["parents"])]
        assert all(rows[parent]["decision"] == "keep" for parent in option.parents)
        assert not known[name].pinned
        assert row["rebuild_latency"] == option.latency <= known[name].max_latency
        assert row["saving"] == pytest.approx(known[name].keep_cost - option.cost)
        assert row["saving"] > 0
        total += option.cost
    return total


@pytest.mark.parametrize("block", range(10))
def test_plans_are_optimal(block):
    costs = Costs()
    for seed in range(block * 50, block * 50 + 50):
        tables, edges, unions = instance(seed)
        plan = plan_retention(tables, edges, unions, costs)
        total = check_plan(plan, tables, edges, unions, costs)
        known = read_tables(tables, costs)
        options = read_options(known, edges, unions, costs, ("typed", "value"))
        best = least_cost(
            {name: table.keep_cost for name, table in known.items()},
            [(o.child, o.parents, o.cost) for o in options],
        )
        assert total == pytest.approx(best, rel=1e-9, abs=1e-15), seed
        assert plan["gap"].max() <= 1e-9, seed


@pytest.mark.parametrize("seed", range(30))
def test_forests_equal_the_integer_program(seed, monkeypatch):
    rng = random.Random(seed)
    names = [f"t{i:02}" for i in range(14)]
    tables = pl.DataFrame(
        {"table": names, "bytes": [rng.randint(1, 10**9) for _ in names],
         "accesses": [rng.choice([0.1, 1.0, 4.0]) for _ in names]}
    )  # fmt: skip
    pairs = [(names[i], names[rng.randrange(i)]) for i in range(1, 14) if rng.random() < 0.8]
    plan = plan_retention(tables, edge_frame(pairs))
    assert set(plan["method"]) <= {"alone", "forest"}
    monkeypatch.setattr(retention_solve, "_forest", lambda *_: None)
    other = plan_retention(tables, edge_frame(pairs))
    assert plan["saving"].sum() == pytest.approx(other["saving"].sum(), rel=1e-9)


def test_order_of_rows_does_not_matter():
    for seed in range(20):
        tables, edges, unions = instance(seed)
        again = plan_retention(
            tables.reverse(), edges.sample(fraction=1.0, shuffle=True, seed=1), unions.reverse()
        )
        assert again.equals(plan_retention(tables, edges, unions))


def test_of_equal_tables_exactly_one_is_kept_the_first_by_size_and_name():
    names = ["b", "a", "c", "d"]
    tables = pl.DataFrame({"table": names, "bytes": [10**9] * 4})
    pairs = [(x, y) for x in names for y in names if x != y]
    plan = plan_retention(tables, edge_frame(pairs))
    assert plan.filter(pl.col("decision") == "keep")["table"].to_list() == ["a"]
    assert plan.filter(pl.col("table") == "a")["reason"].item() == "kept to rebuild 3 other tables"
    cheap = tables.with_columns(bytes=pl.Series([10**9, 10**9, 10**8, 10**9]))
    plan = plan_retention(cheap, edge_frame(pairs))
    assert plan.filter(pl.col("decision") == "keep")["table"].to_list() == ["c"]


def test_tables_of_bytes_beside_tables_of_terabytes():
    sizes = [900, 800, 10**13, 9 * 10**12]
    tables = pl.DataFrame({"table": ["p", "c", "q", "d"], "bytes": sizes})
    pairs = [("c", "p"), ("p", "c"), ("d", "q"), ("q", "d"), ("q", "c"), ("d", "c")]
    edges = edge_frame(pairs)
    plan = plan_retention(tables, edges)
    assert plan["component"].n_unique() == 1
    assert plan.filter(pl.col("decision") == "keep")["table"].to_list() == ["c"]


def test_only_exact_multiset_edges_of_a_strict_equality_retire():
    tables = pl.DataFrame({"table": ["c", "p"], "bytes": [10**9, 10**9]})
    base = edge_frame([("c", "p")])
    assert plan_retention(tables, base)["decision"].to_list() == ["retire", "keep"]
    for change in (
        {"containment": 0.999},
        {"multiset_containment": 0.5},
        {"exact": False},
        {"equality": "text"},
    ):
        worse = base.with_columns(**{k: pl.lit(v) for k, v in change.items()})
        assert plan_retention(tables, worse)["decision"].to_list() == ["keep", "keep"]
    text = base.with_columns(equality=pl.lit("text"))
    allowed = plan_retention(tables, text, equalities=["text"])
    assert allowed["decision"].to_list() == ["retire", "keep"]


def test_break_even_is_where_the_decision_turns():
    tables = pl.DataFrame({"table": ["c", "p"], "bytes": [10**9, 3 * 10**9]})
    plan = plan_retention(tables, edge_frame([("c", "p")]))
    turn = plan["break_even_accesses"][0]
    for factor, decision in ((0.99, "retire"), (1.01, "keep")):
        asked = tables.with_columns(accesses=pl.Series([turn * factor, 1.0]))
        assert plan_retention(asked, edge_frame([("c", "p")]))["decision"][0] == decision


def test_out_of_time_still_gives_a_plan_with_its_gap(monkeypatch):
    monkeypatch.setattr(
        retention_solve, "_integer_program", lambda tables, options, limit: (set(tables), 0.0)
    )
    tables, edges, unions = instance(11)
    plan = plan_retention(tables, edges, unions, time_limit_seconds=0.0)
    check_plan(plan, tables, edges, unions, Costs())
    assert plan.filter(pl.col("method") == "integer program")["gap"].min() > 0


def test_bad_input():
    with pytest.raises(RetentionInputError, match="bytes"):
        plan_retention(pl.DataFrame({"table": ["a"]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="twice"):
        plan_retention(pl.DataFrame({"table": ["a", "a"], "bytes": [1, 1]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="'a'"):
        plan_retention(pl.DataFrame({"table": ["a"], "bytes": [-1]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="read_per_gb"):
        Costs(read_per_gb=-1)
    empty = pl.DataFrame({"table": [], "bytes": []}, schema={"table": pl.String, "bytes": pl.Int64})
    assert plan_retention(empty, edge_frame([])).height == 0


@pytest.mark.slow
def test_ten_thousand_tables():
    rng = random.Random(0)
    names = [f"t{i:05}" for i in range(10_000)]
    sizes = [int(10 ** rng.uniform(3, 11)) for _ in names]
    tables = pl.DataFrame({"table": names, "bytes": sizes})
    pairs = set()
    for i in range(1, len(names)):
        for _ in range(rng.randint(0, 4)):
            pairs.add((names[i], names[rng.randrange(max(0, i - 300), i)]))
    edges = edge_frame(sorted(pairs))
    plan = plan_retention(tables, edges, time_limit_seconds=60)
    check_plan(plan, tables, edges, None, Costs())
    assert plan["gap"].max() <= 0.01
