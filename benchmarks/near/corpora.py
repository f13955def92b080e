"""Corpora for `near_duplicates.py`: one with planted twins, and those that break careless programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VOCABULARY = 50_000
PER_GROUP = 20_000  # rows of a row group


def vocabulary(draw: np.random.Generator) -> np.ndarray:
    """Return words of 2 to 10 letters."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = draw.integers(2, 11, VOCABULARY)
    return np.array(["".join(draw.choice(letters, n)) for n in lengths], dtype=object)


def planted(path: Path, documents: int, seed: int = 0) -> None:
    """Write `documents` texts of Zipf words, about 1,060 bytes each, with their family.

    Of them 12 % are edited copies at Jaccard about 0.5 to 0.95, 4 % exact copies, 3 % edited copies at 0.2 to
    0.5; all copies are of texts that were drawn whole, and `family` is the number of that text.
    """
    draw = np.random.default_rng(seed)
    words = vocabulary(draw)
    held: list[tuple[int, np.ndarray]] = []
    texts: list[str] = []
    family: list[int] = []
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for number in range(documents):
            kind = draw.random()
            if held and kind < 0.19:
                origin, tokens = held[draw.integers(len(held))]
                if kind < 0.15:
                    # an edit breaks five shingles; so many edits give about the wanted Jaccard
                    wanted = draw.uniform(0.5, 0.95) if kind < 0.12 else draw.uniform(0.2, 0.5)
                    edits = max(1, round(len(tokens) * (1 - wanted) / (1 + wanted) / 5))
                    tokens = tokens.copy()
                    tokens[draw.integers(0, len(tokens), edits)] = words[
                        draw.integers(0, VOCABULARY, edits)
                    ]
            else:
                length = int(np.clip(draw.lognormal(4.7, 0.7), 5, 5000))
                origin, tokens = number, words[np.minimum(draw.zipf(1.25, length), VOCABULARY) - 1]
                if draw.random() < 0.3:
                    held.append((origin, tokens))
            texts.append(" ".join(tokens))
            family.append(origin)
            if len(texts) == PER_GROUP or number == documents - 1:
                writer.write_table(pa.table({"text": texts, "family": family}, schema=_schema()))
                texts, family = [], []


def permuted(source: Path, path: Path, copies: int = 10, seed: int = 0) -> None:
    """Write a corpus `copies` times, each time with the letters in another order: as much text, no new twins."""
    draw = np.random.default_rng(seed)
    plain = bytes(range(ord("a"), ord("z") + 1))
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(path, _schema(), compression="zstd") as to,
    ):
        for _ in range(copies):
            table = bytes.maketrans(plain, bytes(draw.permutation(list(plain)).tolist()))
            for batch in file.iter_batches(PER_GROUP):
                text = batch.column("text")
                moved = pa.py_buffer(text.buffers()[2].to_pybytes().translate(table))
                fresh = pa.Array.from_buffers(
                    pa.string(), len(text), [None, text.buffers()[1], moved], 0, text.offset
                )
                to.write_table(pa.table([fresh, batch.column("family")], schema=_schema()))


def one_word_apart(path: Path, documents: int = 200_000, seed: int = 0) -> None:
    """Write texts that are one text but for one word each: every pair is above Jaccard 0.85."""
    draw = np.random.default_rng(seed)
    base = vocabulary(draw)[:170]
    places = draw.integers(0, len(base), documents)
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for first in range(0, documents, PER_GROUP):
            texts = []
            for number in range(first, min(first + PER_GROUP, documents)):
                tokens = base.copy()
                tokens[places[number]] = f"n{number}"
                texts.append(" ".join(tokens))
            writer.write_table(pa.table({"text": texts, "family": [0] * len(texts)}, _schema()))


def one_long(path: Path, megabytes: int = 115, documents: int = 90_000, seed: int = 0) -> None:
    """Write ordinary texts and among them one of so many megabytes."""
    draw = np.random.default_rng(seed)
    words = vocabulary(draw)
    planted(path, documents, seed)
    ordinary = pq.read_table(path)
    parts = [
        " ".join(words[draw.integers(0, VOCABULARY, 150_000)]) for _ in range(megabytes * 64 // 67)
    ]
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        writer.write_table(ordinary)
        long = pa.table({"text": [" ".join(parts)], "family": [-1]}, schema=_schema())
        writer.write_table(long)


def copies(path: Path, documents: int = 2_000_000, seed: int = 0) -> None:
    """Write one text of about 106 bytes again and again."""
    draw = np.random.default_rng(seed)
    text = " ".join(vocabulary(draw)[:15])
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for first in range(0, documents, PER_GROUP):
            many = min(PER_GROUP, documents - first)
            writer.write_table(pa.table({"text": [text] * many, "family": [0] * many}, _schema()))


def _schema() -> pa.Schema:
    return pa.schema({"text": pa.string(), "family": pa.int64()})


HOSTILE = {"one word apart": one_word_apart, "one record of 115 MB": one_long, "copies": copies}
