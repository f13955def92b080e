"""Surprisal under a causal model against one token at a time through transformers itself."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.scoring.models.causal_lm import MOST_TOKENS, CausalModel, half_overlapping
from assets.scoring.models.lm_perplexity import LmPerplexity
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from tests.scoring.models.conftest import texts

TEXTS = [*texts(5, [1, 2, 5, 11, 14, 40, 75]), "", "a"]


def oracle(folder, text, body=24):
    """Every token from the window that first holds it, one window at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    ids = AutoTokenizer.from_pretrained(str(folder))(text, add_special_tokens=False)["input_ids"]
    total, count = 0.0, 0
    for at in range(1, len(ids)):
        start = 0
        while at >= start + body:
            start += body // 2
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids[start : at + 1]])).logits[0]
        total -= torch.log_softmax(logits.double(), dim=-1)[-2, ids[at]].item()
        count += 1
    return total, count


@pytest.mark.parametrize("size", [24, 100, 4096])
def test_each_token_is_counted_once_from_half_a_window_or_more(causal, size):
    made = CausalModel(str(causal), precision="float32", batch_tokens=size)
    found = made.surprisal(TEXTS)
    for i, text in enumerate(TEXTS):
        total, count = oracle(causal, text)
        assert found.tokens[i] == count
        assert found.nats[i] == pytest.approx(total, rel=1e-4, abs=1e-6)


def test_scores_reasons_and_bits(causal):
    scorer = LmPerplexity(str(causal), precision="float32")
    ids = [str(i) for i in range(len(TEXTS) + 1)]
    batch = ScoreBatch(ids, text=pa.array([*TEXTS, None]))
    column = scorer.score(batch, fit(scorer, [batch], ScoreContext()))
    total, count = oracle(causal, TEXTS[3])
    assert column.values[3] == pytest.approx(np.exp(total / count), rel=1e-4)
    bits = total / np.log(2) / len(TEXTS[3].encode())
    assert column.extras["bits_per_byte"][3] == pytest.approx(bits, rel=1e-4)
    told = dict(zip([*TEXTS, None], column.reasons.to_list(), strict=True))
    assert told[""] == told[None] == "no text"
    assert told["a"] == "no token to predict"
    assert np.isnan(column.values[[i for i, r in enumerate(column.reasons) if r]]).all()
    shuffled = batch.take(np.arange(len(ids))[::-1])
    again = scorer.score(shuffled, fit(scorer, [batch], ScoreContext()))
    assert again.values[::-1] == pytest.approx(column.values, rel=1e-5, nan_ok=True)


def test_a_trained_model_finds_its_own_text_less_surprising(tmp_path, causal):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shutil.copytree(causal, tmp_path / "trained")
    model, tokens = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    torch.manual_seed(0)
    ids = tokens(" ".join(["river stone light"] * 8), return_tensors="pt")["input_ids"][:, :24]
    step = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(30):
        loss = model(input_ids=ids, labels=ids).loss
        step.zero_grad()
        loss.backward()
        step.step()
    model.save_pretrained(folder)
    scorer = LmPerplexity(str(folder))
    batch = ScoreBatch(["own", "other"], text=pa.array(["river stone light", "garden the doctor"]))
    column = scorer.score(batch, fit(scorer, [batch], ScoreContext()))
    assert column.values[0] < 8 < 50 < column.values[1]
    assert column.direction == "low"


def test_another_model_under_the_same_name_is_noticed(causal, tmp_path):
    folder = shutil.copytree(causal, tmp_path / "model")
    scorer = LmPerplexity(str(folder))
    batch = ScoreBatch(pl.Series("id", ["a"]), text=pa.array(["river stone"]))
    state = fit(scorer, [batch], ScoreContext())
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n")
    other = LmPerplexity(str(folder), max_tokens=20)  # a scorer of a later process: nothing is held
    with pytest.raises(ScoringError, match="is not the model that earlier scores were made with"):
        other.score(batch, state)


@pytest.mark.parametrize("name", ["", "/nowhere/at/all"])
def test_no_model_is_an_error_that_names_the_setting(name):
    with pytest.raises(ScoringError, match=r"lm_perplexity.*(language_model|there is no folder)"):
        fit(LmPerplexity(name), [], ScoreContext())


def test_an_encoder_is_no_language_model(encoder):
    scorer = LmPerplexity(str(encoder))
    batch = ScoreBatch(["a"], text=pa.array(["river stone"]))
    with pytest.raises(ScoringError, match=r"is not a causal language model|can.t be loaded"):
        scorer.score(batch, fit(scorer, [batch], ScoreContext()))


@settings(max_examples=200)
@given(sizes=st.lists(st.integers(0, 70), max_size=8), body=st.integers(2, 20))
def test_windows_overlap_by_half_and_count_each_token_once(sizes, body):
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    windows, counted = half_overlapping(offsets, body)
    for row, size in enumerate(sizes):
        own = np.flatnonzero(windows.text == row)
        assert counted[own].sum() == size
        assert (windows.size[own] <= body).all()
        ends = windows.start[own] + windows.size[own]
        for number, window in enumerate(own):
            fresh = ends[number] - counted[window]
            assert fresh == (offsets[row] if number == 0 else ends[number - 1])
            if number:  # what is counted has half a window before it
                assert fresh - windows.start[window] >= body // 2
    assert windows.cut == 0
    assert half_overlapping(np.array([0, MOST_TOKENS + 1]), 512)[0].cut == 1
