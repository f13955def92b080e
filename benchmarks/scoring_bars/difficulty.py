"""Bars of scores that a trained head or network gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import scoring_peers as peers
from scoring_bars.bar import Bar
from scoring_bars.inputs import ids_of, vectors_of


def el2n(documents: int, rows: int = 40_000, few: int = 1000) -> Bar:
    """EL2N of fitted heads from labels and vectors, the fold of each told by its hash, against loops over rows."""
    from assets.kernels.unit_vectors import to_stored_grid
    from assets.scoring.difficulty import El2n
    from assets.scoring.linear_head import Heads, vector_hashes
    from assets.scoring.protocol import ScoreBatch, ScoreContext, fit
    from assets.scoring.samples import label_hashes

    x = vectors_of(rows, 10, 6.0)
    names = [f"class {i}" for i in np.random.default_rng(1).integers(10, size=rows)]
    given = ScoreBatch(ids=pa.array(ids_of(rows)), embedding=x, label=pa.array(names))
    scorer = El2n(sample_rows=2000)
    state = fit(scorer, [given], ScoreContext())
    heads = Heads(*(state.arrays[name] for name in ("classes", "weights", "units")))
    own = np.searchsorted(heads.classes, label_hashes(given))
    place = dict(zip(names, own.tolist(), strict=True))
    grid = to_stored_grid(x[:few])
    folds = (vector_hashes(grid) % np.uint64(5)).astype(int)

    def about(answers):
        gaps = [
            float(np.abs(answers["ours"][:few] - answers[name]).max())
            for name in ("loop_of_vectors", "loop_of_logits")
        ]
        return {"rows": rows, "dimensions": 384, "classes": 10, "largest_difference": max(gaps)}

    return Bar(
        {
            "ours": lambda: scorer.score(given, state).values,
            "loop_of_vectors": lambda: peers.el2n_of_vectors(x[:few], heads, names, place),
            "loop_of_logits": lambda: peers.el2n_of_logits(grid, heads, own, folds),
        },
        about,
        {"loop_of_vectors": rows / few, "loop_of_logits": rows / few},
    )


def fitted_network(x: Any, y: Any) -> Any:
    """Fit a 384-128-10 network in a few steps on whole batches."""
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(384, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    )
    steps = torch.optim.SGD(network.parameters(), lr=0.05)
    for start in range(0, 10_000, 1000):
        loss = torch.nn.functional.cross_entropy(
            network(x[start : start + 1000]), y[start : start + 1000]
        )
        steps.zero_grad()
        loss.backward()
        steps.step()
    return network.eval()


def el2n_network(documents: int, rows: int = 40_000, few: int = 1000) -> Bar:
    """EL2N of one fitted network, batches against one row at a time: the scoring pass alone."""
    import torch

    from assets.kernels.core_threads import blocks, on_every_core
    from assets.kernels.last_layer import error_lengths

    x = torch.from_numpy(vectors_of(rows, 10, 6.0))
    own = np.random.default_rng(1).integers(10, size=rows)
    y = torch.from_numpy(own)
    network = fitted_network(x, y)

    def score(part):
        with torch.no_grad():
            return error_lengths(network(x[part]).numpy(), own[part])

    def ours():
        return np.concatenate(list(on_every_core(score, blocks(rows, 2048))))

    def about(answers):
        gap = np.abs(answers["ours"][:few] - answers["loop_of_rows"]).max()
        return {"rows": rows, "network": "384-128-10", "largest_difference": float(gap)}

    loop = {"loop_of_rows": lambda: peers.el2n_of_network(network, x[:few], y[:few])}
    return Bar({"ours": ours, **loop}, about, {"loop_of_rows": rows / few})


def grand(documents: int, rows: int = 40_000, few: int = 400) -> Bar:
    """GraNd of a last layer in closed form, the forward pass with it, against a backward pass a row."""
    import torch

    from assets.kernels.core_threads import blocks, on_every_core
    from assets.kernels.last_layer import last_layer_lengths

    x = torch.from_numpy(vectors_of(rows, 10, 6.0))
    own = np.random.default_rng(1).integers(10, size=rows)
    y = torch.from_numpy(own)
    network = fitted_network(x, y)

    def score(part):
        with torch.no_grad():
            inner = network[:2](x[part])
            return last_layer_lengths(network[2](inner).numpy(), inner.numpy(), own[part])

    def ours():
        return np.concatenate(list(on_every_core(score, blocks(rows, 2048))))

    def about(answers):
        gap = np.abs(answers["ours"][:few] / answers["autograd_loop"] - 1).max()
        return {"rows": rows, "network": "384-128-10", "largest_relative_difference": float(gap)}

    loop = {"autograd_loop": lambda: peers.grand_by_autograd(network, x[:few], y[:few])}
    return Bar({"ours": ours, **loop}, about, {"autograd_loop": rows / few})
