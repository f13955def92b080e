"""Scoring on one machine: DSIR against scikit-learn's hashing, and rates of the other kernels.

    python benchmarks/scoring.py [--documents 20000] [--rows 30000] [--rounds 5]

Documents are generated from a seed (Zipf words, a mean of 170 a document). Ours and the peer run in
turn, round by round, so that a busy machine slows both; the ratio is the median over rounds of the
ratio in a round. Writes benchmarks/results/scoring.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


def corpus(documents: int, seed: int = 0) -> list[str]:
    """Generate texts."""
    draw = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(draw.choice(letters, n)) for n in draw.integers(2, 11, 50_000)])
    share = 1.0 / np.arange(1, 50_001)
    edges = np.cumsum(share / share.sum())
    sizes = draw.poisson(170, documents) + 1
    picks = np.minimum(np.searchsorted(edges, draw.random(int(sizes.sum()))), 49_999)
    parts = np.split(words[picks], np.cumsum(sizes)[:-1])
    return [" ".join(part) for part in parts]


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import torch
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import HashingVectorizer

    from assets.kernels.kmeans import fit_kmeans
    from assets.scoring.dsir import Dsir
    from assets.scoring.hashed import HashedEmbedder
    from assets.scoring.heuristics import verdicts
    from assets.scoring.protocol import ScoreBatch, ScoreContext, fit
    from assets.scoring.redundancy import fit_cells, semantic_redundancy
    from resources.device import matmul_rate

    text = corpus(options.documents)
    column = pa.array(text)
    megabytes = sum(len(t) for t in text) / 1e6
    ids = [f"{i:032x}" for i in range(len(text))]
    half = len(text) // 2
    train = ScoreBatch(ids=ids[:half], text=column.slice(0, half))
    target = ScoreBatch(ids=ids[half:], text=column.slice(half), role="target")
    scorer, context = Dsir(), ScoreContext()

    def ours():
        state = fit(scorer, [train, target], context)
        scorer.score(train, state)

    def theirs():
        hashing = HashingVectorizer(
            n_features=10_000, ngram_range=(1, 2), norm=None, alternate_sign=False
        )
        raw, wanted = hashing.transform(text[:half]), hashing.transform(text[half:])
        p = np.asarray(raw.sum(axis=0))[0] / raw.sum()
        q = np.asarray(wanted.sum(axis=0))[0] / wanted.sum()
        raw @ (np.log(q + 1e-8) - np.log(p + 1e-8))

    draw = np.random.default_rng(0)
    centres = draw.normal(size=(300, 384))
    vectors = centres[draw.integers(300, size=options.rows)]
    vectors = (vectors + draw.normal(size=vectors.shape)).astype(np.float32)
    row_ids = [f"{i:032x}" for i in range(options.rows)]
    rank = draw.permutation(options.rows)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    embedder = HashedEmbedder()
    for warm in (ours, lambda: embedder.embed(column), lambda: verdicts(column.slice(0, 10))):
        warm()
    one = fit_cells(vectors, row_ids, cells=1)
    found: dict[str, list[float]] = {}

    def record(name, work):
        found.setdefault(name, []).append(seconds(work))

    said = {}
    for _ in range(options.rounds):
        record("dsir", ours)
        record("hashing_vectorizer", theirs)
        record("embedder", lambda: embedder.embed(column))
        record("rules", lambda: verdicts(column))
        record("kmeans", lambda: fit_kmeans(vectors, row_ids, 100, iterations=20))
        record("sklearn_kmeans", lambda: KMeans(100, n_init=1, max_iter=20).fit(unit))
        cells = {}
        record("redundancy_fit", lambda: cells.update(m=fit_cells(vectors, row_ids)))  # noqa: B023
        record(
            "redundancy_search",
            lambda: said.update(r=semantic_redundancy(vectors, rank, row_ids, cells["m"])),  # noqa: B023
        )
        record("redundancy_all_pairs", lambda: semantic_redundancy(vectors, rank, row_ids, one))
    median = {name: statistics.median(times) for name, times in found.items()}

    def ratio(peer, *mine):
        per_round = [found[peer][i] / sum(found[m][i] for m in mine) for i in range(options.rounds)]
        return statistics.median(per_round)

    result = {
        "machine": {"threads": torch.get_num_threads(), "gflops": matmul_rate(torch.device("cpu"))},
        "documents": options.documents,
        "megabytes": megabytes,
        "vector_rows": options.rows,
        "rounds": options.rounds,
        "seconds_median": median,
        "megabytes_per_second": {
            name: megabytes / median[name] for name in ("dsir", "embedder", "rules")
        },
        "ratios": {
            "dsir_over_hashing_vectorizer": ratio("hashing_vectorizer", "dsir"),
            "kmeans_over_sklearn": ratio("sklearn_kmeans", "kmeans"),
            "redundancy_over_all_pairs": ratio(
                "redundancy_all_pairs", "redundancy_fit", "redundancy_search"
            ),
            "redundancy_search_over_all_pairs": ratio("redundancy_all_pairs", "redundancy_search"),
        },
        "redundancy_recall": said["r"].recall,
        "redundancy_recall_near": said["r"].recall_near,
    }
    (HERE / "results").mkdir(exist_ok=True)
    path = HERE / "results" / "scoring.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
