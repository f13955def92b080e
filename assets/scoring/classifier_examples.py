"""Read the examples of a quality classifier from files, and embed them in the records' space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assets.deduplication.file_texts import FileColumnError
from assets.deduplication.files import file_source
from assets.scoring.embedders import Embedder
from assets.scoring.protocol import ScoringError
from assets.scoring.quality_classifier import Examples
from assets.scoring.record_files import Columns, RecordFiles


def read_examples(
    good: Sequence[str | Path],
    bad: Sequence[str | Path],
    columns: Columns,
    embedder: Embedder | None,
    *,
    settings: tuple[str, str] = ("scoring.classifier.positives", "scoring.classifier.negatives"),
) -> Examples:
    """Read good and bad examples.

    Parameters
    ----------
    good, bad
        Files, Delta tables or folders.
    columns
        What their columns are.
    embedder
        Of the records; None where `columns` names stored vectors.
    settings
        What names the files, for errors.

    Raises
    ------
    ScoringError
        A side has no file, or a file can't be read; names the setting.
    """
    sides = [
        _vectors(files, replace(columns, id=None, label=None), embedder, setting)
        for files, setting in zip((good, bad), settings, strict=True)
    ]
    return Examples(*sides)


def _vectors(
    files: Sequence[str | Path], columns: Columns, embedder: Embedder | None, setting: str
) -> NDArray[np.float32]:
    if not files:
        message = f"{setting} names no file; quality_classifier needs good and bad examples"
        raise ScoringError(message)
    try:
        sources = [source for file in files for source in file_source(Path(file))]
        read = RecordFiles(sources, columns, embedder)
        found = [batch.embedding for batch, _ in read.batches() if batch.embedding is not None]
    except (FileColumnError, ScoringError) as error:
        message = f"{setting}: {error}"
        raise ScoringError(message) from error
    dim = embedder.dim if embedder is not None else 1
    return np.concatenate(found) if found else np.zeros((0, dim), dtype=np.float32)


def files_digest(files: Sequence[str | Path]) -> str:
    """Name files by their content: 32 hex digits.

    Raises
    ------
    ScoringError
        If one is not there.
    """
    found = hashlib.blake2b(digest_size=16)
    for name in files:
        place = Path(name)
        inner = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        for path in inner:
            try:
                with path.open("rb") as handle:
                    found.update(hashlib.file_digest(handle, "blake2b").digest())
            except OSError as error:
                message = f"scoring.classifier: {path} can't be read ({error.strerror})"
                raise ScoringError(message) from error
    return found.hexdigest()
