"""The card of a real release: its clauses were counted, and its metadata lies beside it."""

from __future__ import annotations

import json

import polars as pl

from assets.publication.croissant_release import faults
from tests.conftest import RunLake
from tests.publication.test_card import Reader


def test_the_clauses_of_a_release_were_counted_in_its_tables(run_lake: RunLake) -> None:
    output = run_lake.lake.folder / "out"
    text = Reader((output / "publication/cards/release-0001.html").read_text()).text
    rows = pl.read_delta(str(output / "publication/training_set")).height
    assert f"publication/training_set.source_version there ({rows:,} values)" in text
    assert "release-0001.croissant.json there (1 value)" in text
    assert "results.metric missing" in text
    assert "allocation/report.policy there (1 value)" in text


def test_the_metadata_of_a_release_is_croissant(run_lake: RunLake) -> None:
    file = run_lake.lake.folder / "out/publication/cards/release-0001.croissant.json"
    made = json.loads(file.read_text(encoding="utf-8"))
    assert faults(made) == []
    assert "owner: someone@example.org" in made["rai:dataManipulationProtocol"]


def test_a_plan_says_what_it_promises(run_lake: RunLake) -> None:
    report = pl.read_delta(str(run_lake.lake.folder / "out/allocation/report")).to_dicts()[0]
    found = json.loads(report["prospects"])
    plan = pl.read_delta(str(run_lake.lake.folder / "out/allocation/plan"))
    assert {row["group"] for row in found["rules"]} == set(plan["group"])
    assert {row["group"] for row in found["groups"]} <= set(plan["group"])
