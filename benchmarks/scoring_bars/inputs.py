"""Texts and vectors that bars are run on, from seeds or from a lake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

HERE = Path(__file__).resolve().parents[1]


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
