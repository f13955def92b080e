from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication.clusters import (
    component_clusters,
    component_report,
    components,
    star_clusters,
)
from assets.deduplication.errors import RankError
from tests.deduplication.corpora import key_of

PAIRS = {"left": pl.String, "right": pl.String, "similarity": pl.Float64}
TWINS = {"key": pl.String, "representative": pl.String}
NAMES = [f"{i:02d}" for i in range(14)]


def frame(edges):
    return pl.DataFrame(
        [(min(a, b), max(a, b), s) for a, b, s in edges], schema=PAIRS, orient="row"
    )


def ranking(names):
    return pl.DataFrame(
        {"key": names, "wish": list(range(len(names)))}, schema={"key": pl.String, "wish": pl.Int64}
    )


def star_oracle(edges, names):
    near = {name: {} for name in names}
    for a, b, s in edges:
        if a in near and b in near:
            near[a][b] = near[b][a] = s
    kept = []
    for name in names:
        if not any(other in kept for other in near[name]):
            kept.append(name)
    out = {}
    for name in names:
        if not near[name]:
            continue
        if name in kept:
            out[name] = (name, 1.0)
        else:
            best = min((-near[name][k], names.index(k), k) for k in kept if k in near[name])
            out[name] = (best[2], -best[0])
    return out


EDGES = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda e: e[0] < e[1]),
    st.sampled_from([0.7, 0.75, 0.8, 0.9]),
    max_size=30,
).map(lambda d: [(a, b, s) for (a, b), s in d.items()])


@given(EDGES, st.permutations(NAMES), st.integers(8, 14))
def test_stars_equal_the_plain_walk(edges, names, count):
    names = names[:count]
    got = star_clusters(frame(edges), ranking(names))
    assert {k: (kp, s) for k, _, kp, s in got.iter_rows()} == star_oracle(edges, names)
    shuffled = star_clusters(
        frame(edges[::-1]), ranking(names).sample(fraction=1, shuffle=True, seed=1)
    )
    assert shuffled.equals(got)


@given(EDGES, st.permutations(NAMES), st.lists(st.sampled_from(NAMES[7:]), max_size=7, unique=True))
def test_stars_with_collapsed_twins_equal_stars_with_all_pairs(edges, names, more):
    """Keys 07.. are made equal to 00..; the collapsed form must not change any fate."""
    twin_of = {name: NAMES[int(name) - 7] for name in more}
    edges = [e for e in edges if e[0] not in twin_of and e[1] not in twin_of]
    groups = {}
    for name in NAMES:
        groups.setdefault(twin_of.get(name, name), []).append(name)
    wide = [(a, b, 1.0) for g in groups.values() for i, a in enumerate(g) for b in g[i + 1 :]]
    wide += [(x, y, s) for a, b, s in edges for x in groups[a] for y in groups[b]]
    twins = pl.DataFrame(
        [(n, lead) for lead, g in groups.items() if len(g) > 1 for n in g],
        schema=TWINS,
        orient="row",
    )
    rank = ranking(names)
    assert star_clusters(frame(edges), rank, twins).equals(star_clusters(frame(wide), rank))
    assert components(frame(edges), twins).equals(components(frame(wide)))
    a, b = component_clusters(frame(edges), rank, twins), component_clusters(frame(wide), rank)
    assert a.equals(b)


def wide(name):
    return f"{int(name) * 0x1F3D5B79 + 7:032x}"  # a key that sorts as the name does


@given(
    EDGES,
    st.permutations(NAMES),
    st.integers(5, 14),
    st.dictionaries(st.sampled_from(NAMES[7:]), st.sampled_from(NAMES[:7])),
    st.booleans(),
)
def test_keys_that_are_numbers_give_what_other_names_give(edges, names, count, twin_of, earlier):
    """With twins whose representative takes no part, and keys that the order lacks."""
    edges = [e for e in edges if e[0] not in twin_of and e[1] not in twin_of]
    led = {**twin_of, **{lead: lead for lead in twin_of.values()}}
    got = []
    for name_of in (str, wide):
        pairs = frame([(name_of(a), name_of(b), s) for a, b, s in edges])
        twins = pl.DataFrame(
            [(name_of(a), name_of(b)) for a, b in led.items()], schema=TWINS, orient="row"
        )
        rank = ranking([name_of(name) for name in names[:count]])
        stars = star_clusters(pairs, rank, twins, earlier_only=earlier)
        got.append((stars, components(pairs, twins)))
    for plain, numbers in zip(*got, strict=True):
        assert numbers.height == plain.height
        for column in set(plain.columns) - {"similarity"}:
            assert numbers[column].to_list() == [wide(name) for name in plain[column]]
    assert got[0][0]["similarity"].equals(got[1][0]["similarity"])


def test_components_are_what_a_search_finds():
    import numpy as np

    from assets.deduplication.verify import component_labels

    draw = np.random.default_rng(0)
    for count in (1, 5, 40, 200):
        left, right = draw.integers(0, count, (2, count // 2 + 1))
        near = {node: {node} for node in range(count)}
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            near[a].add(b)
            near[b].add(a)
        label = [-1] * count
        for node in range(count):
            waiting = [node] if label[node] < 0 else []
            while waiting:
                one = waiting.pop()
                label[one] = node
                waiting += [other for other in near[one] if label[other] < 0]
        assert component_labels(count, left, right).tolist() == label


def test_chains_are_not_collapsed_in_star_mode():
    chain = frame([("00", "01", 0.8), ("01", "02", 0.8)])
    star = star_clusters(chain, ranking(["00", "01", "02"]))
    assert star.filter(pl.col("key") == pl.col("keeper"))["key"].to_list() == ["00", "02"]
    assert star["cluster"].unique().to_list() == ["00"]
    glued = component_clusters(chain, ranking(["00", "01", "02"]))
    assert glued["keeper"].to_list() == ["00", "00", "00"]
    assert glued["similarity"].to_list() == [1.0, 0.8, None]


@given(EDGES, st.permutations(NAMES))
def test_no_cluster_loses_all_its_members(edges, names):
    for clusters in (star_clusters, component_clusters):
        got = clusters(frame(edges), ranking(names))
        kept = got.filter(pl.col("key") == pl.col("keeper"))
        assert set(kept["cluster"]) == set(got["cluster"])
        assert set(got["keeper"]) == set(kept["key"])


def test_a_dropped_key_goes_to_its_most_similar_keeper_even_a_later_one():
    pairs = frame([("00", "01", 0.7), ("01", "02", 0.9)])
    star = star_clusters(pairs, ranking(["00", "01", "02"]))
    assert star.filter(pl.col("key") == "01")["keeper"].item() == "02"


def test_ties_fall_to_the_key_not_the_position():
    pairs = frame([("00", "01", 0.8)])
    for names in (["00", "01"], ["01", "00"]):
        rank = pl.DataFrame({"key": names, "same": [0, 0]})
        assert star_clusters(pairs, rank)["keeper"].to_list() == ["00", "00"]


def test_bad_orders_are_refused():
    with pytest.raises(RankError, match="'key'"):
        star_clusters(frame([]), pl.DataFrame({"id": ["a"]}))
    with pytest.raises(RankError, match="twice"):
        star_clusters(frame([]), pl.DataFrame({"key": ["a", "a"]}))


def test_nothing_in_nothing_out():
    for clusters in (star_clusters, component_clusters):
        assert clusters(frame([]), ranking([])).is_empty()
        assert clusters(frame([]), ranking(["a", "b"])).is_empty()
    assert components(frame([])).is_empty()
    assert component_report(frame([])).is_empty()


def test_the_report_shows_a_chain_by_diameter_and_weakest_edge():
    names = [key_of(i) for i in range(30)]
    chain = [(names[i], names[i + 1], 0.7 + i / 1000) for i in range(9)]
    clique = [(names[i], names[j], 0.9) for i in range(10, 15) for j in range(i + 1, 15)]
    report = component_report(frame([*chain, *clique]))
    assert report["size"].to_list() == [10, 5]
    assert report["diameter"].to_list() == [9, 1]
    assert report["weakest"].to_list() == [0.7, 0.9]
    assert report["edges"].to_list() == [9, 10]
