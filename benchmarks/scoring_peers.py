"""What the scoring benchmark compares with: other packages where they are installed, and loops over rows.

Packages are looked for in this Python's path; one that is absent gives None, and its line is left out:

    pip install --no-deps --target PEERS data-selection nltk tqdm multiprocess dill submodlib-py datatrove \
        loguru regex fsspec humanize
    PYTHONPATH=PEERS python benchmarks/scoring.py
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

os.environ.setdefault("TQDM_DISABLE", "1")
TOKEN = re.compile(r"\w+|[^\w\s]+")
SENTENCE = re.compile(r"[^.!?]+[.!?]*")


def there(*packages: str) -> bool:
    """Tell whether all packages can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def versions() -> dict[str, str]:
    """Return the versions of the peers that are there."""
    names = {
        "data_selection": "data-selection",
        "submodlib": "submodlib-py",
        "datatrove": "datatrove",
        "sklearn": "scikit-learn",
    }
    return {name: version(name) for module, name in names.items() if there(module)}


def hashing_vectorizer(raw: list[str], target: list[str]) -> np.ndarray:
    """Return DSIR's log weights of `raw`, by scikit-learn's hashing."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        n_features=10_000, ngram_range=(1, 2), norm=None, alternate_sign=False
    )
    counted, wanted = hashing.transform(raw), hashing.transform(target)
    p = np.asarray(counted.sum(axis=0))[0] / counted.sum()
    q = np.asarray(wanted.sum(axis=0))[0] / wanted.sum()
    return counted @ (np.log(q + 1e-8) - np.log(p + 1e-8))


def data_selection(raw: list[str], target: list[str]) -> Callable[[], np.ndarray] | None:
    """Return what computes DSIR's log weights of `raw` by the authors' package, in two processes."""
    if not there("data_selection", "nltk", "tqdm"):
        return None
    from data_selection import HashedNgramDSIR

    def work() -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            texts = {"raw": raw, "target": target}
            dsir = HashedNgramDSIR(
                ["raw"],
                ["target"],
                folder,
                raw_load_dataset_fn=texts.__getitem__,
                raw_parse_example_fn=str,
                target_load_dataset_fn=texts.__getitem__,
                target_parse_example_fn=str,
                num_proc=2,
            )
            dsir.fit_importance_estimator(num_tokens_to_fit="all")
            dsir.compute_importance_weights()
            # a shard holds every k-th document, beginning with its own number
            parts = sorted(
                Path(dsir.log_importance_weights_dir).glob("*.npy"), key=lambda p: int(p.stem)
            )
            weights = np.empty(len(raw))
            for i, part in enumerate(parts):
                weights[i :: len(parts)] = np.load(part)
            return weights

    return work


def datatrove(texts: list[str]) -> Callable[[], list[bool]] | None:
    """Return what applies datatrove's Gopher, C4 and FineWeb filters; True for Gopher's repetition rules passed.

    Its spaCy tokenizer is replaced by a regular expression, which is many times faster.
    """
    if not there("datatrove", "loguru", "fsspec", "humanize"):
        return None
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters import (
        c4_filters,
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = lambda text, _: TOKEN.findall(text)
    c4_filters.split_into_sentences = lambda text, _: SENTENCE.findall(text)
    repetition = filters.GopherRepetitionFilter()
    others = [
        filters.GopherQualityFilter(),
        filters.C4QualityFilter(split_paragraph=False, filter_no_terminal_punct=False),
        filters.FineWebQualityFilter(),
    ]

    def work() -> list[bool]:
        passed = []
        for i, text in enumerate(texts):
            passed.append(repetition.filter(Document(text=text, id=str(i))) is True)
            for each in others:
                each.filter(Document(text=text, id=str(i)))
        return passed

    return work


def submodlib(unit: np.ndarray, budget: int) -> Callable[[], list[int]] | None:
    """Return what picks by greedy facility location in C++, the similarities by one matrix product."""
    if not there("submodlib"):
        return None
    from submodlib import FacilityLocationFunction

    def work() -> list[int]:
        alike = (1 + unit @ unit.T) / 2
        with contextlib.redirect_stdout(io.StringIO()):
            function = FacilityLocationFunction(
                n=len(unit), mode="dense", sijs=alike, separate_rep=False
            )
            picks = function.maximize(
                budget=budget,
                optimizer="LazyGreedy",
                stopIfZeroGain=False,
                stopIfNegativeGain=False,
                verbose=False,
                show_progress=False,
            )
        return [int(at) for at, _ in picks]

    return work


def el2n_of_logits(grid: np.ndarray, heads: Any, own: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Score rows one by one; vectors on the grid and folds are given."""
    weights = [
        np.ascontiguousarray(w[:, :-1] * u) for w, u in zip(heads.weights, heads.units, strict=True)
    ]
    biases = [w[:, -1] * u for w, u in zip(heads.weights, heads.units, strict=True)]
    unit = grid / 4000.0
    found = np.empty(len(grid))
    for i, fold in enumerate(folds):
        logits = weights[fold] @ unit[i] + biases[fold]
        odds = np.exp(logits - logits.max())
        error = odds / odds.sum()
        error[own[i]] -= 1.0
        found[i] = np.linalg.norm(error)
    return found


def el2n_of_vectors(vectors: np.ndarray, heads: Any, labels: list[str], place: dict) -> np.ndarray:
    """Score rows one by one from their vectors, as the scorer defines it."""
    weights = [
        np.ascontiguousarray(w[:, :-1] * u) for w, u in zip(heads.weights, heads.units, strict=True)
    ]
    biases = [w[:, -1] * u for w, u in zip(heads.weights, heads.units, strict=True)]
    found = np.full(len(vectors), np.nan)
    for i, row in enumerate(vectors):
        stored = row.astype(np.float16).astype(np.float64)
        if not np.isfinite(stored).all() or not stored.any():
            continue
        scaled = stored / np.abs(stored).max()
        cells = np.rint(scaled / np.linalg.norm(scaled) * 4000.0)
        fold = xxhash.xxh3_64_intdigest(cells.astype("<i2").tobytes()) % len(weights)
        logits = weights[fold] @ (cells / 4000.0) + biases[fold]
        odds = np.exp(logits - logits.max())
        error = odds / odds.sum()
        error[place[labels[i]]] -= 1.0
        found[i] = np.linalg.norm(error)
    return found


def el2n_of_network(network: Any, rows: Any, labels: Any) -> np.ndarray:
    """Score rows one by one with a network: the length of its probabilities less the label's one."""
    import torch

    found = np.empty(len(rows))
    with torch.no_grad():
        for i in range(len(rows)):
            error = network(rows[i : i + 1]).softmax(1)[0]
            error[labels[i]] -= 1.0
            found[i] = float(error.norm())
    return found


def grand_by_autograd(network: Any, rows: Any, labels: Any) -> np.ndarray:
    """Return the lengths of the last layer's gradients, a backward pass a row."""
    import torch

    last = list(network[-1].parameters())
    found = np.empty(len(rows))
    for i in range(len(rows)):
        loss = torch.nn.functional.cross_entropy(network(rows[i : i + 1]), labels[i : i + 1])
        slopes = torch.autograd.grad(loss, last)
        found[i] = sum(float(s.square().sum()) for s in slopes) ** 0.5
    return found


def all_pairs(unit: np.ndarray, starts: list[int], size: int) -> np.ndarray:
    """Return the largest cosine to an earlier row, of blocks of rows: torch, all rows before a block, all cores."""
    import torch

    rows = torch.from_numpy(unit)
    found = []
    for start in starts:
        block = rows[start : start + size]
        best = torch.full((size,), -1.0)
        for low in range(0, start, 4096):
            product = block @ rows[low : min(low + 4096, start)].T
            torch.maximum(best, product.amax(dim=1), out=best)
        inner = (block @ block.T).tril(-1) - 2 * torch.ones(size, size).triu()
        torch.maximum(best, inner.amax(dim=1), out=best)
        found.append(best)
    return torch.cat(found).numpy()
