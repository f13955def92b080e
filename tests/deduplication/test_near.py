from __future__ import annotations

import random

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import second_pass as module
from assets.deduplication.bands import candidate_pairs
from assets.deduplication.errors import (
    ChangedTextError,
    KeyFormatError,
    PairBudgetError,
    SimilarityError,
)
from assets.deduplication.near import NearDuplicates
from assets.deduplication.set_store import SetsOnDisk
from assets.deduplication.shingles import parse_shingle
from assets.deduplication.text_spans import text_spans
from assets.deduplication.verify import node_blocks, rounds
from tests.deduplication.corpora import TRICKY, corpus, find, key_of
from tests.oracles.jaccard import near_pairs


@pytest.mark.parametrize("seed", range(40))
def test_exhaustive_equals_brute_force(seed):
    texts = corpus(seed)
    for similarity, shingle in ((0.5, "word:1"), (0.7, "word:2"), (0.6, "char:5"), (1.0, "word:5")):
        want = near_pairs(texts, similarity, shingle)
        assert find(texts, similarity, shingle, exhaustive=True) == want


def test_thousands_of_small_corpora_equal_brute_force():
    for seed in range(2000):
        texts = corpus(10_000 + seed, size=8, words=5, vocabulary=6)
        similarity, shingle = ((0.5, "word:1"), (0.6, "word:2"), (0.7, "char:3"))[seed % 3]
        want = near_pairs(texts, similarity, shingle)
        assert find(texts, similarity, shingle, exhaustive=True, workers=1) == want


def test_bands_find_only_true_pairs_and_nearly_all_of_them():
    wanted = missed = 0
    for seed in range(60):
        texts = corpus(1000 + seed)
        want, got = near_pairs(texts, 0.7, "word:2"), find(texts, 0.7, "word:2")
        assert got.items() <= want.items()
        wanted += len(want)
        missed += len(want) - len(got)
    assert wanted > 1000
    assert missed <= 0.005 * wanted + 3 * (0.005 * wanted) ** 0.5


def test_tricky_texts_equal_brute_force():
    texts = {key_of(i): t for i, t in enumerate([*TRICKY, *TRICKY, None])}
    for shingle in ("word:5", "char:5"):
        assert find(texts, 0.7, shingle, exhaustive=True) == near_pairs(texts, 0.7, shingle)


def test_unverified_candidates_would_be_wrong(monkeypatch):
    """With verification off, pairs below the threshold appear: the corpora can tell."""
    real = module.exact_jaccard
    monkeypatch.setattr(module, "exact_jaccard", lambda *a, **k: real(*a, **k).clip(0.7))
    texts = corpus(5, size=200)
    assert find(texts, 0.7, "word:2") != near_pairs(texts, 0.7, "word:2")


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(1, 70),
    st.integers(1, 4),
    st.sampled_from([64, 4096, 1 << 28]),
    st.sampled_from([0, 800, 5000, 1 << 28]),
)
def test_nothing_depends_on_order_batches_threads_or_memory(seed, batch, workers, memory, kept):
    texts = corpus(seed % 50)
    shuffled = list(texts)
    random.Random(seed).shuffle(shuffled)
    once = find(texts, 0.6, "word:2")
    again = find(
        texts,
        0.6,
        "word:2",
        batch=batch,
        order=shuffled,
        workers=workers,
        memory_bytes=memory,
        set_bytes=kept,
    )
    assert once == again == near_pairs(texts, 0.6, "word:2")


@pytest.mark.parametrize("memory", [64, 1 << 28])
@pytest.mark.parametrize(("kept", "reads"), [(0, 1), (1 << 28, 0)])
def test_texts_are_read_once_more_at_most_whatever_the_memory(memory, kept, reads):
    texts = corpus(3, size=200)
    near = NearDuplicates(0.6, "word:2", memory_bytes=memory, workers=3, set_bytes=kept)
    near.add([*texts.values()], [*texts])
    opened = []

    def read():
        opened.append(1)
        for key, text in texts.items():
            yield [key], [text]

    ended = []
    found = near.collapsed(read, on_stage=ended.append)
    assert len(opened) == reads
    assert ended == ["bands", "second pass", "verification"]
    assert found.pairs.height > 10
    involved = {*found.pairs["left"], *found.pairs["right"], *found.twins["key"]}
    assert found.keys().to_list() == sorted(involved)


def test_a_scratch_file_that_became_shorter_is_an_error():
    store = SetsOnDisk(parse_shingle("word:1"), np.array([2, 1]), np.array([0, 1]), None)
    assert store.write(text_spans(["a b", "c"]), np.array([0, 1])) == -1
    assert store.read(0, 1)[0].size == 4
    assert store.write(text_spans(["a b c"]), np.array([1])) == 0
    damaged = SetsOnDisk(parse_shingle("word:1"), np.array([2, 1]), np.array([0, 1]), None)
    damaged.write(text_spans(["a b"]), np.array([0]))
    with pytest.raises(OSError, match="shorter"):
        damaged.read(0, 1)


def test_many_copies_stay_linear_and_twins_say_so():
    copies = 200_000
    keys = [f"{i:032x}" for i in range(copies)] + [key_of("other")]
    texts = pa.array(
        ["one text that is here many times over"] * copies + ["one text that is here many times"]
    )
    near = NearDuplicates(0.5, "word:2")
    near.add(texts, keys)
    found = near.collapsed(lambda: iter([(keys, texts)]))
    assert found.candidates == 1
    assert found.pairs.height == 1
    assert found.twins.height == copies
    assert found.twins["representative"].unique().to_list() == ["0" * 32]
    with pytest.raises(PairBudgetError):
        found.expanded()


def test_large_families_lose_no_pair_up_to_the_budget():
    base = [f"w{i}" for i in range(200)]
    texts = {key_of(i): " ".join([*base, f"own{i}"]) for i in range(700)}
    assert len(find(texts, 0.9, "word:1")) == 700 * 699 // 2


def test_families_beyond_the_budget_are_compared_with_their_survivor():
    base = [f"w{i}" for i in range(60)]
    texts = {key_of(i): " ".join([*base, f"own{i}"]) for i in range(3000)}
    keys = list(texts)
    near = NearDuplicates(0.9, "word:1")
    near.add(list(texts.values()), keys)
    order = pl.DataFrame({"key": keys, "wish": [(i * 7919) % 3000 for i in range(3000)]})
    found = near.collapsed(lambda: iter([(keys, list(texts.values()))]), order)
    assert found.large_buckets > 0
    first = keys[0]  # 0 is the smallest wish
    partners = found.pairs.filter((pl.col("left") == first) | (pl.col("right") == first))
    assert partners.height >= 0.99 * 2999


def test_two_passes_must_agree():
    keys = [key_of(i) for i in range(3)]
    texts = ["a b c d e f g h", "a b c d e f g h i", "else"]

    def fresh():
        near = NearDuplicates(0.5, "word:2", set_bytes=0)
        near.add(texts, keys)
        return near

    with pytest.raises(ChangedTextError, match=keys[0]):
        fresh().pairs(lambda: iter([(keys, ["a b", *texts[1:]])]))
    with pytest.raises(ChangedTextError, match="did not come"):
        fresh().pairs(lambda: iter([(keys[1:], texts[1:])]))
    near = fresh()
    near.add(["another"], keys[:1])
    with pytest.raises(ChangedTextError, match="two different texts"):
        near.pairs(lambda: iter([]))


def test_a_key_may_come_again_with_its_text():
    texts = {key_of(i): t for i, t in enumerate(["a b c d e f g h", "a b c d e f g h i"])}
    keys = [*texts, *texts]
    near = NearDuplicates(0.5, "word:2")
    near.add([texts[k] for k in keys], keys)
    found = near.collapsed(lambda: iter([(keys, [texts[k] for k in keys])]))
    assert found.pairs.height == 1
    assert found.twins.is_empty()


def test_bad_arguments_are_named():
    with pytest.raises(SimilarityError):
        NearDuplicates(0.0, "word:5")
    with pytest.raises(KeyFormatError, match="short"):
        NearDuplicates(0.7, "word:5").add(["a"], ["short"])
    with pytest.raises(ValueError, match="one key a text"):
        NearDuplicates(0.7, "word:5").add(["a"], [])
    assert NearDuplicates(0.7, "word:5").pairs(lambda: iter([])).columns == [
        "left",
        "right",
        "similarity",
    ]


def test_a_long_record_works():
    long = " ".join(f"w{i}" for i in range(400_000)) + " " + "z" * 10_000_000
    texts = {key_of(0): long, key_of(1): long + " end", key_of(2): "z" * 10_000_000}
    got = find(texts, 0.9, "word:5")
    assert list(got) == [tuple(sorted([key_of(0), key_of(1)]))]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60), st.integers(8, 2000)
)
def test_rounds_settle_every_pair_once_within_the_budget(edges, budget):
    edges = sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})
    nodes = sorted({node for edge in edges for node in edge})
    left = np.array([nodes.index(e[0]) for e in edges], np.int64)
    right = np.array([nodes.index(e[1]) for e in edges], np.int64)
    sizes = np.array(nodes, np.int64) + 1
    block = node_blocks(left, right, sizes, budget_bytes=budget)
    assert set(block.tolist()) == set(range(int(block.max(initial=-1)) + 1))
    parts = list(rounds(left, right, block))
    every = np.concatenate([*(part for part, _, _ in parts), np.empty(0, np.int64)])
    assert sorted(every.tolist()) == list(range(len(edges)))
    for part, one, two in parts:
        assert (np.diff(part) > 0).all()
        held = np.isin(block, [one, two])
        assert held[left[part]].all()
        assert held[right[part]].all()
        assert sizes[held].sum() * 8 <= budget + 2 * 31 * 8


def test_candidates_are_the_pairs_that_share_a_band():
    keys = np.random.default_rng(0).integers(0, 40, (6, 150)).astype(np.uint32)
    sizes = np.ones(150, np.int64)
    found = candidate_pairs(keys, sizes, 0.5)
    want = {
        (i, j) for i in range(150) for j in range(i + 1, 150) if (keys[:, i] == keys[:, j]).any()
    }
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == want
