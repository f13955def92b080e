"""Clauses and artefacts: what is there is counted, and what was taken away is said to be missing."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from assets.publication.card import CardFacts, render_card
from assets.publication.clauses import PROBLEM, RELEASE, Asked, evidence, places
from assets.publication.croissant_release import RAI_NAMES, document, faults, unfilled
from tests.publication.test_card import Reader, facts

NAMES = {"by": "language", "croissant": "release-0001.croissant.json"}


def release():
    """Return a table with three values for every place that a release is asked for."""
    columns: dict[str, list[str]] = {}
    for one in RELEASE:
        table, _, column = one.place.format(**NAMES).partition(".")
        columns.setdefault(table, []).append(column)
    return {
        t: pl.DataFrame({c: ["x", "y", "z"] for c in names}).lazy() for t, names in columns.items()
    }


def states(tables):
    found = places(RELEASE, tables, **NAMES)
    return dict(evidence(RELEASE, found, **NAMES).select("place", "state").iter_rows())


def test_what_is_there_is_counted():
    found = states(release())
    assert set(found.values()) == {"there (3 values)"}
    assert "publication/training_set.language" in found


@pytest.mark.parametrize("place", sorted({one.place.format(**NAMES) for one in RELEASE}))
def test_an_artefact_that_is_taken_away_is_missing(place):
    table, _, column = place.partition(".")
    tables = release()
    tables[table] = tables[table].drop(column)
    found = states(tables)
    assert found[place] == "missing"
    assert all(state == "there (3 values)" for other, state in found.items() if other != place)
    del tables[table]
    gone = states(tables)
    assert all(
        (state == "missing") == (other.partition(".")[0] == table) for other, state in gone.items()
    )


@pytest.mark.parametrize("values", [[], [None, None], ["", None]])
def test_an_artefact_that_holds_nothing_is_empty(values):
    tables = release() | {
        "allocation/report": pl.DataFrame(
            {
                name: pl.Series(values, dtype=pl.String)
                for name in ("policy", "summary", "prospects", "warnings")
            }
        ).lazy()
    }
    assert states(tables)["allocation/report.policy"] == "empty"


def test_numbers_are_counted_by_what_is_not_null():
    one = Asked("c", "a", "x", "a/b.n")
    table = {"a/b": pl.DataFrame({"n": [0.0, None, 2.0]}).lazy()}
    assert places([one], table) == {"a/b.n": 2}
    assert evidence([one], {"a/b.n": 1})["state"].to_list() == ["there (1 value)"]


def test_clauses_are_those_of_article_10_and_no_letter_is_claimed():
    for one in (*RELEASE, *PROBLEM):
        assert one.clause in {f"EU AI Act, Article 10({n})" for n in (2, 3, 4, 5)}


def test_the_card_shows_each_row_and_counts_what_was_found():
    tables = release()
    del tables["allocation/plan"]
    rows = evidence(RELEASE, places(RELEASE, tables, **NAMES), **NAMES)
    text = Reader(render_card(dataclasses.replace(CardFacts(), clauses=rows))).text
    assert "allocation/plan.marginal_value missing" in text
    there = rows.filter(pl.col("state").str.starts_with("there")).height
    assert f"{there} of {rows.height} were" in text


# --- the metadata beside the card -------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [facts(), CardFacts(), facts(evil='"<b>\u202e')])
def test_the_document_has_the_shape_of_croissant(known):
    made = document(known)
    assert faults(made) == []
    assert {f"rai:{name}" for name in RAI_NAMES} == set(unfilled(made)) | {
        k for k in made if k.startswith("rai:")
    }
    assert "\u202e" not in str(made)


def test_the_document_says_what_the_facts_say():
    known = facts()
    made = document(known)
    assert "owner: council" in made["rai:dataManipulationProtocol"]
    assert "worst group 0.5255" in made["rai:dataBiases"]
    assert "duplicate 1,222" in made["rai:dataPreprocessingProtocol"]
    assert made["rai:machineAnnotationTools"] == ["scorer dsir", "scorer silent"]
    assert "few points" in made["rai:dataLimitations"]
    assert made["version"] == "12.0.0"
    assert "nothing was reallocated" in document(CardFacts())["rai:dataManipulationProtocol"]
    # what only people know is never made up
    for name in (
        "dataCollectionTimeframe",
        "annotatorDemographics",
        "dataUseCases",
        "dataSocialImpact",
    ):
        assert f"rai:{name}" in unfilled(made)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rai:dataPeprocessingProtocol": "x"}, "no such field"),  # a misspelling that is about
        ({"cr:dataBiases": "x"}, "no such field"),
        ({"rai:dataBiases": ""}, "is no text"),
        ({"rai:dataBiases": ["x", 3]}, "is no text"),
        ({"@type": "Dataset"}, "@type"),
        ({"conformsTo": ["http://mlcommons.org/croissant/1.0"]}, "RAI/1.0"),
        ({"name": ""}, "name: missing"),
        ({"@context": {"rai": "http://mlcommons.org/croissant/"}}, "@context.rai"),
    ],
)
def test_a_document_of_another_shape_is_found_out(change, says):
    assert any(says in fault for fault in faults(document(facts()) | change))
