"""Scoring on one machine: kernels against other packages, loops over rows, and the rate of a matrix product.

    python benchmarks/scoring.py [--only dsir,el2n,…] [--rounds 5] [--documents 10000]

In each round every contender of a bar runs once, one after the other, so that a busy machine slows all of them; a
ratio is the median over rounds of the ratio in a round. Slow contenders get fewer rows, and their seconds are
multiplied by the share. Answers are compared. Documents (Zipf words, a mean of 170 each) and vectors are generated
from a seed. `scoring_peers.py` says how to install the other packages. Writes benchmarks/results/scoring.json; with
`--only`, the bars that are named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import scoring_peers as peers  # noqa: E402 - found by the path above
from machine import machine  # noqa: E402


@dataclass
class Bar:
    """Contenders, of which the first is ours, and what to say of their answers.

    Attributes
    ----------
    contenders
        Names and work.
    times
        How many times its work each contender's rows are of ours; 1 where not named.
    flops
        Of our work, told after it has run; None where that says nothing.
    about
        Sizes, and after a run what the answers are like.
    """

    contenders: dict[str, Callable[[], Any] | None]
    about: Callable[[dict[str, Any]], dict[str, Any]]
    times: dict[str, float] = field(default_factory=dict)
    flops: Callable[[Any], float] | None = None

    def run(self, rounds: int) -> dict[str, Any]:
        """Run all contenders in turn."""
        import torch

        from resources.device import matmul_rate

        works = {name: work for name, work in self.contenders.items() if work is not None}
        wall: dict[str, list[float]] = {name: [] for name in works}
        answers: dict[str, Any] = {}
        next(iter(works.values()))()  # compiled
        rates = []
        for _ in range(rounds):
            for name, work in works.items():
                start = time.perf_counter()
                answers[name] = work()
                took = time.perf_counter() - start
                wall[name].append(took * self.times.get(name, 1.0))
            if self.flops is not None:
                rates.append(matmul_rate(torch.device("cpu")))
        ours = next(iter(works))
        found: dict[str, Any] = {
            "seconds": {name: statistics.median(took) for name, took in wall.items()},
            "times_faster_than": {
                name: statistics.median(b / a for a, b in zip(wall[ours], took, strict=True))
                for name, took in wall.items()
                if name != ours
            },
            "rounds": rounds,
            "absent": [name for name, work in self.contenders.items() if work is None],
        }
        if self.flops is not None:
            work = self.flops(answers[ours]) / 1e9
            found["gflops"] = work / found["seconds"][ours]
            found["matmul_gflops"] = statistics.median(rates)
            found["share_of_matmul"] = statistics.median(
                work / took / rate for took, rate in zip(wall[ours], rates, strict=True)
            )
        return {**found, **self.about(answers)}


def corpus(documents: int, seed: int = 0, turned: np.ndarray | None = None) -> list[str]:
    """Generate texts; where `turned`, of another distribution over the same words."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(draw.choice(letters, n)) for n in draw.integers(2, 11, 50_000)])
    share = 1.0 / np.arange(1, 50_001)
    edges = np.cumsum(share / share.sum())
    sizes = draw.poisson(170, documents) + 1
    picks = np.minimum(np.searchsorted(edges, draw.random(int(sizes.sum()))), 49_999)
    if turned is not None:
        picks = np.where(np.repeat(turned, sizes), (picks * 7 + 11) % 50_000, picks)
    parts = np.split(words[picks], np.cumsum(sizes)[:-1])
    return [" ".join(part) for part in parts]


def vectors_of(rows: int, groups: int, spread: float, seed: int = 0) -> np.ndarray:
    """Generate float32 vectors of 384 dimensions in groups."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((groups, 384), dtype=np.float32)
    noise = draw.standard_normal((rows, 384), dtype=np.float32)
    return centres[draw.integers(groups, size=rows)] + np.float32(spread) * noise


def ids_of(rows: int) -> list[str]:
    """Return ids."""
    return [f"{i:032x}" for i in range(rows)]


def dsir(documents: int) -> Bar:
    """DSIR, against scikit-learn's hashing and the authors' package."""
    from scipy.stats import spearmanr

    from assets.scoring.dsir import Dsir
    from assets.scoring.protocol import ScoreBatch, ScoreContext, fit

    half = documents // 2
    turned = (np.arange(documents) >= half) | (np.arange(documents) % 2 == 0)
    text = corpus(documents, turned=turned)
    column, ids = pa.array(text), ids_of(documents)

    def ours(scorer=None, few=half):
        scorer = scorer or Dsir()
        train = ScoreBatch(ids=ids[:few], text=column.slice(0, few))
        target = ScoreBatch(ids=ids[half : half + few], text=column.slice(half, few), role="target")
        state = fit(scorer, [train, target], ScoreContext())
        return scorer.score(train, state).extras["dsir_log_weight"]

    few = max(half // 10, 200)
    raw, target = text[:half], text[half:]

    def about(answers):
        found = {"documents": documents, "megabytes": sum(map(len, text)) / 1e6}
        pair = spearmanr(answers["ours"], answers["hashing_vectorizer"])
        found["rank_correlation_with_hashing_vectorizer"] = float(pair.statistic)
        if "data_selection" in answers:
            same = ours(Dsir(hash="sha256"), few)
            gap = np.abs(same - answers["data_selection"]).max() / np.abs(same).max()
            found["largest_relative_difference_from_data_selection_in_sha256_mode"] = float(gap)
        return found

    return Bar(
        {
            "ours": ours,
            "hashing_vectorizer": lambda: peers.hashing_vectorizer(raw, target),
            "data_selection": peers.data_selection(raw[:few], target[:few]),
        },
        about,
        {"data_selection": half / few},
    )


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
    from assets.scoring.difficulty import El2n

    x = torch.from_numpy(vectors_of(rows, 10, 6.0))
    own = np.random.default_rng(1).integers(10, size=rows)
    y = torch.from_numpy(own)
    network, measure = fitted_network(x, y), El2n().measure

    def score(part):
        with torch.no_grad():
            return measure(network(x[part]).softmax(1).double().numpy(), own[part])

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
    from assets.kernels.per_sample_gradients import last_layer_norms

    x = torch.from_numpy(vectors_of(rows, 10, 6.0))
    y = torch.from_numpy(np.random.default_rng(1).integers(10, size=rows))
    network = fitted_network(x, y)

    def score(part):
        with torch.no_grad():
            inner = network[:2](x[part])
            error = network[2](inner).softmax(1)
        error[torch.arange(len(error)), y[part]] -= 1.0
        return last_layer_norms(error.numpy(), inner.numpy())

    def ours():
        return np.concatenate(list(on_every_core(score, blocks(rows, 2048))))

    def about(answers):
        gap = np.abs(answers["ours"][:few] / answers["autograd_loop"] - 1).max()
        return {"rows": rows, "network": "384-128-10", "largest_relative_difference": float(gap)}

    loop = {"autograd_loop": lambda: peers.grand_by_autograd(network, x[:few], y[:few])}
    return Bar({"ours": ours, **loop}, about, {"autograd_loop": rows / few})


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


def planted(rows: int, share: float = 0.3) -> np.ndarray:
    """Generate vectors in 1,000 groups, a share of them at a cosine of 0.85 to 1 from one before it."""
    draw = np.random.default_rng(5)
    x = vectors_of(rows, 1000, 0.5)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for i in np.flatnonzero(draw.random(rows) < share)[1:]:
        like, cosine = x[draw.integers(i)], np.float32(draw.uniform(0.85, 1.0))
        other = draw.standard_normal(x.shape[1], dtype=np.float32)
        other -= (other @ like) * like
        x[i] = cosine * like + np.sqrt(1 - cosine**2) / np.linalg.norm(other) * other
    return x


def lake_vectors(rows: int) -> np.ndarray | None:
    """Embed lines of the lake's text files by hashed n-grams; None where there is no lake beside the clone."""
    from assets.scoring.hashed import HashedEmbedder

    lake = HERE.parents[1] / "shared" / "lake"
    files = [f for kind in ("csv", "tsv", "jsonl") for f in lake.rglob(f"*.{kind}")]
    folders = {"instructions", "labelled", "multilingual"}
    lines = [
        line
        for file in sorted(files)
        if folders & set(file.parts)
        for line in file.read_text(errors="replace").splitlines()
        if len(line) > 20
    ]
    if len(lines) < rows:
        return None
    chosen = np.random.default_rng(6).permutation(len(lines))[:rows]
    return HashedEmbedder(384).embed(text=pa.array([lines[i] for i in chosen]))


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


def rules(documents: int) -> Bar:
    """Gopher, C4 and FineWeb rules, against datatrove's filters."""
    from assets.scoring.heuristics import verdicts

    documents = min(documents, 5000)
    text, few = corpus(documents), 500
    column = pa.array(text)

    def about(answers):
        found = {"documents": documents, "megabytes": sum(map(len, text)) / 1e6}
        if "datatrove" in answers:
            frame = answers["ours"].rules
            ngrams = ("gopher_top", "gopher_dup")
            mine = [frame[name].fill_null(value=True).to_numpy() for name in frame.columns
                    if name.startswith(ngrams)]  # fmt: skip
            passed = np.logical_and.reduce(mine)[:few]
            same = float((passed == np.array(answers["datatrove"])).mean())
            found["same_verdict_on_repetition"] = same
        return found

    return Bar(
        {"ours": lambda: verdicts(column), "datatrove": peers.datatrove(text[:few])},
        about,
        {"datatrove": documents / few},
    )


BARS = {
    "dsir": dsir,
    "el2n": el2n,
    "el2n_network": el2n_network,
    "grand": grand,
    "kmeans": kmeans,
    "similarity": similarity,
    "facility_location": facility_location,
    "redundancy": redundancy,
    "redundancy_lake": redundancy_lake,
    "rules": rules,
}


def main() -> None:
    """Run the bars that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(BARS))
    options = parser.parse_args()
    path = HERE / "results" / "scoring.json"
    known = json.loads(path.read_text()).get("bars", {}) if path.exists() else {}
    for name in options.only.split(","):
        about = machine("numpy", "torch")
        bar = BARS[name](options.documents)
        if bar is None:
            print(name, "left out: no lake")
            continue
        known[name] = {**bar.run(options.rounds), "machine": about}
        print(name, json.dumps(known[name], indent=2), flush=True)
        path.write_text(json.dumps({"peers": peers.versions(), "bars": known}, indent=2) + "\n")


if __name__ == "__main__":
    main()
