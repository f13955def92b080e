from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication import shingle_kernels, unit_kernels
from assets.deduplication.errors import ShingleSettingError
from assets.deduplication.minhash import permutations, sketch_texts
from assets.deduplication.shingles import (
    SHINGLE_HASH,
    char_shingle_hash64,
    parse_shingle,
    shingle_sets,
    shingle_texts,
    text_spans,
    word_shingle_hash64,
)
from tests.deduplication.corpora import TRICKY

HASH = {"word": word_shingle_hash64, "char": char_shingle_hash64}
TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="abAB zZ09_-.\n\u0130\u03a3\u03c3\u00e9\u4e2d\U0001f600", max_size=80),
    st.lists(
        st.sampled_from(["a", "Word", "longer_words1", "x" * 8, "y" * 23, "Ж"]), max_size=30
    ).map(" ".join),
)


def expected(text, setting):
    return sorted(
        HASH[parse_shingle(setting).kind](s.encode()) for s in shingle_texts(text, setting)
    )


@settings(max_examples=300)
@given(
    st.lists(TEXT, min_size=1, max_size=5),
    st.sampled_from(["word:1", "word:3", "word:5", "char:1", "char:5"]),
)
def test_kernels_follow_python_on_any_text(texts, setting):
    assert [s.tolist() for s in shingle_sets(texts, setting)] == [
        expected(t, setting) for t in texts
    ]


@pytest.mark.parametrize("setting", ["word:1", "word:5", "char:1", "char:5"])
def test_kernels_follow_python_on_tricky_texts(setting):
    texts = [*TRICKY, "\n".join(TRICKY), None]
    want = [expected(t, setting) for t in texts]
    assert [s.tolist() for s in shingle_sets(texts, setting)] == want
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary()):
        array = (
            pa.array([None if t is None else t.encode() for t in texts], pa.binary()).cast(kind)
            if (kind != pa.string_view())
            else pa.array(texts, kind)
        )
        sliced = pa.concat_arrays([array[:3], array])[3:]
        assert [s.tolist() for s in shingle_sets(sliced, setting)] == want
    chunked = pa.chunked_array([pa.array(texts[:5]), pa.array(texts[5:])])
    assert [s.tolist() for s in shingle_sets(chunked, setting)] == want


def test_every_code_point_has_pythons_lower_case_and_class():
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    text = " ".join(points)
    assert shingle_sets([text], "word:1")[0].tolist() == expected(text, "word:1")


def test_invalid_utf8_never_reads_past_the_text():
    broken = [
        b"ab\xff cd",
        b"\xf0\x9f",
        b"\xe4\xb8",
        b"\xc3",
        b"\x80\x80",
        b"\xf4\xff\xff\xff",
        b"ok",
    ]
    offsets = pa.array(
        [0, *[sum(map(len, broken[: i + 1])) for i in range(len(broken))]], pa.int32()
    )
    array = pa.Array.from_buffers(
        pa.string(), len(broken), [None, offsets.buffers()[1], pa.py_buffer(b"".join(broken))]
    )
    together = shingle_sets(array, "word:1")
    alone = [shingle_sets(array.slice(i, 1), "word:1")[0] for i in range(len(broken))]
    assert [s.tolist() for s in together] == [s.tolist() for s in alone]
    assert together[6].tolist() == [word_shingle_hash64(b"ok")]


def test_empty_columns():
    for empty in (pa.array([], pa.string()), pa.chunked_array([], pa.string()), []):
        assert shingle_sets(empty, "word:5") == []
    assert len(text_spans(pa.array([None, None], pa.string())).starts) == 2
    assert [len(s) for s in shingle_sets([None, "", "\U0001f600 !"], "word:5")] == [0, 0, 0]


def test_the_whole_of_a_long_text_counts():
    head = (
        "same words here " * 10_000
    )  # 160 kB; a hash of the first 100 kB alone would see no difference
    one, two = shingle_sets([head + "tail one", head + "tail two"], "word:5")
    assert one.tolist() != two.tolist()


def test_a_long_text_grows_the_table():
    text = " ".join(f"n{i}" for i in range(60_000))
    assert len(shingle_sets([text, "short text"], "word:5")[0]) == 59_996


@pytest.mark.parametrize("setting", ["word:1", "word:3", "word:5", "word:40", "char:1", "char:5"])
@pytest.mark.parametrize("gap", [" ", "\n\u00a0 ", "Ⱥ ", "ß，"])
def test_texts_of_many_pieces_are_cut_nowhere(setting, gap):
    """Texts are read in pieces of 32 kB: words, windows and white space go on from one to the next."""
    for offset in range(3):
        text = "x" * offset + gap.join(f"Wörd{i % 977}é{i % 31}" for i in range(9_000))
        assert len(text.encode()) > 3 * unit_kernels.PIECE
        assert shingle_sets([text], setting)[0].tolist() == expected(text, setting)


def test_a_token_of_many_pieces_is_one():
    text = "a" * 100_003 + " b " + "é" * 70_001
    assert shingle_sets([text], "word:1")[0].tolist() == expected(text, "word:1")
    assert shingle_sets([text + " " * 50_000], "word:5")[0].tolist() == expected(text, "word:5")


def test_a_text_of_many_parts_keeps_all_its_shingles():
    """Above `PART_BYTES` a text is gone through once for each part of its shingles."""
    words = [f"w{i}" for i in range(50_000)]
    text = " ".join(words * 50)
    assert len(text) > shingle_kernels.PART_BYTES
    rule, drawn = parse_shingle("word:2"), permutations(40)
    small = sketch_texts(text_spans([" ".join([*words, words[0]])]), rule, drawn)
    large = sketch_texts(text_spans([text]), rule, drawn)
    assert large.sizes.tolist() == small.sizes.tolist() == [50_000]
    assert large.digests.tolist() == small.digests.tolist()
    assert large.signatures.tolist() == small.signatures.tolist()
    assert len(shingle_sets([text], "word:2")[0]) == 50_000


@pytest.mark.parametrize("repeats", [0, 1, 30, 3000])
def test_repeated_shingles_count_once(repeats):
    text = " ".join([*(f"n{i}" for i in range(2_000)), *(f"n{i % 1999}" for i in range(repeats))])
    assert shingle_sets([text], "word:1")[0].tolist() == expected(text, "word:1")


def test_a_malformed_byte_ends_no_more_than_itself():
    array = pa.Array.from_buffers(
        pa.string(),
        1,
        [None, pa.array([0, 6], pa.int32()).buffers()[1], pa.py_buffer(b"a\xe4 b c")],
    )
    assert shingle_sets(array, "word:1")[0].tolist() == expected("a b c", "word:1")


@pytest.mark.parametrize(
    "wrong", ["word", "word:0", "word:101", "words:5", "char:-1", "word:5 ", ""]
)
def test_settings_are_refused(wrong):
    with pytest.raises(ShingleSettingError, match="word:5"):
        parse_shingle(wrong)


def test_the_name_of_the_hash_is_one():
    assert SHINGLE_HASH == shingle_kernels.HASH_NAME
