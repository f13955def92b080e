from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.scoring.heuristics import RULES, Heuristics, Repetition, verdicts
from assets.scoring.language import FUNCTION_WORDS, english
from assets.scoring.protocol import ScoreBatch, ScorerState
from assets.scoring.text_metrics import METRICS, text_metrics
from tests.oracles.text_rules import measure

STATE = ScorerState("heuristics", 2)
GOOD = (
    "The harbour was quiet that morning, and the boats had not yet left. People walked along the "
    "wall with their bread and talked about the weather. Nobody thought that the storm would be "
    "back so soon. By noon, however, the wind had turned to the north. The fishermen tied their "
    "boats to the quay and went home to wait. It was the last calm day of the year."
)


def score(scorer, text, language=None):
    ids = [str(i) for i in range(len(text))]
    group = None if language is None else pa.array(language)
    return scorer.score(ScoreBatch(ids=ids, text=pa.array(text, pa.string()), group=group), STATE)


def passed(text, rule, language="en"):
    return verdicts(pa.array([text]), pa.array([language])).rules[rule][0]


lines = st.text(st.sampled_from("ab .!…#-{\n\r猫。é\"'"), max_size=60)


@settings(max_examples=150)  # the first call compiles
@example([".. ."])
@given(st.lists(lines, min_size=1, max_size=4))
def test_metrics_equal_the_slow_oracle(texts):
    got = text_metrics(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        want = measure(text)
        for name in METRICS:
            assert got[name][row] == pytest.approx(want[name], abs=1e-12), (name, text)


def test_metrics_equal_the_oracle_on_repetitive_prose():
    rng = np.random.default_rng(0)
    words = ["salt", "and", "pepper", "go", "with", "butter", "on", "bread", "every", "day"]
    texts = [
        "\n".join(
            " ".join(words[int(i)] for i in rng.integers(10, size=rng.integers(1, 30)) % span)
            for _ in range(rng.integers(1, 8))
        )
        for span in (2, 3, 5, 10)
        for _ in range(5)
    ]
    texts.append((GOOD + "\n\n") * 3)
    got = text_metrics(pa.array(texts))
    for row, text in enumerate(texts):
        want = measure(text)
        for name in METRICS:
            assert got[name][row] == pytest.approx(want[name], abs=1e-12), (name, text)


def test_good_prose_passes_all():
    found = verdicts(pa.array([GOOD]))
    failed = [name for name in found.rules.columns if found.rules[name][0] is not True]
    assert failed == []
    assert score(Heuristics(), [GOOD]).values[0] == 1.0


@pytest.mark.parametrize(
    ("rule", "below", "at"),
    [
        ("gopher_words", "word " * 49, "word " * 50),
        ("gopher_stop_words", "the " * 60, "the and " * 30),
        ("gopher_word_length", "ab " * 60, "abc " * 60),
        ("c4_sentences", "Go on. " * 4, "Go on. " * 5),
        (
            "fineweb_punctuated_lines",
            "a line\n" * 22 + "end.\n" * 2,
            "a line\n" * 22 + "end.\n" * 3,
        ),
        ("gopher_alphabetic_words", "abc " * 79 + "123 " * 21, "abc " * 80 + "123 " * 20),
    ],
)
def test_lower_bounds_are_inclusive(rule, below, at):
    assert passed(below, rule) is False
    assert passed(at, rule) is True


@pytest.mark.parametrize(
    ("rule", "at", "above"),
    [
        ("gopher_bullet_lines", "- x\n" * 9 + "y", "- x\n" * 10),
        ("gopher_ellipsis_lines", "x...\n" * 3 + "y\n" * 7, "x...\n" * 4 + "y\n" * 6),
        ("gopher_word_length", "abcdefghij " * 60, "abcdefghijk " * 60),
        ("c4_braces", GOOD, GOOD + " {"),
        ("c4_lorem_ipsum", GOOD, GOOD + " Lorem Ipsum dolor"),
        ("c4_long_words", "x" * 1000, "x" * 1001),
        ("fineweb_newlines", "a b\n" * 3 + "c " * 4, "a b\n" * 4 + "c " * 4),
        ("gopher_words", "word " * 100_000, "word " * 100_001),
        ("gopher_hash_signs", "# " + "word " * 9, "# # " + "word " * 9),
    ],
)
def test_upper_bounds_are_inclusive(rule, at, above):
    assert passed(at, rule) is True
    assert passed(above, rule) is False


def test_a_line_that_ends_in_a_carriage_return_is_the_same_line():
    unix, dos = "One line.\nAnother line.\n", "One line.\r\nAnother line.\r\n"
    frame = text_metrics(pa.array([unix, dos])).select(c for c in METRICS if "gram" not in c)
    frame = frame.drop("characters")
    assert frame.row(0) == frame.row(1)


def test_lines_that_differ_in_a_run_of_spaces_are_not_the_same():
    # as indentation of code does behind a prompt
    texts = ["... x:\n...  x:\n... \tx:", "... x:\n...  x:\n...  x:", "a \nb\na", "a b\na\tb"]
    got = text_metrics(pa.array(texts))["duplicate_line_share"]
    assert got.to_list() == [0, 1 / 3, 1 / 3, 0]


def test_silent_where_rules_do_not_hold():
    text = [
        "ይህ የአማርኛ ጽሑፍ ነው። ጥሩ ነው።",
        "Der Hund ist nicht mit dem Ball auf der Straße, und das ist auch gut so.",
        "猫が好き。犬も好き！",
        "xq zzv blorp fnord",
        None,
        "  \n ",
        "\U0001f600" * 30,
    ]
    column = score(Heuristics(), text)
    assert np.isnan(column.values).all()
    reasons = column.reasons.to_list()
    assert "another language" in reasons[0]
    assert "another language" in reasons[1]
    assert "another language" in reasons[2]
    assert "not known" in reasons[3]
    assert reasons[4:6] == ["no text", "no words"]
    free = score(Repetition(), text)
    assert (free.values[:4] > 0.6).all()
    assert np.isnan(free.values[4:6]).all()


def test_the_language_that_the_recipe_names_decides():
    text = [GOOD] * 5 + ["xq zzv blorp fnord"]
    column = score(Heuristics(), text, ["en", "EN_gb", "am", "de", None, "english"])
    assert np.isnan(column.values).tolist() == [False, False, True, True, False, False]


def test_repetition_by_words_is_silent_without_spaces():
    found = verdicts(pa.array(["好" * 300])).rules
    for rule in RULES:
        if rule.scope == "spaced":
            assert found[rule.name][0] is None


def test_bad_text_scores_below_good_text():
    spam = "buy the best pills to be with that\n" * 50
    column = score(Heuristics(), [GOOD, spam, "# { # { the and of to"])
    assert column.values[0] > column.values[1]
    assert column.values[0] > column.values[2]


def test_function_words_are_told_apart():
    sentences = {
        "en": "this is the best of all that was said",
        "es": "los niños y las niñas que viven en una casa con el perro",
        "fr": "les enfants qui sont dans la maison avec le chien des voisins",
        "id": "anak anak yang tidak ada di rumah itu dengan ibu dan ayah",
        "sw": "watoto wa shule ya msingi na walimu wao katika mji kwa ajili ya",
    }
    verdict, _ = english(pa.array(list(sentences.values())))
    assert verdict.tolist() == [1, 0, 0, 0, 0]
    assert len(FUNCTION_WORDS) <= 32  # one bit each


def test_stop_words_count_once_in_any_case():
    _, count = english(pa.array(["The THE the and AND", "nothing here"]))
    assert count.tolist() == [2, 0]
