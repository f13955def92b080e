"""The recipe of a run on a share of the records: where it writes, and what is scaled."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.recipe_file import parse_recipe
from resources.sample import sample_note, sample_root, sampled
from tests import lakes

WHOLE = parse_recipe(lakes.recipe(name="curated"), base=Path("/data"))


def test_a_sample_has_a_root_and_a_name_of_its_own_and_shares_the_lake_layer() -> None:
    trial = sampled(WHOLE, 0.1)
    assert trial.output == "/data/out.sample-0.1"
    assert trial.state_root == WHOLE.state_root == "/data/out"
    assert trial.name == "curated_sample_0_1"
    apart = WHOLE.model_copy(update={"state": "/data/shared", "name": None})
    assert sampled(apart, 0.25).state_root == "/data/shared"
    assert sampled(apart, 0.25).name == "sample_0_25"
    # the name is one that a recipe may have
    Recipe.model_validate(sampled(apart, 0.00001).model_dump())
    assert sample_root(Path("/data/out"), 0.5) == Path("/data/out.sample-0.5")


def test_budgets_and_floors_are_scaled_and_nothing_else_is() -> None:
    policy = {**lakes.recipe()["allocation"], "floors": {"am": 6, "sw": 70}}
    whole = parse_recipe(lakes.recipe(allocation=policy), base=Path("/data"))
    trial = sampled(whole, 0.1)
    assert [b.amount for b in trial.filtering.budgets] == [16, 40]
    assert trial.allocation is not None
    assert trial.allocation.floors == {"am": 0, "sw": 7}
    back = trial.model_dump()
    for key in ("name", "output", "state"):
        back[key] = whole.model_dump()[key]
    back["filtering"]["budgets"] = whole.model_dump()["filtering"]["budgets"]
    back["allocation"]["floors"] = whole.model_dump()["allocation"]["floors"]
    assert back == whole.model_dump()
    assert trial.hash != whole.hash


def test_a_budget_is_never_scaled_to_nothing() -> None:
    tiny = sampled(WHOLE, 0.0001)
    assert [b.amount for b in tiny.filtering.budgets] == [1, 1]
    in_tokens = parse_recipe(
        lakes.recipe(unit="tokens", filtering={"budgets": [{"tokens": 1000}]}), base=Path("/data")
    )
    assert sampled(in_tokens, 0.3).budget == 300


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(RecipeError, match="above 0 and at most 1"):
        sampled(WHOLE, share)


def test_the_note_says_what_was_scaled_and_what_is_untouched() -> None:
    note = sample_note(WHOLE, 0.1)
    assert "0.1 of the training records" in note
    assert "160 to 16, 400 to 40 records" in note
    assert "The releases of /data/out are untouched" in note
    without = WHOLE.model_copy(
        update={"filtering": WHOLE.filtering.model_copy(update={"budgets": ()})}
    )
    assert "scaled" not in sample_note(without, 0.1)
