"""Embedders by name, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import torch
from numpy.typing import NDArray

from assets.scoring.hashed import HashedEmbedder
from resources.recipe_curation import Encoder

HASHED = "hashed"


class Embedder(Protocol):
    """What makes a vector of a record."""

    @property
    def dim(self) -> int:
        """Dimensions of its space."""
        ...

    @property
    def embedder_id(self) -> str:
        """Name of its space: vectors of different ids are never compared."""
        ...

    def embed(
        self,
        text: pa.Array | None = None,
        features: pa.Array | None = None,
        feature_names: list[str] | None = None,
    ) -> NDArray[Any]:
        """Embed n records: float32, shape (n, dim), unit rows, zero where there is nothing to embed."""
        ...


def make_embedder(
    name: str,
    dimensions: int,
    *,
    encoder: Encoder | None = None,
    device: str | torch.device = "cpu",
    cache: Path | None = None,
    setting: str = "scoring.embedder",
    told: Callable[[str], None] = lambda _message: None,
) -> Embedder:
    """Make an embedder.

    Parameters
    ----------
    name
        ``hashed``, ``minilm``, a folder that holds an encoder, or an id on the Hugging Face hub.
    dimensions
        Of the hashed embedder; a trained one has its own.
    encoder
        Settings of a trained one.
    device
        Where a trained one works.
    cache
        Folder that keeps its tokens; None keeps none.
    setting
        What names it, for errors.
    told
        Called with what a person should know, for instance that memory ran out and batches are halved.

    Raises
    ------
    ScoringError
        If it can't be made; names the setting.
    """
    if name == HASHED:
        return HashedEmbedder(dimensions)
    from assets.scoring.models.text_encoder import TextEncoder

    wanted = encoder or Encoder()
    return TextEncoder(
        name,
        pooling=wanted.pooling,
        max_tokens=wanted.max_tokens,
        long_texts=wanted.long_texts,
        precision=wanted.precision,
        device=device,
        workers=wanted.tokenising_processes,
        cache=cache,
        batch_tokens=wanted.batch_tokens,
        setting=setting,
        told=told,
    )
