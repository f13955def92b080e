"""Every way to misstate an allocation in a recipe: the key, the value, the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.errors import RecipeError
from resources.recipe_file import load_recipe, parse_recipe

LEVEL = {"objective": "max_min", "level": "raw"}
SUM = {"objective": "weighted_sum", "weights": "equal"}
ISO = {"objective": "isoelastic", "weights": "equal", "aversion": 1}
NAN, INF = float("nan"), float("inf")


def stated(**allocation):
    return {
        "lake": "./lake",
        "output": "./out",
        "records": [{"tables": "*", "text": "t", "groups": {"g": {"column": "lang"}}}],
        "filtering": {"budgets": [{"samples": 100}]},
        "allocation": {"by": "g", "policy": {"owner": "me", "reason": "x"}, **allocation},
    }


@pytest.mark.parametrize(
    ("allocation", "told"),
    [
        ({**LEVEL, "costs": {"a": 0}}, "allocation.costs.a: Input should be greater than 0"),
        ({**LEVEL, "costs": {"a": -1}}, "allocation.costs.a"),
        ({**LEVEL, "costs": {"a": NAN}}, "allocation.costs.a"),
        ({**LEVEL, "costs": {"a": INF}}, "allocation.costs.a: Input should be a finite number"),
        ({**LEVEL, "costs": {"a": "x"}}, "allocation.costs.a: Input should be a valid number"),
        ({**LEVEL, "costs": [1]}, "allocation.costs"),
        ({**LEVEL, "floors": {"a": -1}}, "allocation.floors.a"),
        ({**LEVEL, "floors": {"a": 1.5}}, "allocation.floors.a"),
        ({**LEVEL, "aversion": 2}, "objective max_min has no aversion"),
        ({**ISO, "aversion": -1}, "allocation.aversion: Input should be greater than or equal"),
        ({**ISO, "aversion": NAN}, "allocation.aversion"),
        ({**ISO, "aversion": INF}, "allocation.aversion"),
        ({**ISO, "aversion": None}, "objective isoelastic needs aversion"),
        ({**ISO, "level": "excess"}, "level excess is a shortfall"),
        ({**SUM, "weights": {"a": 0, "b": 0}}, "every weight is 0"),
        ({**SUM, "weights": {"a": NAN}}, "allocation.weights.a"),
        ({**SUM, "weights": {"a": INF}}, "allocation.weights.a: Input should be a finite number"),
        ({**SUM, "weigths": "equal"}, "allocation.weigths: unknown key; did you mean 'weights'?"),
        ({"objective": "leximin"}, "objective leximin compares groups, so it needs a level"),
        ({**SUM, "objective": "maxmin"}, "allocation.objective: Input should be 'weighted_sum'"),
        ({**SUM, "fallback": "best"}, "allocation.fallback"),
        ({**SUM, "policy": {"owner": "", "reason": "x"}}, "allocation.policy.owner"),
        ({**SUM, "policy": {"owner": "a", "reson": "x"}}, "did you mean 'reason'?"),
    ],
)
def test_misstated_allocations(allocation, told):
    assert parse_recipe(stated(**LEVEL), base=Path("/data")).allocation is not None
    with pytest.raises(RecipeError) as caught:
        parse_recipe(stated(**allocation), base=Path("/data"), origin="r.yaml")
    assert str(caught.value).startswith("r.yaml: ")
    assert told in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "lake: .\noutput: ./out\nrecords: [{tables: a, text: t}]\n"
        "base: &b {x: 1}\nallocation:\n  costs: {am: 1, sw: 2, am: 3}\n"
    )
    with pytest.raises(RecipeError, match=r"line 6, column 25: key 'am' stands twice"):
        load_recipe(file)
