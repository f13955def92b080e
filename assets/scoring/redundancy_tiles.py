"""Tiles of the search for semantic redundancy: products of queries and members in rank order, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.kernels.kmeans import KMeansModel
from assets.kernels.unit_vectors import UNIT

QUERY_ROWS = 1024
MEMBER_ROWS = 4096


def nearest_cells(
    ordered: NDArray[np.float32],
    model: KMeansModel,
    probes: int,
    device: Any,  # noqa: ANN401
) -> NDArray[np.int32]:
    """Return the cells nearest to each row, nearest first: int32, shape (n, probes)."""
    import torch

    k = len(model.centroids)
    cells = np.zeros((len(ordered), probes), dtype=np.int32)
    if k == 1:
        return cells
    centres = torch.from_numpy(np.ascontiguousarray(model.centroids, dtype=np.float32)).to(device)
    for start in range(0, len(ordered), 4096):
        block = torch.from_numpy(ordered[start : start + 4096]).to(device)
        product = block @ centres.T
        for probe in range(probes):
            # argmax by argmax: it names the first of equal maxima, topk does not promise to
            nearest = product.argmax(dim=1, keepdim=True)
            cells[start : start + 4096, probe] = nearest[:, 0].cpu().numpy()
            product.scatter_(1, nearest, -float("inf"))
    return cells


def search_tiles(
    ordered: NDArray[np.float32],
    queries: NDArray[np.int64],
    members: NDArray[np.int64],
    best: NDArray[np.float32],
    where: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> int:
    """Compare queries with members that precede them, and note what is nearer; returns how many pairs that were."""
    import torch

    pairs = 0
    for low in range(0, len(members), MEMBER_ROWS):
        block_members = members[low : low + MEMBER_ROWS]
        first = np.searchsorted(queries, block_members[0], side="right")
        member_rows = None
        for start in range(int(first), len(queries), QUERY_ROWS):
            block_queries = queries[start : start + QUERY_ROWS]
            if member_rows is None:
                member_rows = torch.from_numpy(ordered[block_members]).to(device)
            # members are in rank order, so those before the last query are a prefix
            upto = int(np.searchsorted(block_members, block_queries[-1], side="left"))
            product = torch.from_numpy(ordered[block_queries]).to(device) @ member_rows[:upto].T
            pairs += len(block_queries) * upto
            before = np.searchsorted(block_members, block_queries[0], side="left")
            if before < upto:
                # the diagonal: hide members that do not precede the query
                positions = torch.from_numpy(block_members[before:upto]).to(device)
                limit = torch.from_numpy(block_queries).to(device)[:, None]
                product[:, before:].masked_fill_(positions[None, :] >= limit, -float("inf"))
            value, at = product.max(dim=1)
            values = value.cpu().numpy()
            found = block_members[at.cpu().numpy()]
            old, old_at = best[block_queries], where[block_queries]
            better = (values > -np.inf) & (
                (old_at < 0) | (values > old) | ((values == old) & (found < old_at))
            )
            best[block_queries[better]] = values[better]
            where[block_queries[better]] = found[better]
    return pairs


def exact_search(
    ordered: NDArray[np.float32],
    sample: NDArray[np.int64],
    device: Any,  # noqa: ANN401
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compare sampled rows with all that precede them: largest product and where, shapes (sample,)."""
    best = np.full(len(ordered), -UNIT, dtype=np.float32)
    where = np.full(len(ordered), -1, dtype=np.int64)
    search_tiles(ordered, sample, np.arange(len(ordered)), best, where, device)
    return best[sample], where[sample]
