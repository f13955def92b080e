"""What the asset of scores shows for people to judge them."""

from __future__ import annotations

import polars as pl
import pytest

from assets.scoring.stored_scores import current
from orchestration.score_figures import EACH, SHOWN_CHARACTERS, escaped, records_to_read
from orchestration.stages import BY_TABLE
from resources.recipe_file import load_recipe
from resources.run import Run
from tests.conftest import RunLake
from tests.lakes import MARKER
from tests.orchestration.test_figures import materialized


def cells(shown: str) -> pl.DataFrame:
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return pl.DataFrame(rows[2:], schema=rows[0], orient="row")


def test_the_asset_shows_distributions_correlations_agreement_and_records(
    run_lake: RunLake,
) -> None:
    shown = materialized(run_lake, "scoring/scores").metadata
    assert {"histograms", "correlations", "agreement", "to_read"} <= set(shown)
    agreed = cells(str(shown["agreement"].value))
    against_chance = agreed.filter(pl.any_horizontal(pl.col("left", "right") == "random"))
    assert against_chance["overlap"].cast(pl.Float64).is_between(0.3, 0.7).all()
    scored = set(agreed["left"]) | set(agreed["right"]) - {"random"}
    read = cells(str(shown["to_read"].value))
    assert scored - {"random"} <= set(read["score"])
    assert MARKER not in str(shown["to_read"].value)


def test_the_best_median_and_worst_are_those_and_their_texts_come_where_asked_for(
    run_lake: RunLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(load_recipe(run_lake.lake.folder / "recipe.yaml"), specs=list(BY_TABLE.values()))
    monkeypatch.delenv("SLUICE_TEXTS", raising=False)
    without = cells(records_to_read(run))
    assert "text" not in without.columns
    scores = current(run.scan("scoring/scores")).collect()
    best = without.filter(score="quality", place="best")["record_id"]
    worst = without.filter(score="quality", place="worst")["record_id"]
    ranked = scores.drop_nulls("quality").sort("quality")["quality"]
    found = dict(scores.select("record_id", "quality").iter_rows())
    assert sorted(found[i] for i in best) == ranked.tail(EACH).to_list()
    assert sorted(found[i] for i in worst) == ranked.head(EACH).to_list()
    low = without.filter(score="redundancy", place="best")["record_id"].to_list()
    if low:  # of a score where low is better, the best is the lowest
        values = dict(scores.select("record_id", "redundancy").iter_rows())
        assert max(values[i] for i in low) <= scores["redundancy"].sort()[EACH - 1]
    monkeypatch.setenv("SLUICE_TEXTS", "on")
    shown = records_to_read(run)
    assert MARKER in shown
    assert without.equals(cells(shown).select(without.columns))


def test_texts_are_short_and_stand_as_they_are() -> None:
    text = "<script>alert(1)</script> | *a*\n\n# b [c](http://d) `e` \x00 " + "x" * 500
    said = escaped(text)
    assert "<" not in said
    assert "\n" not in said
    assert said.startswith(
        "&lt;script&gt;alert(1)&lt;/script&gt; | \\*a\\* \\# b \\[c\\](http://d) \\`e\\`"
    )
    assert "\x00" not in said
    assert said.endswith("x…")
    assert len(said) < SHOWN_CHARACTERS + 60
    assert escaped("plain") == "plain"
