"""Which edges are coincidence."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from assets.containment.generic import (
    MIN_EVIDENCE_BITS,
    TEXT_LENGTH,
    evidence_bits,
    needs_evidence,
    shortened,
    trivial_reason,
)

GENERIC = {
    "1 to n": pa.array(range(1, 5001)),
    "even numbers": pa.array(range(0, 2000, 2)),
    "whole floats": pa.array([1.0, 2.0, 3.0]),
    "flags": pa.array([True, False, None]),
    "yes and no": pa.array(["yes", "no"]),
    "days of a month": pa.array([dt.date(2024, 1, day) for day in range(1, 32)]),
    "months": pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(days=7 * i) for i in range(50)]),
    "one small number": pa.array([7]),
    "nothing": pa.array([None, None], pa.string()),
    "labels": pa.array(["pos", "neg", "neu"] * 50).dictionary_encode(),
}
TELLING = {
    "names": pa.array([f"person of some name {i}" for i in range(20)]),
    "measurements": pa.array([0.1234567 * i for i in range(20)]),
    "sparse numbers": pa.array([i * i * 7919 % 1_000_003 for i in range(20)]),
    "one long text": pa.array(["the quick brown fox jumps over the lazy dog"]),
    "instants": pa.array([dt.datetime(2024, 1, 1, i, i * 7 % 60, i * 13 % 60) for i in range(24)]),
    "structs": pa.array([{"a": i, "b": "some text"} for i in range(10)]),
}


@pytest.mark.parametrize("case", GENERIC)
def test_generic_columns_carry_little(case):
    bits = evidence_bits(pa.table({"c": GENERIC[case]}), ["c"])
    assert 0 <= bits < MIN_EVIDENCE_BITS
    assert "coincidence" in trivial_reason(3, 1, bits)


@pytest.mark.parametrize("case", TELLING)
def test_telling_columns_stay(case):
    bits = evidence_bits(pa.table({"c": TELLING[case]}), ["c"])
    assert bits >= MIN_EVIDENCE_BITS
    assert trivial_reason(3, 1, bits) is None


def test_rules():
    assert needs_evidence(9, 30)
    assert needs_evidence(10**6, 2)
    assert not needs_evidence(10, 3)
    assert "no rows" in trivial_reason(0, 5, None)
    assert "no columns" in trivial_reason(5, 0, None)
    assert "min_rows=10" in trivial_reason(9, 5, None, min_rows=10)
    assert trivial_reason(10, 5, 0.0, min_rows=10) is None  # wide enough not to be asked
    assert trivial_reason(1, 1, None) is None  # values unknown: nothing is claimed


def test_only_the_start_of_a_long_text_is_looked_at():
    """What is kept of long texts is enough to decide, and takes no more room than short ones."""
    long = ["é" * 10**6, "é" * 10**6 + "other", None, "short"]
    columns = {"text": long, "large": pa.array(long, pa.large_string()), "number": [1, 2, 3, 4]}
    columns["bytes"] = [None if text is None else text.encode() for text in long]
    table = pa.table(columns)
    cut = shortened(table)
    assert cut.schema == table.schema
    assert cut["text"].to_pylist() == ["é" * TEXT_LENGTH, "é" * TEXT_LENGTH, None, "short"]
    assert cut["number"].equals(table["number"])
    assert cut.nbytes < 10_000
    for name in ("text", "large", "bytes"):
        assert evidence_bits(cut, [name]) >= MIN_EVIDENCE_BITS
    texts = pa.table({"text": ["yes", "no", "é" * (TEXT_LENGTH - 1)]})
    assert evidence_bits(shortened(texts), ["text"]) == evidence_bits(texts, ["text"])
