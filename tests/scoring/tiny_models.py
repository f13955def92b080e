"""Small models with random weights, made here and stored as real ones are."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from assets.scoring.hashed import HashedEmbedder
from assets.scoring.quality_classifier import Examples
from tests.scoring.samples import GLUE, TOPICS, document


def tokenizer(corpus, *, special, vocabulary=320):
    """A tokenizer of byte pairs, learned from texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=names,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(corpus, trainer)
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


def causal_model(place, *, tokens, seed, **size):
    """Store a causal language model, and return it with its tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    made = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokens), **size))
    made.save_pretrained(place)
    tokens.save_pretrained(place)
    return made


def topic_texts(topic, count, seed=11):
    rng = np.random.default_rng(seed)
    return [document(rng, TOPICS[topic]) for _ in range(count)]


def cooking_model(place):
    """Folder of a causal language model that has read of cooking only."""
    pytest.importorskip("transformers")
    import torch

    words = [" ".join([*GLUE, *(w for topic in TOPICS.values() for w in topic)])] * 20
    tokens = tokenizer(words, special=False, vocabulary=640)
    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 128}
    made = causal_model(place, tokens=tokens, seed=2, **size)
    read = " ".join(topic_texts("cooking", 12))
    ids = torch.tensor(tokens(read)["input_ids"])
    ids = ids[: len(ids) // 64 * 64].reshape(-1, 64)
    step = torch.optim.Adam(made.parameters(), 0.05)
    for _ in range(15):
        loss = made(input_ids=ids, labels=ids).loss
        step.zero_grad()
        loss.backward()
        step.step()
    made.save_pretrained(place)
    return place


@cache
def examples(dim):
    """Examples for the classifier: cooking is good in the space of the texts' 64 dimensions, noise in all others."""
    if dim != 64:
        rng = np.random.default_rng(dim)
        return Examples(*rng.normal(size=(2, 60, dim)).astype(np.float32))
    good = topic_texts("cooking", 40)
    bad = topic_texts("law", 20) + topic_texts("sailing", 20)
    return Examples(*(HashedEmbedder(64).embed(texts) for texts in (good, bad)))
