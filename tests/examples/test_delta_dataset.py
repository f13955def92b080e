"""The sampler shows each record `passes` times, evenly, by ids and seed; wrong ones fail."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest
import torch
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from examples.delta_dataset import (
    ByteDataset,
    PassesSampler,
    ReleaseError,
    feature_rows,
    open_release,
    text_rows,
)


def ids(count: int, salt: str = "") -> list[str]:
    return [
        hashlib.md5(f"{salt}{i}".encode(), usedforsecurity=False).hexdigest() for i in range(count)
    ]


PASSES = st.lists(st.integers(0, 5), min_size=1, max_size=60)
Sample = Callable[[list[str], np.ndarray, int], list[int]]


def sample(record_ids: list[str], passes: np.ndarray, seed: int) -> list[int]:
    return list(PassesSampler(record_ids, passes, seed=seed))


def check_counts(sampler: Sample, passes: np.ndarray) -> None:
    shown = Counter(sampler(ids(len(passes)), passes, 0))
    assert [shown[i] for i in range(len(passes))] == passes.tolist()


def check_spread(sampler: Sample, passes: np.ndarray) -> None:
    """The k-th of p showings lies in the k-th of p equal stretches, give or take some noise."""
    names = ids(len(passes))
    order = np.array(sampler(names, passes, 3))
    for i in np.flatnonzero(passes > 1):
        places = (np.flatnonzero(order == i) + 0.5) / len(order)
        for k, place in enumerate(places):
            assert k / passes[i] - 0.15 <= place <= (k + 1) / passes[i] + 0.15


def check_order_of_ids(sampler: Sample, passes: np.ndarray) -> None:
    names = ids(len(passes))
    back = np.arange(len(passes))[::-1]
    forward = [names[i] for i in sampler(names, passes, 1)]
    reversed_names = [names[i] for i in back]
    assert forward == [reversed_names[i] for i in sampler(reversed_names, passes[back], 1)]


def check_shuffled(sampler: Sample, passes: np.ndarray) -> None:
    names = ids(len(passes))
    first, second = sampler(names, passes, 1), sampler(names, passes, 2)
    assert first != second
    correlation = np.corrcoef(np.arange(len(first)), first)[0, 1]
    assert abs(correlation) < 0.3


CHECKS = (check_counts, check_spread, check_order_of_ids, check_shuffled)
EXAMPLE = np.array([1, 3, 2, 4, 0] * 79)  # 790 showings: no whole number of batches


@pytest.mark.parametrize("check", CHECKS)
def test_example_passes_every_check(check: Callable[[Sample, np.ndarray], None]) -> None:
    check(sample, EXAMPLE)


@given(PASSES, st.integers(0, 2**63))
@settings(max_examples=60)
def test_counts_equal_passes(passes: list[int], seed: int) -> None:
    counts = np.array(passes)
    sampler = PassesSampler(ids(len(passes)), counts, seed=seed)
    shown = Counter(sampler)
    assert [shown[i] for i in range(len(passes))] == passes
    assert len(sampler) == sum(passes)


@given(PASSES, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_does_not_depend_on_row_order(passes: list[int], random: object) -> None:
    names = ids(len(passes))
    order = list(range(len(passes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = [names[i] for i in sample(names, np.array(passes), 5)]
    moved = [names[order[i]] for i in sample([names[j] for j in order], np.array(passes)[order], 5)]
    assert straight == moved


@given(PASSES, st.integers(1, 5))
@settings(max_examples=40)
def test_ranks_show_the_epoch_once(passes: list[int], world: int) -> None:
    names, counts = ids(len(passes)), np.array(passes)
    ranks = [PassesSampler(names, counts, rank=rank, world_size=world) for rank in range(world)]
    assert Counter(i for rank in ranks for i in rank) == Counter(sample(names, counts, 0))
    assert [len(list(rank)) for rank in ranks] == [len(rank) for rank in ranks]


def test_epochs_differ_and_repeat() -> None:
    sampler = PassesSampler(ids(50), np.ones(50, dtype=np.int64))
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first != second
    sampler.set_epoch(0)
    assert list(sampler) == first


def _mutant_ignores_passes(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    return sample(names, np.ones_like(passes), seed)


def _mutant_drops_the_last_batch(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    order = sample(names, passes, seed)
    return order[: len(order) // 32 * 32]


def _mutant_repeats_in_a_row(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    once = sample(names, np.ones_like(passes), seed)
    return [i for i in once for _ in range(passes[i])]


def _mutant_epoch_after_epoch(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    # the first pass of all, then the second of those that have one: a record of two passes is never
    # seen late
    return [
        i
        for k in range(int(passes.max()))
        for i in sample(names, (passes > k).astype(np.int64), seed)
    ]


def _mutant_shuffles_positions(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    index = np.repeat(np.arange(len(passes)), passes)
    return np.random.default_rng(seed).permutation(index).tolist()


def _mutant_does_not_shuffle(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    return np.repeat(np.arange(len(passes)), passes).tolist()


def _mutant_ignores_the_seed(names: list[str], passes: np.ndarray, seed: int) -> list[int]:
    return sample(names, passes, 0)


MUTANTS = (
    (_mutant_ignores_passes, check_counts),
    (_mutant_drops_the_last_batch, check_counts),
    (_mutant_repeats_in_a_row, check_spread),
    (_mutant_epoch_after_epoch, check_spread),
    (_mutant_shuffles_positions, check_order_of_ids),
    (_mutant_does_not_shuffle, check_shuffled),
    (_mutant_ignores_the_seed, check_shuffled),
)


@pytest.mark.parametrize(("mutant", "check"), MUTANTS)
def test_mutants_are_rejected(mutant: Sample, check: Callable[[Sample, np.ndarray], None]) -> None:
    with pytest.raises(AssertionError):
        check(mutant, EXAMPLE)


@pytest.mark.parametrize(
    ("names", "passes", "match"),
    [
        (ids(3), np.array([1, 2]), "3 integers"),
        (ids(2), np.array([1, -1]), "integers >= 0"),
        (ids(2), np.array([1.0, 0.5]), "float64"),
        ([*ids(1), *ids(1)], np.array([1, 1]), "repeats"),
        (["zz" * 16], np.array([1]), "32 hex"),
        (["ab"], np.array([1]), "32 hex"),
    ],
)
def test_bad_input_is_named(names: list[str], passes: np.ndarray, match: str) -> None:
    with pytest.raises(ReleaseError, match=match):
        PassesSampler(names, passes)


def test_bad_rank_is_named() -> None:
    with pytest.raises(ReleaseError, match="ranks count from 0"):
        PassesSampler(ids(1), np.array([1]), rank=2, world_size=2)


def frame(count: int = 40) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "record_id": ids(count),
            "text": [f"text number {i} " * (1 + i) for i in range(count)],
            "passes": [i % 3 for i in range(count)],
            "weight": [0.5 + i for i in range(count)],
        }
    )


def _shown(workers: int) -> list[int]:
    rows = frame()
    sampler = PassesSampler(rows["record_id"].to_list(), rows["passes"].to_numpy(), seed=1)
    loader = DataLoader(
        ByteDataset(rows, length=64), batch_size=7, sampler=sampler, num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    batches: Iterator[dict[str, torch.Tensor]] = iter(loader)
    return [int(i) for batch in batches for i in batch["index"]]


def test_workers_neither_duplicate_nor_reorder() -> None:
    alone = _shown(0)
    assert Counter(alone) == Counter({i: i % 3 for i in range(40) if i % 3})
    assert _shown(2) == alone


def test_items_carry_bytes_and_weight() -> None:
    rows = frame(5)
    item = ByteDataset(rows, length=64)[0]
    text = rows["text"][0].encode()
    assert item["bytes"].shape == (65,)
    assert item["bytes"][0] == 256
    assert bytes(item["bytes"][1 : len(text) + 1].tolist()) == text
    assert (item["bytes"][len(text) + 1 :] == 257).all()
    assert item["weight"] == pytest.approx(0.5)
    long = ByteDataset(rows, length=8)[4]["bytes"][1:].tolist()
    assert bytes(long) in rows["text"][4].encode()


def test_rows_without_text_or_label_are_told_apart() -> None:
    rows = pl.DataFrame(
        {
            "record_id": ids(4),
            "text": ["a", None, "", None],
            "features": [None, [1.0, 2.0], None, [1.0]],
            "label": [None, "x", None, None],
            "passes": [1] * 4,
            "weight": [1.0] * 4,
            "table": ["t"] * 4,
        },
        schema_overrides={"features": pl.List(pl.Float64)},
    )
    assert text_rows(rows)["record_id"].to_list() == ids(4)[:1]
    assert feature_rows(rows)["label"].to_list() == ["x"]
    assert feature_rows(rows.drop("features")).is_empty()


def test_a_release_pins_versions(tmp_path: object) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    table = root / "publication" / "training_set"
    write_deltalake(table, pl.DataFrame({"record_id": ["a"]}))
    write_deltalake(table, pl.DataFrame({"record_id": ["b"]}), mode="append")
    versions = [json.dumps({"publication/training_set": version}) for version in (0, 1)]
    write_deltalake(
        root / "publication" / "releases", pl.DataFrame({"release": [1, 2], "versions": versions})
    )
    assert open_release(root).read("publication/training_set").height == 2
    assert open_release(root, 1).read("publication/training_set").height == 1
    with pytest.raises(ReleaseError, match=r"no release 3; it has \[1, 2\]"):
        open_release(root, 3)
    with pytest.raises(ReleaseError, match="no publication/holdout"):
        open_release(root).read("publication/holdout")
    with pytest.raises(ReleaseError, match="sluice run"):
        open_release(root / "nowhere")
