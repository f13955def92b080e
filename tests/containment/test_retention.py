"""Retention plans against all sets of kept tables."""

from __future__ import annotations

import math
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment import retention_program, retention_solve
from assets.containment.retention import Costs, RetentionInputError, plan_retention, totals
from assets.containment.retention_bound import dual_ascent
from assets.containment.retention_costs import paying, read_options, read_tables
from assets.containment.retention_moves import cost_of
from tests.oracles.containment import largest_saving_first, least_cost

EDGE = {
    "child": pl.String, "parent": pl.String, "containment": pl.Float64,
    "multiset_containment": pl.Float64, "exact": pl.Boolean, "equality": pl.String,
}  # fmt: skip
STRICT = ("typed", "value")


def edge_frame(pairs):
    return pl.DataFrame(
        [(c, p, 1.0, 1.0, True, "typed") for c, p in pairs], schema=EDGE, orient="row"
    )


def union_frame(unions):
    schema = {"child": pl.String, "parents": pl.List(pl.String), "multiset_containment": pl.Float64}
    return pl.DataFrame([(c, list(ps), 1.0) for c, ps in unions], schema=schema, orient="row")


def instance(seed):
    """A random graph with cycles, unions, pins, readers and latency limits; costs of a like size."""
    rng = random.Random(seed)
    n = rng.choice([1, 4, 7, 8, 9, 9])
    pins = rng.choice([0.0, 0.25])
    names = [f"t{i}" for i in range(n)]
    sizes = [rng.randint(1, 10**10) for _ in range(4)]
    readers = rng.choice([[None], [None], [None, None, "a"]])
    table = pl.DataFrame(
        {
            "table": names,
            "bytes": [rng.choice([0, *[10**9] * 3, 2 * 10**9, *sizes]) for _ in names],
            "accesses": [rng.choice([0.0, 0.3, 0.6, 1.0, 3.0, None]) for _ in names],
            "max_latency_seconds": [rng.choice([None, None, 5.0, 120.0]) for _ in names],
            "read_per_gb": [rng.choice([None, None, 0.001, 0.02]) for _ in names],
            "pinned": [rng.random() < pins for _ in names],
            "reader": [rng.choice(readers) for _ in names],
        },
        schema_overrides={
            "accesses": pl.Float64, "max_latency_seconds": pl.Float64,
            "read_per_gb": pl.Float64, "reader": pl.String,
        },
    )  # fmt: skip
    density = rng.choice([0.1, 0.3, 0.7])
    pairs = [(a, b) for a in names for b in names if a != b and rng.random() < density]
    unions = []
    for _ in range(rng.randint(0, 3)):
        if n >= 3:
            child, *parents = rng.sample(names, rng.randint(3, min(n, 4)))
            unions.append((child, parents))
    return table, edge_frame(pairs), union_frame(unions)


def ways(tables, edges, unions, costs=None):
    """The rows of the tables, what keeping costs, and all (child, parents, cost, latency) allowed; plain loops."""
    base = vars(costs or Costs())
    rows = {
        row["table"]: base | {k: v for k, v in row.items() if v is not None}
        for row in tables.iter_rows(named=True)
    }
    for row in rows.values():
        row.setdefault("reader", None)
        row.setdefault("pinned", False)
    keep = {
        name: r["bytes"]
        / 1e9
        * (r["storage_per_gb"] + r["maintenance_per_gb"] * r["maintenance_operations"])
        for name, r in rows.items()
    }
    pairs = [(c, (p,)) for c, p in edges.select("child", "parent").iter_rows()]
    if unions is not None:
        pairs += [(c, tuple(ps)) for c, ps in unions.select("child", "parents").iter_rows()]
    found = []
    for child, parents in pairs:
        own = rows[child]
        cost = own["bytes"] / 1e9 * own["write_per_gb"]
        latency = own["overhead_seconds"] + own["bytes"] / 1e9 / own["write_gb_per_second"]
        for parent in parents:
            cost += rows[parent]["bytes"] / 1e9 * rows[parent]["read_per_gb"]
            latency += rows[parent]["bytes"] / 1e9 / rows[parent]["read_gb_per_second"]
        alike = own["reader"] is None or all(rows[p]["reader"] == own["reader"] for p in parents)
        if latency <= own["max_latency_seconds"] and alike and not own["pinned"]:
            found.append((child, frozenset(parents), own["accesses"] * cost, latency))
    return rows, keep, found


def check_plan(plan, tables, edges, unions, costs=None):
    """The plan can be carried out; return what it costs."""
    known, keep, found = ways(tables, edges, unions, costs)
    allowed = {(child, parents): (cost, latency) for child, parents, cost, latency in found}
    rows = {row["table"]: row for row in plan.iter_rows(named=True)}
    assert rows.keys() == known.keys()
    total = 0.0
    for name, row in rows.items():
        if row["decision"] == "keep":
            assert row["parents"] == []
            assert row["saving"] == 0
            total += keep[name]
            continue
        assert row["decision"] == "retire"
        cost, latency = allowed[name, frozenset(row["parents"])]
        assert all(rows[parent]["decision"] == "keep" for parent in row["parents"])
        assert row["rebuild_latency"] == pytest.approx(latency)
        assert row["saving"] == pytest.approx(keep[name] - cost)
        assert row["saving"] > 0
        total += cost
    assert math.fsum(plan["cost"]) == pytest.approx(total)
    assert totals(plan).keep_all == pytest.approx(math.fsum(keep.values()))
    return total


def oracle(tables, edges, unions, costs=None):
    _, keep, found = ways(tables, edges, unions, costs)
    return least_cost(keep, [(child, parents, cost) for child, parents, cost, _ in found])


@pytest.mark.parametrize("block", range(10))
def test_plans_are_optimal(block):
    for seed in range(block * 50, block * 50 + 50):
        tables, edges, unions = instance(seed)
        plan = plan_retention(tables, edges, unions)
        total = check_plan(plan, tables, edges, unions)
        assert total == pytest.approx(oracle(tables, edges, unions), rel=1e-9, abs=1e-15), seed
        assert plan["gap"].max() == 0, seed
        assert totals(plan).gap == 0


def test_the_random_graphs_have_what_makes_them_hard():
    has = dict.fromkeys(("cycle", "slow", "pin", "reader", "union", "program", "forest"), 0)
    for seed in range(500):
        tables, edges, unions = instance(seed)
        pairs = set(edges.select("child", "parent").iter_rows())
        known = read_tables(tables)
        barred = {o.barred for o in read_options(known, edges, unions, STRICT)}
        methods = set(plan_retention(tables, edges, unions)["method"])
        has["cycle"] += any((p, c) in pairs for c, p in pairs)
        has["slow"] += "latency" in barred
        has["pin"] += "pinned" in barred
        has["reader"] += "reader" in barred
        has["union"] += unions.height > 0
        has["program"] += "integer program" in methods
        has["forest"] += "forest" in methods
    assert min(has.values()) >= 100, has


def test_largest_saving_first_is_worse_somewhere():
    ratios = []
    for seed in range(500):
        tables, edges, unions = instance(seed)
        _, keep, found = ways(tables, edges, unions)
        options = [(child, parents, cost) for child, parents, cost, _ in found]
        best, naive = oracle(tables, edges, unions), largest_saving_first(keep, options)
        assert naive >= best * (1 - 1e-12)
        ratios.append(naive / best if best > 0 else 1.0)
    assert sum(ratio > 1.001 for ratio in ratios) >= 25
    assert max(ratios) > 1.2


@st.composite
def seeded(draw):
    return instance(draw(st.integers(0, 10**6)))


@settings(max_examples=60)
@given(seeded(), st.data())
def test_a_further_pin_or_a_tighter_limit_never_saves(case, data):
    tables, edges, unions = case
    before = math.fsum(plan_retention(tables, edges, unions)["cost"])
    at = data.draw(st.integers(0, tables.height - 1))
    pins = tables["pinned"].to_list()
    pins[at] = True
    pinned = plan_retention(tables.with_columns(pinned=pl.Series(pins)), edges, unions)
    assert pinned["decision"][at] == "keep"
    assert math.fsum(pinned["cost"]) >= before * (1 - 1e-9)
    tight = tables.with_columns(max_latency_seconds=pl.lit(20.0))
    slower = tables.with_columns(max_latency_seconds=pl.lit(200.0))
    costs = [math.fsum(plan_retention(own, edges, unions)["cost"]) for own in (tight, slower)]
    assert costs[0] >= costs[1] * (1 - 1e-9)


@settings(max_examples=60)
@given(seeded(), st.randoms(use_true_random=False))
def test_names_and_order_do_not_change_the_cost(case, rng):
    tables, edges, unions = case
    order = list(range(tables.height))
    rng.shuffle(order)
    again = plan_retention(
        tables[order], edges.sample(fraction=1.0, shuffle=True, seed=1), unions.reverse()
    )
    plan = plan_retention(tables, edges, unions)
    assert again.equals(plan)
    new = dict(zip(tables["table"], rng.sample(range(100), tables.height), strict=True))
    renamed = {name: f"n{number}" for name, number in new.items()}
    other = plan_retention(
        tables.with_columns(pl.col("table").replace_strict(renamed, return_dtype=pl.String)),
        edges.with_columns(
            pl.col("child", "parent").replace_strict(renamed, return_dtype=pl.String)
        ),
        unions.with_columns(
            pl.col("child").replace_strict(renamed, return_dtype=pl.String),
            parents=pl.col("parents").list.eval(
                pl.element().replace_strict(renamed, return_dtype=pl.String)
            ),
        ),
    )
    assert math.fsum(other["cost"]) == pytest.approx(math.fsum(plan["cost"]), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("seed", range(30))
def test_forests_equal_the_integer_program(seed, monkeypatch):
    rng = random.Random(seed)
    names = [f"t{i:02}" for i in range(14)]
    tables = pl.DataFrame(
        {"table": names, "bytes": [rng.randint(1, 10**9) for _ in names],
         "accesses": [rng.choice([0.1, 1.0, 4.0]) for _ in names]}
    )  # fmt: skip
    pairs = [(names[i], names[rng.randrange(i)]) for i in range(1, 14) if rng.random() < 0.8]
    # beside its parent any table may be rebuilt from one that nothing holds
    pairs += [(names[i], "root") for i in range(2, 14) if rng.random() < seed / 30]
    tables = tables.vstack(pl.DataFrame({"table": ["root"], "bytes": [10**9], "accesses": [1.0]}))
    plan = plan_retention(tables, edge_frame(pairs))
    assert set(plan["method"]) <= {"alone", "forest"}
    total = check_plan(plan, tables, edge_frame(pairs), None)
    monkeypatch.setattr(retention_solve, "keep_in_forest", lambda *_: None)
    other = plan_retention(tables, edge_frame(pairs))
    assert "integer program" in set(other["method"])
    assert total == pytest.approx(math.fsum(other["cost"]), rel=1e-9)


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


def test_a_table_that_is_read_is_only_rebuilt_from_one_that_is_read_alike():
    tables = pl.DataFrame({"table": ["c", "p"], "bytes": [10**9, 10**9]})
    edges = edge_frame([("c", "p")])
    for child, parent, decision in (
        ("a", "a", "retire"), (None, "a", "retire"), ("a", None, "keep"), ("a", "b", "keep"),
    ):  # fmt: skip
        readers = pl.Series([child, parent], dtype=pl.String)
        plan = plan_retention(tables.with_columns(reader=readers), edges)
        assert plan["decision"][0] == decision
        assert ("the recipe reads it" in plan["reason"][0]) == (decision == "keep")
    both = pl.DataFrame({"table": ["c", "p", "q"], "bytes": [10**9] * 3, "reader": ["a", "a", "b"]})
    union = union_frame([("c", ["p", "q"])])
    assert plan_retention(both, edge_frame([]), union)["decision"][0] == "keep"
    alike = both.with_columns(reader=pl.lit("a"))
    assert plan_retention(alike, edge_frame([]), union)["decision"][0] == "retire"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pinned": "legal hold"}, "legal hold"),
        ({"pinned": True}, "pinned"),
        ({"accesses": 50.0}, "costs no more than rebuilding"),
        ({"max_latency_seconds": 2.0}, "longer than its limit"),
    ],
)
def test_reasons_say_why_a_table_is_kept(change, reason):
    tables = pl.DataFrame({"table": ["c", "p"], "bytes": [10**9, 10**9]})
    own = tables.with_columns(**{key: pl.Series([value, None]) for key, value in change.items()})
    plan = plan_retention(own, edge_frame([("c", "p")]))
    assert plan["decision"][0] == "keep"
    assert reason in plan["reason"][0]
    assert plan["reason"][1] == "no other table holds all its rows"


def test_break_even_is_where_the_decision_turns():
    tables = pl.DataFrame({"table": ["c", "p"], "bytes": [10**9, 3 * 10**9]})
    edges = edge_frame([("c", "p")])
    row = plan_retention(tables, edges).row(0, named=True)
    accesses, price = row["break_even_accesses"], row["break_even_storage_per_gb"]
    for factor, decision in ((0.99, "retire"), (1.01, "keep")):
        asked = tables.with_columns(accesses=pl.Series([accesses * factor, 1.0]))
        plan = plan_retention(asked, edges)
        assert plan["decision"][0] == decision
        assert plan["break_even_accesses"][0] == pytest.approx(accesses)
        asked = tables.with_columns(storage_per_gb=pl.Series([price / factor, 0.02]))
        plan = plan_retention(asked, edges)
        assert plan["decision"][0] == decision
        assert plan["break_even_storage_per_gb"][0] == pytest.approx(price)


def test_the_ascent_bounds_from_below_and_is_no_trivial_bound():
    better = 0
    for seed in range(500):
        tables, edges, unions = instance(seed)
        known = read_tables(tables)
        needs = {name: [] for name in known}
        options = paying(known, read_options(known, edges, unions, STRICT))
        undecided = {option.child for option in options}
        for option in options:
            needs[option.child].append((frozenset(option.parents) & undecided, option))
        settled = math.fsum(known[n].keep_cost for n in known if n not in undecided)
        best = oracle(tables, edges, unions)
        bound = settled + dual_ascent({n: known[n] for n in undecided}, needs)
        assert bound <= best * (1 + 1e-9)
        cheapest = math.fsum(
            min([table.keep_cost, *(option.cost for _, option in needs[name])])
            for name, table in known.items()
        )
        assert bound >= best * 0.5
        better += bound > cheapest * 1.001
    assert better >= 150


def repriced(plan, tables, edges, unions):
    """What a plan costs with other inputs."""
    _, keep, found = ways(tables, edges, unions)
    costs = {(child, parents): cost for child, parents, cost, _ in found}
    return math.fsum(
        keep[name] if decision == "keep" else costs[name, frozenset(parents)]
        for name, decision, parents in plan.select("table", "decision", "parents").iter_rows()
    )


@settings(max_examples=80)
@given(seeded(), st.data())
def test_beyond_a_break_even_another_plan_is_better(case, data):
    tables, edges, unions = case
    plan = plan_retention(tables, edges, unions)
    at = data.draw(st.integers(0, tables.height - 1))
    row = plan.row(by_predicate=pl.col("table") == tables["table"][at], named=True)
    retired = row["decision"] == "retire"
    for column, figure, beyond in (
        ("accesses", row["break_even_accesses"], 1.001 if retired else 0.999),
        ("storage_per_gb", row["break_even_storage_per_gb"], 0.999 if retired else 1.001),
    ):
        if not figure or row["bytes"] == 0:
            continue
        stated = tables[column].to_list() if column in tables.columns else [None] * tables.height
        stated[at] = figure * beyond
        asked = tables.with_columns(pl.Series(column, stated, dtype=pl.Float64))
        best = math.fsum(plan_retention(asked, edges, unions)["cost"])
        assert best < repriced(plan, asked, edges, unions)


def test_the_plan_names_what_nobody_stated():
    tables = pl.DataFrame({"table": ["c"], "bytes": [1], "accesses": [2.0]})
    row = plan_retention(tables, edge_frame([])).row(0, named=True)
    assert "accesses" not in row["examples"]
    assert {"storage_per_gb", "maintenance_operations"} <= set(row["examples"])
    assert plan_retention(tables, edge_frame([]), costs=Costs())["examples"].to_list() == [[]]


def test_where_the_relaxation_comes_first_plans_are_optimal_too(monkeypatch):
    monkeypatch.setattr(retention_program, "_RELAXED_FIRST", 1)
    real, calls = retention_program.linprog, []

    def counted(*given, **settings):
        calls.append(real(*given, **settings))
        return calls[-1]

    monkeypatch.setattr(retention_program, "linprog", counted)
    for seed in range(100):
        tables, edges, unions = instance(seed)
        total = check_plan(plan_retention(tables, edges, unions), tables, edges, unions)
        assert total == pytest.approx(oracle(tables, edges, unions), rel=1e-6, abs=1e-15), seed
    assert len(calls) >= 20
    # the rounded relaxation alone: a plan that can be carried out, and a bound
    monkeypatch.setattr(retention_program._Program, "solved", lambda *_: (None, -math.inf))
    for seed in range(100):
        tables, edges, unions = instance(seed)
        plan = plan_retention(tables, edges, unions)
        check_plan(plan, tables, edges, unions)
        assert totals(plan).bound <= oracle(tables, edges, unions) * (1 + 1e-9)


def hard_instance():
    """An instance that is no forest, and whose best plan is dearer than the cheapest way of each table."""
    cases = (instance(seed) for seed in range(500))
    return next(c for c in cases if "integer program" in plan_retention(*c)["method"].to_list())


def test_out_of_time_still_gives_a_plan_with_its_gap(monkeypatch):
    real = retention_program.milp

    def no_time(*given, **settings):
        solved = real(*given, **settings)
        solved.x = solved.mip_dual_bound = None
        return solved

    monkeypatch.setattr(retention_program, "milp", no_time)
    left_open = 0
    for seed in range(120):
        tables, edges, unions = instance(seed)
        plan = plan_retention(tables, edges, unions, time_limit_seconds=0.0)
        cost, best = check_plan(plan, tables, edges, unions), oracle(tables, edges, unions)
        told = totals(plan)
        assert told.bound <= best * (1 + 1e-9)
        assert best <= cost * (1 + 1e-9)
        assert told.gap == pytest.approx((told.cost - told.bound) / told.cost if cost else 0.0)
        assert (told.told == "proven optimal") == (told.gap == 0)
        proven = plan.filter(pl.col("method") != "integer program")
        assert (proven["gap"] == 0).all()
        left_open += told.gap > 0
    assert left_open >= 3


def test_where_the_solver_stops_at_a_poor_plan_the_greedy_one_stands_in(monkeypatch):
    tables, edges, unions = hard_instance()
    known = read_tables(tables)
    options = paying(known, read_options(known, edges, unions, STRICT))
    other = cost_of(retention_solve.greedy(known, options), known)
    monkeypatch.setattr(
        retention_solve, "_improved", lambda kept, tables, options: dict.fromkeys(tables)
    )
    monkeypatch.setattr(retention_solve, "keep_in_forest", lambda *_: None)
    monkeypatch.setattr(retention_solve, "keep_by_program", lambda *_: (set(), 0.0))
    plan = plan_retention(tables, edges, unions)
    assert math.fsum(plan["cost"]) == pytest.approx(other)
    assert other < math.fsum(table.keep_cost for table in known.values())


def test_bad_input():
    with pytest.raises(RetentionInputError, match="bytes"):
        plan_retention(pl.DataFrame({"table": ["a"]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="twice"):
        plan_retention(pl.DataFrame({"table": ["a", "a"], "bytes": [1, 1]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="'a': bytes is -1"):
        plan_retention(pl.DataFrame({"table": ["a"], "bytes": [-1]}), edge_frame([]))
    with pytest.raises(RetentionInputError, match="'a': accesses is nan"):
        plan_retention(
            pl.DataFrame({"table": ["a"], "bytes": [1], "accesses": [math.nan]}), edge_frame([])
        )
    with pytest.raises(RetentionInputError, match="read_per_gb"):
        Costs(read_per_gb=-1)
    with pytest.raises(RetentionInputError, match="a speed must be above 0"):
        Costs(read_gb_per_second=0)
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
    plan = plan_retention(tables, edges)
    check_plan(plan, tables, edges, None)
    assert plan["gap"].max() <= 0.01
