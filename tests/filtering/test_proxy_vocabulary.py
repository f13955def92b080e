"""A trained vocabulary of proxies: on training records only, the same for any order, losses in bits a byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.filtering.proxies import language_model as lm
from assets.filtering.proxies.data import ProxyData, ProxyError
from assets.filtering.proxies.design import design
from assets.filtering.proxies.run import execute
from assets.filtering.proxies.settings import MOST_PARAMETERS, ProxyLimits, ProxySettings
from assets.filtering.proxies.vocabulary import vocabulary_of
from assets.filtering.proxies.work import work_per_record
from tests.filtering.test_proxies import SETTINGS, shuffled, text_data

pytest.importorskip("tokenizers")

WIDTH = SETTINGS.bytes_per_record


def trained(data, size=400, **more):
    return vocabulary_of(data, size=size, bytes_per_record=WIDTH, **more)


def sized(made, base=SETTINGS):
    return replace(
        base,
        vocabulary=made.identity,
        vocabulary_size=made.size,
        tokens_per_byte=made.tokens_per_byte,
    )


@pytest.fixture(scope="module")
def made():
    return trained(text_data(600))


@given(st.binary(max_size=60))
@settings(max_examples=60)
def test_any_bytes_are_written_and_read_back(made, data):
    codes = made.encode([data])[0]
    assert made.decode(codes) == data
    assert all(0 <= code < made.size for code in codes)


def test_the_first_codes_are_the_bytes_and_words_are_learned(made):
    assert made.decode(range(256)) == bytes(range(256))
    assert len(made.encode([b" record"])[0]) < 4
    assert 256 < made.size <= 400
    assert 0.2 < made.tokens_per_byte < 0.9
    # merges never cross a word: " of data" is written as its words are
    apart = made.encode([b" of"])[0] + made.encode([b" data"])[0]
    assert made.encode([b" of data"])[0] == apart


def test_held_out_text_never_enters_and_order_never_matters(made):
    """Mutants: train on all records; on records in their order; on whole texts."""
    data = text_data(600)
    other = np.array(data.text.to_pylist(), dtype=object)
    other[data.held_out] = "zqx zqx zqx zqx zqx zqx"
    changed = replace(data, text=pa.array(other.tolist()))
    assert trained(changed) == made
    assert trained(shuffled(data)) == made
    padded = [text.encode()[:WIDTH].ljust(WIDTH).decode() for text in other]
    tails = [text + " qqq qqq" for text in padded]
    alone, longer = (trained(replace(data, text=pa.array(part))) for part in (padded, tails))
    assert alone == longer
    fewer = ProxyData(
        *[getattr(data, n)[:300] if getattr(data, n) is not None else None for n in FIELDS]
    )
    assert trained(fewer).identity != made.identity
    assert trained(data, size=300).identity != made.identity


FIELDS = ("ids", "content_ids", "text", "embedding", "label", "group", "pool", "held_out")


def test_it_is_kept_by_content(made, tmp_path, monkeypatch):
    data = text_data(600)
    assert trained(data, folder=tmp_path) == made
    assert [file.stem for file in tmp_path.iterdir()] == [made.identity]
    monkeypatch.setattr("assets.filtering.proxies.vocabulary._train", None)
    assert trained(data, folder=tmp_path) == made


def test_losses_are_bits_a_byte_so_vocabularies_compare(made):
    """Mutants: bits a token; bytes of the padding; loss of the first token left out."""
    data, rows = text_data(600), np.arange(64)
    settings = replace(sized(made), learning_rate=1e-9)
    batch = lm.encode(data.text, rows, settings, made)
    plain = lm.encode(data.text, rows, SETTINGS)
    assert (batch.bytes == plain.lengths).all()
    assert (batch.lengths < plain.lengths).all()
    untrained = lm.train_and_measure(batch, np.array([0]), batch, settings=settings, seed=0)
    # an untrained model spends about log2(codes) bits on a token
    expected = np.log2(made.size) * batch.lengths.sum() / batch.bytes.sum() / 8
    assert untrained.value == pytest.approx(expected, rel=0.1)
    assert untrained.bytes_seen == batch.bytes[0]
    assert untrained.flops == batch.lengths[0] * settings.flops_per_token
    found = {}
    order = np.tile(np.arange(200), 4)
    for name, one in (("bytes", (SETTINGS, None)), ("bpe", (sized(made), made))):
        train = lm.encode(data.text, data.train_rows(pool=0)[:200], *one)
        held = lm.encode(data.text, np.flatnonzero(data.held_out), *one)
        found[name] = lm.train_and_measure(train, order, held, settings=one[0], seed=0).value
    assert 0.05 < found["bpe"] < 0.7
    assert 0.05 < found["bytes"] < 0.7


def test_runs_know_their_vocabulary_and_the_model_stays_small(made):
    data = replace(text_data(600), vocabulary=made)
    limits = ProxyLimits(seconds=3, flops_per_second=2e9, largest=100)
    specs = design(data, limits=limits, settings=sized(made))
    plain = design(text_data(600), limits=limits, settings=SETTINGS)
    assert not {s.run_id for s in specs} & {s.run_id for s in plain}
    row = execute(specs[0], data, settings=sized(made))[0]
    assert row == execute(specs[0], data, settings=sized(made))[0]
    assert row["metric_name"] == "bits_per_byte/8"
    assert row["model_size"] == sized(made).parameters
    usual = ProxySettings()
    assert replace(usual, vocabulary_size=usual.largest_vocabulary).parameters <= MOST_PARAMETERS
    over = replace(usual, vocabulary_size=usual.largest_vocabulary + 1)
    assert over.parameters > MOST_PARAMETERS
    ratio = work_per_record(data, sized(made)) / (WIDTH * sized(made).flops_per_token)
    assert ratio == pytest.approx(made.tokens_per_byte)
    # bytes are named as before: runs that were kept stay known
    assert "vocabulary" not in usual.as_dict()


def test_what_cannot_be_trained_is_refused(made):
    data = text_data(60)
    with pytest.raises(ProxyError, match="257 or more"):
        trained(data, size=256)
    with pytest.raises(ProxyError, match="none"):
        trained(replace(data, text=None))
    assert made.size <= 400
