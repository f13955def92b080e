from __future__ import annotations

import random

import polars as pl
import pytest

from assets.deduplication.repeated_spans import MATCH_SCHEMA
from assets.deduplication.shared_spans import shared_spans
from assets.deduplication.token_files import TokenFiles
from tests.oracles.spans import tokens


def find(guarded, others, k, **settings):
    files = TokenFiles()
    files.add([*guarded, *others])
    parts = list(shared_spans(files.close(), len(guarded), k, **settings))
    return pl.concat([pl.DataFrame(schema=MATCH_SCHEMA), *parts])


@pytest.mark.parametrize("bits", [(1 << 64) - 1, 0b11])
@pytest.mark.parametrize("seed", range(60))
def test_shared_spans_are_those_of_the_brute_force(seed, bits):
    draw = random.Random(seed)
    vocabulary = draw.choice([2, 6, 30])

    def some(most):
        return [
            " ".join(f"w{draw.randrange(vocabulary)}" for _ in range(draw.randrange(25)))
            for _ in range(draw.randrange(most))
        ]

    guarded, others = some(4), some(8)
    for k in (1, 2, 4):
        found = find(guarded, others, k, hash_bits=bits)
        known = {
            tuple(t[0] for t in tokens(text)[at : at + k])
            for text in guarded
            for at in range(len(tokens(text)) - k + 1)
        }
        every = [tokens(text) for text in [*guarded, *others]]
        covered = [set() for _ in every]
        for row in found.iter_rows(named=True):
            assert row["text"] >= len(guarded) > row["other"]
            mine, theirs = every[row["text"]], every[row["other"]]
            at = [t[1] for t in mine].index(row["start"])
            by = [t[1] for t in theirs].index(row["other_start"])
            size = row["tokens"]
            assert [t[0] for t in mine[at : at + size]] == [t[0] for t in theirs[by : by + size]]
            covered[row["text"]] |= set(range(at, at + size - k + 1))
        want = [
            {
                at
                for at in range(len(words) - k + 1)
                if tuple(t[0] for t in words[at : at + k]) in known
            }
            for words in every[len(guarded) :]
        ]
        assert covered[len(guarded) :] == want


def test_nothing_to_protect_or_compare():
    assert find([], ["a b c"], 1).is_empty()
    assert find(["a b c"], [], 1).is_empty()
    assert find(["", None], ["a b"], 1).is_empty()
