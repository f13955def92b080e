"""Clusters of near duplicates, and which row of each is kept.

`star_clusters` is the default: every row that is dropped is itself within the threshold of the
row that is kept for it, so a chain A ~ B ~ C can't drop C for A. `components` is transitive
closure, for those who want it and for holding clusters out whole.

Both take `twins` beside `pairs`, so that a million copies of one text stay a million rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.deduplication.errors import RankError
from assets.deduplication.name_places import NamePlaces
from assets.deduplication.order import sorted_order
from assets.deduplication.verify import component_labels

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
CLUSTER_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "cluster": pl.String,
        "keeper": pl.String,
        "similarity": pl.Float64,
    }
)
_NO_TWINS = pl.DataFrame(schema={"key": pl.String, "representative": pl.String})


def components(pairs: pl.DataFrame, twins: pl.DataFrame | None = None) -> pl.DataFrame:
    """Find the connected components of the verified pairs.

    Parameters
    ----------
    pairs
        left, right (and more columns): pairs of keys.
    twins
        key, representative, as `NearPairs.twins`.

    Returns
    -------
    DataFrame
        key, cluster: every key with a twin, and the smallest key of its component; sorted by key.
    """
    twins = _NO_TWINS if twins is None else twins
    edges = pl.concat(
        [
            pairs.select("left", "right"),
            twins.select(left="representative", right="key"),
        ]
    )
    nodes = pl.concat([edges["left"], edges["right"]]).unique().sort()
    places = NamePlaces(nodes)
    left, right = places.find(edges["left"]), places.find(edges["right"])
    label = component_labels(len(nodes), left, right)
    return pl.DataFrame({"key": nodes, "cluster": nodes.gather(label)}, schema=_FIRST_TWO)


_FIRST_TWO = {"key": pl.String, "cluster": pl.String}


def star_clusters(
    pairs: pl.DataFrame,
    rank: pl.DataFrame,
    twins: pl.DataFrame | None = None,
    *,
    earlier_only: bool = False,
) -> pl.DataFrame:
    """Keep rows in survivor order; drop a row only for a kept row within the threshold of it.

    Walking the keys in survivor order, a key is kept unless one of its neighbours has been kept.
    A dropped key is then given the kept neighbour that is most similar to it (ties: first in the
    order), which may be one that was kept later.

    Parameters
    ----------
    pairs
        left, right, similarity: verified pairs.
    rank
        key and order columns, ascending (see `order`). Keys of `pairs` that it lacks take no
        part: leave out what must not be dropped or kept, such as rows of an evaluation set.
    twins
        key, representative: keys that are equal as sets; `pairs` then speaks of representatives.
    earlier_only
        Name only keepers that come before the dropped key in the order: for a similarity that means
        something in one direction.

    Returns
    -------
    DataFrame
        key, cluster, keeper, similarity: every key of `rank` with a neighbour in it; the keeper of
        a kept key is itself, with similarity 1. `cluster` is the smallest key of the connected
        component, so stars of one component share it. Sorted by key. Cost: a sort of the keys; about
        60 bytes a key and 60 a pair beside what is given and returned.

    Raises
    ------
    RankError
        `rank` has no column `key`, or names a key twice.
    """
    from assets.deduplication.graph_kernels import first_of_each, star_walk

    twins = _NO_TWINS if twins is None else twins
    names = sorted_order(rank)["key"]  # a key's place in it is its number
    places = NamePlaces(names)
    group, groups, left, right = _groups(places, len(names), pairs, twins)
    best = np.empty(groups + 1, np.int64)  # the last one stands for what is not known: -1
    first_of_each(group, best)
    one, two, similarity = left, right, pairs["similarity"].to_numpy().view()
    for side in (one, two):  # from groups to who stands for them, in place
        np.take(best, side, out=side, mode="wrap")
    inside = (one >= 0) & (two >= 0)
    if not inside.all():
        one, two, similarity = one[inside], two[inside], similarity[inside]
    similarity.flags.writeable = False  # one type for the compiled loop
    keeper, near = np.empty(len(names), np.int64), np.empty(len(names))
    star_walk(one, two, similarity, int(earlier_only), keeper, near)
    label = component_labels(len(names), one, two)
    del one, two, similarity
    best = best[group]  # of each key the one that stands for all that are equal to it
    together = np.bincount(label[best], minlength=len(names))
    rows = places.by_name(np.flatnonzero(together[label[best]] > 1))
    best = best[rows]
    first = np.empty(len(names), np.int64)
    first_of_each(label[best], first)
    return pl.DataFrame(
        {
            "key": _gathered(names, rows),
            "cluster": _gathered(names, rows[first[label[best]]]),
            "keeper": _gathered(names, keeper[best]),
            "similarity": near[best],
        },
        schema=CLUSTER_SCHEMA,
    )


def _groups(
    places: NamePlaces, count: int, pairs: pl.DataFrame, twins: pl.DataFrame
) -> tuple[I64, int, I64, I64]:
    """Return the group of each key of the order (its own number, or that of its representative).

    Also how many groups there may be, and those of both sides of all pairs, -1 where none is known. A
    representative that the order lacks has a number beyond it.
    """
    lead = places.find(twins["representative"])
    absent = twins["representative"].filter(pl.Series(lead < 0)).unique()
    beyond = NamePlaces(absent)
    group = np.arange(count)
    key = places.find(twins["key"])
    elsewhere = np.flatnonzero(lead < 0)
    lead[elsewhere] = count + beyond.find(twins["representative"].gather(elsewhere))
    group[key[key >= 0]] = lead[key >= 0]
    sides = []
    for side in ("left", "right"):
        place = places.find(pairs[side])
        elsewhere = np.flatnonzero(place < 0)
        further = beyond.find(pairs[side].gather(elsewhere))
        place[elsewhere] = np.where(further >= 0, further + count, -1)
        sides.append(place)
    return group, count + len(absent), sides[0], sides[1]


def _gathered(names: pl.Series, places: I64) -> pl.Series:
    return names.gather(places.astype(np.uint32))


def component_clusters(
    pairs: pl.DataFrame, rank: pl.DataFrame, twins: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Keep the first row of each connected component and drop the rest.

    Returns
    -------
    DataFrame
        As `star_clusters`; `similarity` is null where the dropped row was not compared with the
        keeper or lies below the threshold (a chain).
    """
    twins = _NO_TWINS if twins is None else twins
    ranked = sorted_order(rank)
    inside = set(ranked["key"])
    groups = dict(zip(twins["key"], twins["representative"], strict=True))
    usable = {groups.get(key, key) for key in inside}
    edges = pairs.filter(pl.col("left").is_in(list(usable)) & pl.col("right").is_in(list(usable)))
    found = components(edges, twins).join(ranked, on="key")
    found = found.with_columns(
        keeper=pl.col("key").sort_by("rank").first().over("cluster"),
        together=pl.len().over("cluster"),
        cluster=pl.col("key").min().over("cluster"),
    ).filter(pl.col("together") > 1)
    known = pl.concat(
        [
            edges.select(a="left", b="right", s="similarity"),
            edges.select(a="right", b="left", s="similarity"),
        ]
    )
    found = found.join(twins, on="key", how="left").join(
        twins.rename({"key": "keeper", "representative": "keeper_group"}), on="keeper", how="left"
    )
    found = found.with_columns(
        a=pl.coalesce("representative", "key"), b=pl.coalesce("keeper_group", "keeper")
    ).join(known, on=["a", "b"], how="left")
    found = found.with_columns(
        similarity=pl.when(pl.col("a") == pl.col("b")).then(1.0).otherwise(pl.col("s"))
    )
    return found.select(list(CLUSTER_SCHEMA)).cast(CLUSTER_SCHEMA).sort("key")


def component_report(
    pairs: pl.DataFrame, twins: pl.DataFrame | None = None, *, largest: int = 20
) -> pl.DataFrame:
    """Describe the largest components: a chain shows by a weak edge and a long diameter.

    Returns
    -------
    DataFrame
        cluster, size (keys), edges (verified pairs of distinct sets), weakest (the smallest
        similarity of an edge), diameter (edges on the longest shortest path found by two
        breadth-first searches: a lower bound, exact on trees); largest first, then by cluster.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    found = components(pairs, twins)
    edges = pairs.join(found.rename({"key": "left"}), on="left")
    weakest = edges.group_by("cluster").agg(
        edges=pl.len().cast(pl.Int64), weakest=pl.col("similarity").min()
    )
    top = (
        found.group_by("cluster")
        .agg(size=pl.len().cast(pl.Int64))
        .sort(["size", "cluster"], descending=[True, False])
        .head(largest)
        .join(weakest, on="cluster", how="left", maintain_order="left")
        .with_columns(pl.col("edges").fill_null(0), pl.col("weakest").fill_null(1.0))
    )
    diameters = []
    for name in top["cluster"]:
        part = edges.filter(pl.col("cluster") == name)
        nodes = pl.concat([part["left"], part["right"]]).unique().sort()
        if not len(nodes):
            diameters.append(1)
            continue
        one, two = _places(nodes, part["left"]), _places(nodes, part["right"])
        graph = coo_array((np.ones(len(one)), (one, two)), shape=(len(nodes),) * 2).tocsr()
        start, depth = 0, 0
        for _ in range(2):
            walk, before = breadth_first_order(graph, start, directed=False)
            level = np.zeros(len(nodes), np.int64)
            for node in walk[1:]:
                level[node] = level[before[node]] + 1
            start, depth = int(walk[-1]), int(level.max())
        diameters.append(depth)
    return top.with_columns(diameter=pl.Series(diameters, dtype=pl.Int64))


def _places(nodes: pl.Series, values: pl.Series) -> I64:
    return np.asarray(nodes.search_sorted(values), dtype=np.int64)


__all__ = [
    "RankError",
    "component_clusters",
    "component_report",
    "components",
    "star_clusters",
]
