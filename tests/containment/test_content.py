"""Shared rows of all pairs against dictionaries of rows, and wrong ways that are caught."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.content import UnhashedTableError, contained_rows, hash_projections
from assets.kernels.cell_hash import row_hashes
from tests.oracles import containment as oracle

ROW = st.tuples(
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([None, "", "x", "y"]),
    st.sampled_from([0.0, -0.0, float("nan")]),
)
TABLES = st.dictionaries(st.sampled_from("abcdef"), st.lists(ROW, max_size=25), min_size=2)
TYPES = pa.schema([("i", pa.int64()), ("s", pa.string()), ("f", pa.float64())])


def columns_of(rows):
    return {name: [row[i] for row in rows] for i, name in enumerate(TYPES.names)}


@settings(max_examples=100)
@given(tables=TABLES, equality=st.sampled_from(["typed", "value", "text"]))
def test_counts_equal_the_oracle(tables, equality):
    arrow = {name: pa.table(columns_of(rows), TYPES) for name, rows in tables.items()}
    hashes = {name: row_hashes(table, TYPES.names, equality) for name, table in arrow.items()}
    pairs = [(a, b) for a in tables for b in tables if a != b]
    found = contained_rows(hashes, pairs)
    assert found.select("child", "parent").rows() == sorted(pairs)
    counters = {
        name: oracle.rows(normal(columns_of(rows)), TYPES.names, equality)
        for name, rows in tables.items()
    }
    for row in found.iter_rows(named=True):
        expected = oracle.shared(counters[row["child"]], counters[row["parent"]])
        assert {name: row[name] for name in expected} == expected
        if expected["child_rows"]:
            assert row["containment"] == expected["common"] / expected["child_distinct"]
        else:
            assert row["containment"] is None
            assert row["multiset_containment"] is None


def normal(columns):
    """Zeros without sign: the oracle's text form keeps it, the definition does not."""
    return {
        k: [0.0 if v == 0.0 and isinstance(v, float) else v for v in vs]
        for k, vs in columns.items()
    }


def numbered(rng, n, pool):
    return rng.choice(pool, size=n)


def random_family(seed, sizes):
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 2**64, size=3 * max(sizes) // 2, dtype=np.uint64)
    return {f"t{i}": numbered(rng, n, pool) for i, n in enumerate(sizes)}


@pytest.mark.parametrize("chunk_rows", [8192, 1 << 14, 1 << 24])
@pytest.mark.parametrize("workers", [1, 2])
def test_parts_chunks_and_threads_do_not_matter(chunk_rows, workers):
    hashes = random_family(3, [20_000, 9_000, 30_000, 0, 1, 70])
    pairs = [(a, b) for a in hashes for b in hashes if a != b]
    found = contained_rows(hashes, pairs, chunk_rows=chunk_rows, workers=workers)
    for row in found.iter_rows(named=True):
        a, na = np.unique(hashes[row["child"]], return_counts=True)
        b, nb = np.unique(hashes[row["parent"]], return_counts=True)
        both, i, j = np.intersect1d(a, b, assume_unique=True, return_indices=True)
        assert (row["child_distinct"], row["common"]) == (a.size, both.size)
        assert row["common_multiset"] == np.minimum(na[i], nb[j]).sum()
        lacking = np.setdiff1d(a, b)
        assert row["witness"] == (int(lacking[0]) if lacking.size else None)
        assert (row["child_rows"], row["parent_rows"]) == (na.sum(), nb.sum())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(0, 60), min_size=2, max_size=5),
    few=st.booleans(),
    one_way=st.booleans(),
)
def test_one_table_against_many_is_counted_as_all_pairs_are(seed, sizes, few, one_way):
    hashes = random_family(seed, [max(size, 1) for size in sizes])
    if few:  # repeated rows, tables of one row, and the largest hash
        top = np.array([2**64 - 1, 2**64 - 2, 0], np.uint64)
        hashes = {name: top[own % np.uint64(3)] for name, own in hashes.items()}
    hashes |= {"none": np.empty(0, np.uint64)}
    pairs = [("t0", name) for name in hashes if name != "t0"]
    pairs += [] if one_way else [(b, a) for a, b in pairs]
    distinct = {name: np.unique(own).size for name, own in hashes.items() if name != "t0"}
    assert contained_rows(hashes, pairs, distinct=distinct).equals(contained_rows(hashes, pairs))


@pytest.mark.parametrize("chunk_rows", [1, 1 << 24])
@pytest.mark.parametrize("workers", [1, 2])
def test_one_table_against_many_in_chunks_and_threads(chunk_rows, workers, monkeypatch):
    hashes = random_family(11, [30_000, 9_000, 20_000, 1])
    pairs = [("t0", "t1"), ("t2", "t0"), ("t0", "t3")]
    expected = contained_rows(hashes, pairs)
    distinct = {name: np.unique(hashes[name]).size for name in ("t1", "t2", "t3")}
    monkeypatch.setattr("assets.containment.content._count", None)  # not by way of all pairs
    found = contained_rows(hashes, pairs, chunk_rows=chunk_rows, workers=workers, distinct=distinct)
    assert found.equals(expected)
    with pytest.raises(TypeError):  # t1 with t2 has no part in the star
        contained_rows(hashes, [*pairs, ("t1", "t2")], distinct=distinct)


def test_hashes_that_share_their_top_bits_are_counted_too():
    near = np.arange(50_000, dtype=np.uint64)  # all in one part
    found = contained_rows({"c": near[::2], "p": near[:30_000]}, [("c", "p"), ("p", "c")])
    assert found["common"].to_list() == [15_000, 15_000]


def test_order_of_rows_and_pairs_does_not_matter():
    hashes = random_family(5, [3000, 5000, 400])
    pairs = [("t0", "t1"), ("t2", "t1"), ("t0", "t1")]
    backwards = {name: own[::-1] for name, own in reversed(hashes.items())}
    assert contained_rows(hashes, pairs).equals(contained_rows(backwards, pairs[::-1]))
    assert contained_rows(hashes, pairs).height == 2


def test_a_table_is_contained_in_itself():
    hashes = random_family(7, [1000])
    row = contained_rows(hashes, [("t0", "t0")]).row(0, named=True)
    assert row["containment"] == row["multiset_containment"] == 1.0


def test_no_pairs_and_unknown_tables():
    assert contained_rows({}, []).height == 0
    with pytest.raises(UnhashedTableError, match="'b'"):
        contained_rows({"a": np.empty(0, np.uint64)}, [("a", "b")])


def test_projections_equal_row_hashes_batch_by_batch():
    table = pa.table(
        {"a": range(10), "b": [str(i) for i in range(10)], "c": [{"d": i} for i in range(10)]}
    )
    sets = [("a",), ("b", "a"), ("c.d",), ()]
    found = hash_projections(table.to_batches(max_chunksize=3), sets, "value")
    for own, names in zip(found, sets, strict=True):
        assert own.tolist() == row_hashes(table, names, "value").tolist()
    assert [own.size for own in hash_projections([], sets, "value")] == [0, 0, 0, 0]


# --- wrong ways, each of which loses or keeps an edge that the counts decide rightly ---

CHILD = {"a": [1, 1], "b": [None, "x"]}
PARENT = {"a": [1, 1, 2], "b": [None, "x", "y"]}


def exact(child, parent):
    names = list(child)
    hashes = {
        "c": row_hashes(pa.table(child), names, "value"),
        "p": row_hashes(pa.table(parent), names, "value"),
    }
    return contained_rows(hashes, [("c", "p")])["containment"][0]


def test_a_plain_equality_anti_join_is_caught():
    missing = pl.DataFrame(CHILD).join(pl.DataFrame(PARENT), on=["a", "b"], how="anti")
    assert missing.height == 1  # it would drop a true edge
    assert exact(CHILD, PARENT) == 1.0


def test_sampling_by_limit_is_caught():
    # what is missing sits in the last rows, as when a day was appended
    child = {"a": list(range(1000)), "b": ["x"] * 1000}
    parent = {"a": list(range(990)), "b": ["x"] * 990}
    limited = pl.DataFrame(child).head(100).join(pl.DataFrame(parent), on=["a", "b"], how="anti")
    assert limited.height == 0  # it would keep a false edge
    assert exact(child, parent) == 0.99
