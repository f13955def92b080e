"""Quality rules for text: Gopher, C4 and FineWeb as verdicts, and the share of rules passed.

A rule is a metric with bounds (both inclusive) and a scope: ``english`` rules hold for English
only, ``spaced`` rules for scripts with spaces between words, ``any`` rules for every text. Outside
its scope a rule gives null, never "bad". `heuristics` is the share of all rules passed, for English
records; `repetition` is the share of the rules that are free of language, for every record.

Sources: Rae et al. 2021 (Gopher), table A1 and appendix A.1; Raffel et al. 2020 (C4), section 2.2;
Penedo et al. 2024 (FineWeb), section 3.5. A verdict is on the whole record: C4's removal of single
lines changes the text, which a score must not do, so its rules are applied as verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assets.scoring.language import OTHER, UNKNOWN, english
from assets.scoring.protocol import (
    Direction,
    Needs,
    ScoreBatch,
    ScoreColumn,
    ScorerState,
    Stateless,
    reasons_from,
)
from assets.scoring.text_metrics import text_metrics

Scope = Literal["english", "spaced", "any"]
SPACELESS_SHARE = 0.3  # from this share of letters a text counts as written without spaces


@dataclass(frozen=True, slots=True)
class Rule:
    """A metric within bounds.

    Attributes
    ----------
    name
        The set it comes from and what it is about.
    metric
        A column of `text_metrics`, or ``stop_words``.
    low, high
        Inclusive bounds.
    scope
        Where it holds.
    """

    name: str
    metric: str
    low: float
    high: float
    scope: Scope


_INF = float("inf")
RULES = (
    Rule("gopher_words", "plain_words", 50, 100_000, "spaced"),
    Rule("gopher_word_length", "mean_word_length", 3, 10, "english"),
    Rule("gopher_hash_signs", "hash_per_word", 0, 0.1, "spaced"),
    Rule("gopher_ellipses", "ellipsis_per_word", 0, 0.1, "spaced"),
    Rule("gopher_bullet_lines", "bullet_line_share", 0, 0.9, "any"),
    Rule("gopher_ellipsis_lines", "ellipsis_line_share", 0, 0.3, "any"),
    Rule("gopher_alphabetic_words", "alpha_word_share", 0.8, 1, "english"),
    Rule("gopher_stop_words", "stop_words", 2, _INF, "english"),
    Rule("gopher_duplicate_lines", "duplicate_line_share", 0, 0.3, "any"),
    Rule("gopher_duplicate_line_characters", "duplicate_line_characters", 0, 0.2, "any"),
    Rule("gopher_duplicate_paragraphs", "duplicate_paragraph_share", 0, 0.3, "any"),
    Rule("gopher_duplicate_paragraph_characters", "duplicate_paragraph_characters", 0, 0.2, "any"),
    Rule("gopher_top_2gram", "top_2gram_characters", 0, 0.20, "spaced"),
    Rule("gopher_top_3gram", "top_3gram_characters", 0, 0.18, "spaced"),
    Rule("gopher_top_4gram", "top_4gram_characters", 0, 0.16, "spaced"),
    Rule("gopher_duplicate_5grams", "duplicate_5gram_characters", 0, 0.15, "spaced"),
    Rule("gopher_duplicate_6grams", "duplicate_6gram_characters", 0, 0.14, "spaced"),
    Rule("gopher_duplicate_7grams", "duplicate_7gram_characters", 0, 0.13, "spaced"),
    Rule("gopher_duplicate_8grams", "duplicate_8gram_characters", 0, 0.12, "spaced"),
    Rule("gopher_duplicate_9grams", "duplicate_9gram_characters", 0, 0.11, "spaced"),
    Rule("gopher_duplicate_10grams", "duplicate_10gram_characters", 0, 0.10, "spaced"),
    Rule("c4_sentences", "sentences", 5, _INF, "english"),
    Rule("c4_braces", "braces", 0, 0, "english"),
    Rule("c4_long_words", "longest_word", 0, 1000, "spaced"),
    Rule("c4_lorem_ipsum", "lorem_ipsum", 0, 0, "any"),
    Rule("fineweb_punctuated_lines", "punctuated_line_share", 0.12, 1, "english"),
    Rule("fineweb_short_lines", "short_line_share", 0, 0.67, "english"),
    Rule("fineweb_duplicate_line_characters", "duplicate_line_characters", 0, 0.01, "any"),
    Rule("fineweb_newlines", "newlines_per_word", 0, 0.3, "english"),
)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the rules say.

    Attributes
    ----------
    rules
        One Boolean column a rule: passed, failed, or null where the rule does not hold.
    english
        int8, shape (n,): 1, 0 (another language) or -1 (unknown).
    empty
        bool, shape (n,): no words.
    """

    rules: pl.DataFrame
    english: NDArray[np.int8]
    empty: NDArray[np.bool_]

    def share(self, scopes: tuple[Scope, ...]) -> NDArray[np.float64]:
        """Return the share of the rules of these scopes that a row passes, among those that hold.

        NaN where none holds.
        """
        names = [rule.name for rule in RULES if rule.scope in scopes]
        passed = np.zeros(self.rules.height)
        held = np.zeros(self.rules.height)
        for name in names:
            column = self.rules[name]
            passed += column.fill_null(value=False).to_numpy()
            held += column.is_not_null().to_numpy()
        shares = np.full(len(held), np.nan)
        np.divide(passed, held, out=shares, where=held > 0)
        return shares


def verdicts(text: pa.Array, language: pa.Array | None = None) -> Verdicts:
    """Apply every rule to every text.

    Parameters
    ----------
    text
        n Arrow strings.
    language
        n Arrow strings where the recipe names a language, else null; or None.
    """
    metrics = text_metrics(text)
    verdict, stop_words = english(text, language)
    foreign_script = (metrics["latin_share"] < 0.5) & (metrics["alpha_word_share"] > 0)
    verdict[(verdict == UNKNOWN) & foreign_script.to_numpy()] = OTHER
    lorem = pl.Series(text).cast(pl.String).str.to_lowercase()
    lorem = lorem.str.contains("lorem ipsum", literal=True).fill_null(value=False)
    metrics = metrics.with_columns(
        pl.Series("stop_words", stop_words, dtype=pl.Float64),
        lorem.cast(pl.Float64).alias("lorem_ipsum"),
    )
    empty = metrics["words"].to_numpy() == 0
    holds = {
        "any": ~empty,
        "spaced": ~empty & (metrics["spaceless_share"].to_numpy() < SPACELESS_SHARE),
        "english": ~empty & (verdict == 1),
    }
    scopes = {name: pl.Series(mask) for name, mask in holds.items()}
    columns = [
        pl.when(pl.lit(scopes[rule.scope]))
        .then(pl.col(rule.metric).is_between(rule.low, rule.high))
        .alias(rule.name)
        for rule in RULES
    ]
    return Verdicts(metrics.select(columns), verdict, empty)


@dataclass(frozen=True)
class Heuristics(Stateless):
    """Share of the Gopher, C4 and FineWeb rules that an English record passes."""

    name: ClassVar[str] = "heuristics"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs.TEXT
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(tokens)"
    source: ClassVar[str] = "Rae 2021, Raffel 2020, Penedo 2024"

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; null for records that are not English, or not known to be."""
        n = len(batch)
        if batch.text is None:
            return _without_text(self.name, self.version, n)
        found = verdicts(batch.text, batch.group)
        values = found.share(("english", "spaced", "any"))
        values[found.english != 1] = np.nan
        reasons = reasons_from(
            n,
            [
                (np.asarray(batch.text.is_null()), "no text"),
                (found.empty, "no words"),
                (
                    found.english == OTHER,
                    "rules are for English; the record is taken for another language",
                ),
                (found.english == UNKNOWN, "rules are for English; language not known"),
            ],
        )
        return ScoreColumn(self.name, self.version, values, reasons, "high")


@dataclass(frozen=True)
class Repetition(Stateless):
    """Share of the rules free of language that a record of any script passes."""

    name: ClassVar[str] = "repetition"
    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = Needs.TEXT
    row_local: ClassVar[bool] = True
    cost: ClassVar[str] = "O(tokens)"
    source: ClassVar[str] = "Rae 2021, Penedo 2024"

    def direction(self, state: ScorerState | None = None) -> Direction:
        """High is better."""
        return "high"

    def score(self, batch: ScoreBatch, state: ScorerState) -> ScoreColumn:
        """Score rows; null without words."""
        n = len(batch)
        if batch.text is None:
            return _without_text(self.name, self.version, n)
        found = verdicts(batch.text, batch.group)
        reasons = reasons_from(
            n, [(np.asarray(batch.text.is_null()), "no text"), (found.empty, "no words")]
        )
        values = found.share(("spaced", "any"))
        return ScoreColumn(self.name, self.version, values, reasons, "high")


def _without_text(name: str, version: int, n: int) -> ScoreColumn:
    reasons = reasons_from(n, [(np.ones(n, dtype=bool), "no text")])
    return ScoreColumn(name, version, np.full(n, np.nan), reasons, "high")
