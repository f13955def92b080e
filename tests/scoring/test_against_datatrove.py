"""Verdicts of the quality rules against datatrove's filters, one rule at a time, on the same documents and words.

datatrove takes its words from spaCy. Here it is given ours, so that what is compared is the rule; the last tests
leave it its own. Where a rule is meant otherwise, the test shows that the difference is that one and no other.
"""

from __future__ import annotations

import re
from collections import Counter
from importlib import import_module
from pydoc_data.topics import topics

import numpy as np
import pyarrow as pa
import pytest

from assets.scoring.heuristics import RULES, verdicts
from assets.scoring.tokens import ENDS_LINE, character_table

pytestmark = [pytest.mark.compare, pytest.mark.filterwarnings("ignore")]
BOUNDS = {rule.name: rule for rule in RULES}
GRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
OFF = {
    "gopher_quality": dict.fromkeys(
        [
            *("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length"),
            *("max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio"),
            *("max_non_alpha_words_ratio", "min_stop_words"),
        ]
    ),
    "gopher_repetition": {
        **dict.fromkeys(
            ["dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac"]
        ),
        "top_n_grams": (),
        "dup_n_grams": (),
    },
    "c4": {
        **dict.fromkeys(["min_num_sentences", "min_words_per_line", "max_word_length"], -1),
        **dict.fromkeys(["filter_no_terminal_punct", "remove_citations", "filter_policy"], False),
        **dict.fromkeys(["filter_lorem_ipsum", "filter_javascript", "filter_curly_bracket"], False),
    },
    "fineweb_quality": {
        "line_punct_thr": 0,
        "short_line_thr": 1,
        "char_duplicates_ratio": 1,
        "new_line_ratio": 1e9,
    },
}
# our rule: the filter, and the settings of that one rule
ONE = {
    "symbols": ("gopher_quality", {"max_symbol_word_ratio": 0.1}),
    "gopher_words": ("gopher_quality", {"min_doc_words": 50, "max_doc_words": 100_000}),
    "gopher_word_length": ("gopher_quality", {"min_avg_word_length": 3, "max_avg_word_length": 10}),
    "gopher_bullet_lines": ("gopher_quality", {"max_bullet_lines_ratio": 0.9}),
    "gopher_ellipsis_lines": ("gopher_quality", {"max_ellipsis_lines_ratio": 0.3}),
    "gopher_alphabetic_words": ("gopher_quality", {"max_non_alpha_words_ratio": 0.8}),
    "gopher_stop_words": ("gopher_quality", {"min_stop_words": 2}),
    "gopher_duplicate_lines": ("gopher_repetition", {"dup_line_frac": 0.3}),
    "gopher_duplicate_line_characters": ("gopher_repetition", {"dup_line_char_frac": 0.2}),
    "gopher_duplicate_paragraphs": ("gopher_repetition", {"dup_para_frac": 0.3}),
    "gopher_duplicate_paragraph_characters": ("gopher_repetition", {"dup_para_char_frac": 0.2}),
    "gopher_top_2gram": ("gopher_repetition", {"top_n_grams": ((2, 0.20),)}),
    "gopher_top_3gram": ("gopher_repetition", {"top_n_grams": ((3, 0.18),)}),
    "gopher_top_4gram": ("gopher_repetition", {"top_n_grams": ((4, 0.16),)}),
    **{
        f"gopher_duplicate_{n}grams": ("gopher_repetition", {"dup_n_grams": ((n, share),)})
        for n, share in GRAMS.items()
    },
    "c4_sentences": ("c4", {"min_num_sentences": 5}),
    "c4_braces": ("c4", {"filter_curly_bracket": True}),
    "c4_lorem_ipsum": ("c4", {"filter_lorem_ipsum": True}),
    "fineweb_punctuated_lines": ("fineweb_quality", {"line_punct_thr": 0.12}),
    "fineweb_short_lines": ("fineweb_quality", {"short_line_thr": 0.67}),
    "fineweb_duplicate_line_characters": ("fineweb_quality", {"char_duplicates_ratio": 0.01}),
    "fineweb_newlines": ("fineweb_quality", {"new_line_ratio": 0.3}),
}
CLASSES = {
    "gopher_quality": "GopherQualityFilter",
    "gopher_repetition": "GopherRepetitionFilter",
    "c4": "C4QualityFilter",
    "fineweb_quality": "FineWebQualityFilter",
}
# these are meant otherwise, and have tests of their own
APART = {
    *("gopher_bullet_lines", "gopher_alphabetic_words", "gopher_stop_words", "c4_sentences"),
    *("gopher_top_2gram", "gopher_top_3gram", "gopher_top_4gram", "symbols"),
    *("gopher_duplicate_line_characters", "gopher_duplicate_paragraph_characters"),
}


def words(text, language=None):
    return re.findall(r"\w+|[^\w\s]+", text)


def module(kind):
    name = "c4_filters" if kind == "c4" else f"{kind}_filter"
    pytest.importorskip("datatrove.pipeline.filters", exc_type=ImportError)
    return import_module(f"datatrove.pipeline.filters.{name}")


def theirs(rule, texts, **more):
    kind, settings = ONE[rule]
    judge = getattr(module(kind), CLASSES[kind])(**{**OFF[kind], **settings, **more})
    document = import_module("datatrove.data").Document
    return [judge.filter(document(text=text, id="0")) is True for text in texts]


def ours(rule, texts):
    return verdicts(pa.array(texts), pa.array(["en"] * len(texts))).rules[rule].to_list()


@pytest.fixture
def own_words(monkeypatch):
    for kind in ("gopher_quality", "gopher_repetition", "fineweb_quality"):
        monkeypatch.setattr(module(kind), "split_into_words", words)


@pytest.fixture(scope="module")
def documents():
    """Real English prose, its paragraphs, and paragraphs made bad; lines are bare of outer spaces."""
    whole = [
        re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in text.split("\n"))).strip()
        for _, text in sorted(topics.items())
    ]
    parts = [p for text in whole for p in text.split("\n\n") if len(p) > 120 and words(p)]
    rng = np.random.default_rng(0)
    parts = [parts[i] for i in rng.permutation(len(parts))[:300]]
    return whole + parts + [spoiled(p, rng).strip() for p in parts]


def spoiled(text, rng):
    lines, times = text.split("\n"), int(rng.integers(1, 12))
    return [
        "\n".join(lines + [lines[0]] * times),
        "\n\n".join([text] * (times % 3 + 2)),
        "\n".join("- " + line if rng.random() < 0.93 else line for line in lines),
        "\n".join(line + "..." if rng.random() < 0.3 else line for line in lines),
        " # ".join(text.split(" ")[: 4 * times]),
        (" ".join(text.split()[:8]) + " ") * times + text,
        text + " {lorem ipsum}" if times > 6 else text.replace(".", ","),
        "\n".join(text.split()) if times > 6 else " ".join(text.split()),
    ][int(rng.integers(8))]


def differing(rule, texts, **more):
    pairs = zip(ours(rule, texts), theirs(rule, texts, **more), strict=True)
    return [(i, own) for i, (own, other) in enumerate(pairs) if own != other]


@pytest.mark.parametrize("rule", sorted(set(ONE) - APART))
def test_verdicts_are_equal(rule, documents, own_words):
    more = {}
    if rule == "fineweb_punctuated_lines":
        # by default it lacks the quotes that C4 has
        ends = np.flatnonzero(character_table() & ENDS_LINE)
        more["stop_chars"] = tuple(map(chr, ends))
    assert differing(rule, documents, **more) == []
    assert 0 < sum(ours(rule, documents)) < len(documents)  # both verdicts occur


def test_symbols_are_one_rule_there_and_two_here(documents, own_words):
    found = verdicts(pa.array(documents), pa.array(["en"] * len(documents))).rules
    both = (found["gopher_hash_signs"] & found["gopher_ellipses"]).to_list()
    assert both == theirs("symbols", documents)
    assert 0 < sum(both) < len(documents)


@pytest.mark.parametrize(("what", "pattern"), [("line", r"\n+"), ("paragraph", r"\n{2,}")])
def test_duplicate_characters_differ_by_newlines_which_are_none_of_a_line(what, pattern, documents):
    rule = f"gopher_duplicate_{what}_characters"
    find = module("gopher_repetition").find_duplicates
    assert all(not own for _, own in differing(rule, documents))
    want = []
    for text in documents:
        repeated = find([p.replace("\n", "") for p in re.split(pattern, text)])[1]
        want.append(repeated / len(text.replace("\n", "")) <= 0.2)
    assert ours(rule, documents) == want
    assert 0 < sum(want) < len(documents)


def test_bullets_differ_by_blank_lines_and_by_the_marks_that_count(documents):
    texts = [re.sub(r"\n+", "\n", re.sub(r"(?m)^[*–·‣●○◦]", "", t)) for t in documents]
    assert differing("gopher_bullet_lines", texts) == []
    assert all(not own for _, own in differing("gopher_bullet_lines", documents))


def test_alphabetic_words_differ_by_punctuation_which_counts_as_words_there(
    documents, own_words, monkeypatch
):
    assert all(own for _, own in differing("gopher_alphabetic_words", documents))
    table = character_table()

    def plain(text, language=None):
        return [w for w in words(text) if not all(table[ord(c)] & 16 for c in w)]

    monkeypatch.setattr(module("gopher_quality"), "split_into_words", plain)
    assert differing("gopher_alphabetic_words", documents) == []
    assert 0 < sum(ours("gopher_alphabetic_words", documents)) < len(documents)


def test_stop_words_differ_by_capitals(documents, own_words):
    assert all(own for _, own in differing("gopher_stop_words", documents))
    assert differing("gopher_stop_words", [text.lower() for text in documents]) == []


@pytest.mark.parametrize("n", [2, 3, 4])
def test_top_ngrams_differ_where_none_occurs_twice(n, documents, own_words):
    found = differing(f"gopher_top_{n}gram", documents)
    for i, own in found:
        tokens = words(documents[i])
        counts = Counter(zip(*(tokens[j:] for j in range(n)), strict=False))
        assert own, documents[i]
        assert max(counts.values()) == 1
    assert len(found) < 0.1 * len(documents)
    assert 0 < sum(ours(f"gopher_top_{n}gram", documents)) < len(documents)


def test_sentences_of_one_line_are_counted_alike():
    pytest.importorskip("spacy", exc_type=ImportError)
    rng = np.random.default_rng(1)
    texts = [
        " ".join(
            "Some plain words, a line"[int(rng.integers(12)) :].strip()
            + ".!?"[int(rng.integers(3))]
            for _ in range(count)
        )
        for count in range(1, 10)
        for _ in range(10)
    ]
    assert differing("c4_sentences", texts) == []
    assert sum(ours("c4_sentences", texts)) == 50


def test_with_its_own_words_most_verdicts_are_equal(documents):
    pytest.importorskip("spacy", exc_type=ImportError)
    some = documents[len(topics) :: 4]
    by_words = [r for r in set(ONE) - APART if "gram" in r or "word" in r]
    shares = {r: 1 - len(differing(r, some)) / len(some) for r in by_words}
    assert min(shares.values()) > 0.95, shares
    assert np.mean(list(shares.values())) > 0.97, shares
