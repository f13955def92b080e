"""The recipe: every fault names its place and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.errors import RecipeError
from resources.recipe import load_recipe, parse_bytes, parse_recipe

MINIMAL: dict[str, Any] = {
    "lake": "lake",
    "output": "out",
    "records": [{"tables": "*", "text": "text"}],
}
POLICY = {"owner": "me", "reason": "because"}


def parsed(**changes: Any) -> Any:
    return parse_recipe({**MINIMAL, **changes}, base=Path("/base"))


def rule(**changes: Any) -> dict[str, Any]:
    return {"records": [{"tables": "*", "text": "text", **changes}]}


def test_three_keys_are_enough_and_places_count_from_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(MINIMAL), encoding="utf-8")
    recipe = load_recipe(file)
    assert recipe.lake == str(tmp_path / "lake")
    assert recipe.state_root == recipe.output == str(tmp_path / "out")
    assert recipe.budget is None
    assert recipe.allocation is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"holdot": {}}, "holdot: unknown key; did you mean 'holdout'?"),
        ({"filtering": {"pool": 3}}, "filtering.pool: unknown key; did you mean 'pools'?"),
        (rule(lable="y"), "records.0.lable: unknown key; did you mean 'label'?"),
        ({"filtering": {"proxy": {"secs": 3}}}, "filtering.proxy.secs: unknown key"),
        (
            {"filtering": {"budgets": [{"samples": 0}]}},
            "filtering.budgets.0.samples: Input should be greater than 0",
        ),
        (
            {"filtering": {"budgets": [{"tokens": 9}]}},
            "must be stated in samples, because unit is records",
        ),
        (
            {"filtering": {"budgets": [{"samples": 9}], "publish": 1}},
            "publish is 1, but there are 1 budgets",
        ),
        (rule(label="text"), "the label 'text' is also in text"),
        (rule(features=["a"]), "name exactly one of text, features, uri"),
        (rule(groups={"g": {"path": "a/(b)"}}), "path needs a part named v"),
        (
            rule(
                groups={
                    "g": {
                        "path": "a/(b",
                    }
                }
            ),
            "path is no regular expression",
        ),
        (
            rule(groups={"g": {"value": "a", "column": "b"}}),
            "name exactly one of value, column, path",
        ),
        (
            rule(groups={"pool": {"value": "a"}}),
            "group name 'pool' is a column of the records table",
        ),
        ({"records": []}, "records has no rule"),
        ({"lake": "s3://key:secret@bucket/x"}, "holds a credential"),
        ({"lake": "s3://bucket/x"}, "s3:// is not supported in this version"),
        ({"limits": {"memory": "much"}}, "'much' is no size"),
        (
            {
                "allocation": {"by": "g", "objective": "max_min", "policy": POLICY},
                **rule(groups={"g": {"value": "a"}}),
            },
            "needs a level",
        ),
        (
            {
                "allocation": {"by": "g", "objective": "weighted_sum", "policy": POLICY},
                **rule(groups={"g": {"value": "a"}}),
            },
            "needs weights",
        ),
        (
            {
                "allocation": {"by": "h", "objective": "leximin", "level": "raw", "policy": POLICY},
                **rule(),
            },
            "no training rule sets that group",
        ),
        (
            {
                "allocation": {"by": "g", "objective": "leximin", "level": "raw"},
                **rule(groups={"g": {"value": "a"}}),
            },
            "allocation.policy: is required and missing",
        ),
    ],
)
def test_a_fault_names_its_place_and_the_remedy(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parsed(**changes)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parsed(holdot={}, seed=-1)
    assert "holdot" in str(caught.value)
    assert "seed" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_what_is_no_recipe_is_told_so(text: str, tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        load_recipe(file)
    with pytest.raises(RecipeError, match="no such recipe"):
        load_recipe(tmp_path / "absent.yaml")


def test_the_hash_covers_all_that_can_change_a_result_and_nothing_else() -> None:
    base = parsed().hash
    assert parsed(limits={"workers": 7}).hash == base
    assert parsed(lake="elsewhere", output="there").hash == base
    for change in (
        {"seed": 1},
        {"holdout": {"share": 0.1}},
        rule(role="target"),
        {"unit": "tokens"},
    ):
        assert parsed(**change).hash != base


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4e9), ("512MiB", 2**29), ("1000", 1000), ("1.5k", 1500)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_bytes(text) == int(size)
