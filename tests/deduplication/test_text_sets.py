"""Texts below, at and above the length that has a way of its own give the same sets and sketches."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.deduplication import text_set_kernels
from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.shingles import exact_sets, parse_shingle
from assets.deduplication.text_spans import text_spans
from tests.deduplication.test_shingles import expected


@pytest.mark.parametrize("beyond", [-9, -2, -1, 0, 1, 2, 9, 5000])
@pytest.mark.parametrize("word", ["a ", "ab ", "abc-", "é ", "İ "])
def test_the_way_of_short_texts_ends_without_a_seam(word, beyond):
    size = text_set_kernels.SHORT + beyond
    varied = "".join(f"{word}{n} " for n in range(size // 4))
    text = varied.encode()[:size].decode(errors="ignore")
    text += "x" * (size - len(text.encode()))
    same = (word * size).encode()[:size].decode(errors="ignore")
    rule = parse_shingle("word:5")
    spans = text_spans([text, "a b c", same, ""])
    got = sketch_texts(spans, rule, permutations(40), sets=np.empty(1 << 16, np.uint64))
    for row, each in enumerate([text, "a b c", same, ""]):
        wanted = expected(each, "word:5")
        begin = got.begins[row]
        assert got.sizes[row] == len(wanted)
        assert sorted(got.flat[begin : begin + len(wanted)].tolist()) == wanted
    flat, offsets = exact_sets(spans, rule, got.sizes)[:2]
    first = flat[offsets[0] : offsets[0] + got.sizes[0]]
    assert sorted(first.tolist()) == expected(text, "word:5")


@given(st.integers(1, 130), st.lists(st.text("ab ", max_size=40), min_size=1, max_size=4))
def test_minima_are_right_whatever_the_number_of_hashes(hashes, texts):
    """Lanes are taken by twos and one is left over or not: no number of hashes may fall between."""
    drawn = permutations(hashes)
    got = sketch_texts(text_spans(texts), parse_shingle("word:2"), drawn)
    for text, row in zip(texts, got.signatures, strict=True):
        low = np.array(expected(text, "word:2"), np.uint64).astype(np.uint32)
        mixed = np.array([_mixed(int(value)) for value in low], np.uint32)[:, None]
        wanted = (mixed * drawn.factors + drawn.addends).min(axis=0, initial=2**32 - 1)
        assert row.tolist() == wanted.tolist()


def _mixed(value: int) -> int:
    value ^= value >> 16
    value = value * 0x85EBCA6B & 0xFFFFFFFF
    value ^= value >> 13
    value = value * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ (value >> 16)


def test_the_command_does_not_load_pandas(tmp_path):
    """Arrow loads it for a scalar or an array made of Python values: a fifth of the whole time of a small file."""
    file = tmp_path / "texts.parquet"
    pl.DataFrame({"text": ["a b c d e f", "a b c d e f g", "other"]}).write_parquet(file)
    code = (
        "import sys; from orchestration.cli import main; "
        f"sys.argv = ['sluice', 'duplicates', {str(file)!r}, '--text', 'text', '--similarity', '0.5', "
        f"'--out', {str(tmp_path / 'out.parquet')!r}]; main(standalone_mode=False); "
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
