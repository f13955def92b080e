"""Bars of what compares vectors with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import scoring_peers as peers
from scoring_bars.bar import Bar
from scoring_bars.inputs import ids_of, lake_vectors, planted, vectors_of


def kmeans(documents: int, rows: int = 30_000, k: int = 100) -> Bar:
    """Spherical k-means, against scikit-learn's Lloyd on unit vectors, 20 passes at most."""
    from sklearn.cluster import KMeans

    from assets.kernels.kmeans import fit_kmeans

    x, ids = vectors_of(rows, 300, 1.0), ids_of(rows)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)

    def inertia(centres):
        centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        return float((1 - (unit @ centres.T).max(axis=1)).sum())

    def about(answers):
        ours, theirs = answers["ours"].centroids, answers["scikit_learn"].cluster_centers_
        found = {"rows": rows, "dimensions": 384, "k": k, "passes": answers["ours"].iterations}
        found["their_passes"] = int(answers["scikit_learn"].n_iter_)
        return {**found, "inertia_over_theirs": inertia(ours) / inertia(theirs)}

    return Bar(
        {
            "ours": lambda: fit_kmeans(x, ids, k, iterations=20),
            "scikit_learn": lambda: KMeans(k, n_init=1, max_iter=20, random_state=0).fit(unit),
        },
        about,
        flops=lambda model: 2.0 * rows * k * 384 * model.iterations,
    )


def similarity(documents: int, rows: int = 8192) -> Bar:
    """Similarity of the records of one cell with those before them."""
    from assets.kernels.unit_vectors import to_grid
    from assets.scoring.redundancy_tiles import Nearest, Task, search_tasks

    grid, all_rows = to_grid(vectors_of(rows, 300, 1.0)), np.arange(rows)

    def ours():
        nearest = Nearest(rows)
        search_tasks(grid, [Task(all_rows, all_rows)], nearest)
        return nearest.pairs

    def plain():
        alike = grid @ grid.T
        alike[np.triu_indices(rows)] = -np.inf
        return alike.max(axis=1)

    flops = {"flops": lambda pairs: 2.0 * 384 * pairs}
    return Bar({"ours": ours, "numpy": plain}, lambda _: {"rows": rows}, **flops)


def facility_location(documents: int, rows: int = 2000, budget: int = 100) -> Bar:
    """Greedy facility location, against submodlib's lazy greedy."""
    from assets.kernels.unit_vectors import to_grid
    from assets.scoring.selectors.facility_location import lazy_greedy

    x = vectors_of(rows, 60, 1.0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)

    def about(answers):
        found: dict[str, Any] = {"rows": rows, "dimensions": 384, "picks": budget}
        if "submodlib" in answers:
            mine, theirs = answers["ours"], answers["submodlib"]
            values = [float((unit @ unit[p].T).max(axis=1).sum()) for p in (mine, theirs)]
            found["objective_over_theirs"] = values[0] / values[1]
            found["same_picks"] = len(set(mine) & set(theirs))
        return found

    return Bar(
        {
            "ours": lambda: [at for at, _ in lazy_greedy(to_grid(x), budget)],
            "submodlib": peers.submodlib(unit, budget),
        },
        about,
    )


def redundancy(documents: int, rows: int = 100_000, x: np.ndarray | None = None) -> Bar:
    """Semantic redundancy, the cells fitted within that time, against all pairs, of which some blocks are timed."""
    from assets.scoring.redundancy_search import fit_cells, semantic_redundancy

    x = planted(rows) if x is None else x
    ids, rank = ids_of(rows), np.arange(rows)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    starts, size = [rows * part // 8 for part in (1, 3, 5, 7)], 512

    def ours():
        model = fit_cells(x, ids)
        return semantic_redundancy(x, rank, ids, model, check=0)

    def about(answers):
        found = answers["ours"]
        exact = semantic_redundancy(x, rank, ids, fit_cells(x, ids, cells=1)).values
        blocks = np.concatenate([np.arange(s, s + size) for s in starts])
        gap = float(np.abs(exact[blocks] - answers["all_pairs"]).max())
        facts = {"rows": rows, "dimensions": x.shape[1], **found.about()}
        for name in ("recall", "recall_near", "near", "checked"):
            del facts[name]
        facts["largest_difference_of_all_pairs_from_exact"] = gap
        facts["exact_values"] = float((found.values == exact).mean())
        for threshold in (0.8, 0.9, 0.95):
            near = exact >= threshold
            facts[f"rows_with_a_cosine_from_{threshold}"] = int(near.sum())
            facts[f"of_them_exact_{threshold}"] = float((found.values == exact)[near].mean())
            facts[f"of_them_found_{threshold}"] = float((found.values >= threshold)[near].mean())
        return facts

    pairs = sum(size * s + size * (size - 1) / 2 for s in starts)
    contenders = {"ours": ours, "all_pairs": lambda: peers.all_pairs(unit, starts, size)}
    return Bar(contenders, about, {"all_pairs": rows * (rows - 1) / 2 / pairs})


def redundancy_lake(documents: int, rows: int = 100_000) -> Bar | None:
    """The same on hashed vectors of 100,000 lines of a lake, many of them copies; left out where there is none."""
    x = lake_vectors(rows)
    return None if x is None else redundancy(documents, rows, x)
