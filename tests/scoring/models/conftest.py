"""Small models with random weights, made here and stored as real ones are."""

from __future__ import annotations

import numpy as np
import pytest

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


def tokenizer(*, special):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts(0, [50] * 20), trainer)
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


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
    tokenizer(special=True).save_pretrained(place)
    return place


@pytest.fixture(scope="session")
def causal(tmp_path_factory):
    """Folder of a causal language model that takes 24 tokens, without a token before texts."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    place = tmp_path_factory.mktemp("models") / "causal"
    torch.manual_seed(2)
    config = GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, n_positions=24)
    GPT2LMHeadModel(config).save_pretrained(place)
    tokenizer(special=False).save_pretrained(place)
    return place
