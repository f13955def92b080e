"""Small models with random weights, made here and stored as real ones are."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scoring.tiny_models import causal_model, tokenizer

pytest.importorskip("transformers")

WORDS = [
    "river",
    "stone",
    "light",
    "paper",
    "market",
    "engine",
    "doctor",
    "window",
    "garden",
    "silver",
    "of",
    "the",
    "a",
    "and",
]


def texts(seed, lengths):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, int(n))) for n in lengths]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """Folder of an encoder with 32 dimensions that takes 20 tokens."""
    import torch
    from transformers import BertConfig, BertModel

    place = tmp_path_factory.mktemp("models") / "encoder"
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=20,
    )  # fmt: skip
    BertModel(config).save_pretrained(place)
    tokenizer(texts(0, [50] * 20), special=True).save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def causal(tmp_path_factory):
    """Folder of a causal language model that takes 24 tokens, without a token before texts."""
    place = tmp_path_factory.mktemp("models") / "causal"
    tokens = tokenizer(texts(0, [50] * 20), special=False)
    causal_model(place, tokens=tokens, seed=2, n_embd=32, n_layer=2, n_head=4, n_positions=24)
    return place
