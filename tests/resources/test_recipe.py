"""The recipe: every fault names its place and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from resources.errors import RecipeError
from resources.recipe import Recipe, parse_bytes
from resources.recipe_file import load_recipe, parse_recipe
from resources.sample import sampled

MINIMAL: dict[str, Any] = {
    "lake": "lake",
    "output": "out",
    "records": [{"tables": "*", "text": "text"}],
}
POLICY = {"owner": "me", "reason": "because"}


def parsed(**changes: Any) -> Any:
    return parse_recipe({**MINIMAL, **changes}, base=Path("/base"))


def test_a_budget_of_compute_is_a_number_of_the_unit_less_what_scoring_cost() -> None:
    compute = {"flops": 6e12, "parameters": 1e6, "scoring_flops": 6e11}
    tokens = parsed(unit="tokens", filtering={"budgets": [compute]})
    assert tokens.budget == 900_000
    records = parsed(filtering={"budgets": [{**compute, "tokens_per_sample": 9}]})
    assert records.budget == 100_000
    assert sampled(records, 0.1).budget == 10_000


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


@pytest.mark.parametrize(
    "text",
    ["", "GB", ".", "1.2.3GB", "-1GB", "1e9", "4 G i B", "1PB", "0", "0.0GB", "4GB 2GB", True],
)
def test_what_is_no_size_is_refused_with_an_example(text: Any) -> None:
    with pytest.raises(RecipeError, match=r"limits\.memory: "):
        parsed(limits={"memory": text})


def test_an_unquoted_number_of_bytes_is_a_size() -> None:
    recipe = parsed(**yaml.safe_load("limits: {memory: 2000000}"))
    assert recipe.limits.memory_bytes == 2_000_000
    assert parsed().limits.memory_bytes == 4_000_000_000


# -- keys ------------------------------------------------------------------------------------------


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def sections(model: type[BaseModel], place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of the recipe where keys are written, with the keys that are known there."""
    found: list[tuple[Any, ...]] = [(place, sorted(model.model_fields))]
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            text = str(field.annotation)
            step: tuple[Any, ...] = (0,) if "tuple[" in text else ("g",) if "dict[" in text else ()
            found += sections(inner, (*place, name, *step))
    return found


def nested(place: tuple[Any, ...], key: str) -> Any:
    value: Any = {key: "x"}
    for part in reversed(place):
        value = [value] if part == 0 else {part: value}
    return value


PLACES = sections(Recipe)


def test_every_section_is_among_the_places() -> None:
    dotted = {".".join(map(str, place)) for place, _ in PLACES}
    assert {
        "",
        "records.0",
        "records.0.groups.g",
        "records.0.read",
        "filtering.budgets.0",
    } <= dotted
    assert {"filtering.proxy", "allocation.policy", "limits", "holdout", "deduplication"} <= dotted


@given(st.sampled_from(PLACES), st.data())
@settings(max_examples=150)
def test_a_misspelt_key_of_any_section_is_told_with_a_near_one(
    section: tuple[tuple[Any, ...], list[str]], data: Any
) -> None:
    place, known = section
    key = data.draw(st.sampled_from([k for k in known if len(k) > 3]), "key")
    at = data.draw(st.integers(1, len(key) - 1), "at")
    wrong = data.draw(
        st.sampled_from([key[:at] + key[at + 1 :], key[:at] + key[at] + key[at:], key + "_"]),
        "wrong",
    )
    if wrong in known:
        return
    with pytest.raises(RecipeError) as caught:
        parse_recipe({**MINIMAL, **nested(place, wrong)}, base=Path("/base"))
    dotted = ".".join(str(part) for part in (*place, wrong))
    (line,) = [x for x in str(caught.value).splitlines() if f"{dotted}: unknown key" in x]
    near = line.partition("did you mean ")[2].strip("'?")
    assert near in known, line


@pytest.mark.parametrize("name", ["value", "column", "path", "language"])
def test_a_group_may_be_called_like_a_key(name: str) -> None:
    with pytest.raises(RecipeError, match="valeu: unknown key; did you mean 'value'"):
        parsed(**rule(groups={name: {"valeu": "en"}}))
    assert parsed(**rule(groups={name: {"value": "en"}})).group_names == (name,)


def test_a_key_like_no_other_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        RecipeError, match=r"read\.zzz: unknown key; known keys here: delimiter, enc"
    ):
        parsed(**rule(read={"zzz": 1}))


@pytest.mark.parametrize("missing", ["lake", "output", "records"])
def test_what_must_be_there_is_named(missing: str) -> None:
    raw = {key: value for key, value in MINIMAL.items() if key != missing}
    with pytest.raises(RecipeError, match=f"{missing}: is required and missing"):
        parse_recipe(raw, base=Path("/base"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (rule(role="trian"), "records.0.role: Input should be 'train', 'evaluation', "),
        (rule(label="text", text=["title", "text"]), "the label 'text' is also in text"),
        (rule(label="b", text=[], features=["a", "b"]), "the label 'b' is also in features"),
        (rule(text=[]), "name exactly one of text, features, uri"),
        (rule(uri="u"), "name exactly one of text, features, uri"),
        (rule(tables=[]), "tables names no pattern"),
        (rule(keep=["tokens"]), "keep names 'tokens'"),
        (rule(keep=["g"], groups={"g": {"value": "a"}}), "keep names 'g'"),
        (rule(groups={"g": {}}), "records.0.groups.g: name exactly one of value, column, path"),
        # YAML reads an unquoted `no`, the language, as false
        (rule(groups={"g": {"value": False}}), "records.0.groups.g.value: Input should be a valid"),
        ({"filtering": {"budgets": [{"tokens": 0}]}, "unit": "tokens"}, "budgets.0.tokens: Input"),
        (
            {"filtering": {"budgets": [{"samples": -5}]}},
            "budgets.0.samples: Input should be greater",
        ),
        ({"filtering": {"budgets": [{}]}}, "state exactly one of samples, tokens"),
        (
            {"filtering": {"budgets": [{"samples": 5}]}, "unit": "tokens"},
            "must be stated in tokens, because unit is tokens",
        ),
        (
            {"filtering": {"budgets": [{"flops": 1e18, "parameters": 1e8}]}},
            "must be stated in compute with tokens_per_sample, because unit is records",
        ),
        (
            {
                "filtering": {
                    "budgets": [{"flops": 1e9, "parameters": 1e6, "tokens_per_sample": 2}]
                },
                "unit": "tokens",
            },
            "compute without tokens_per_sample, because unit is tokens",
        ),
        ({"filtering": {"budgets": [{"gpu_hours": 3}]}}, "gpu_hours needs parameters"),
        (
            {"filtering": {"budgets": [{"flops": 5, "parameters": 1e9}]}, "unit": "tokens"},
            "less than one of the tokens is left",
        ),
        ({"holdout": {"share": 1}}, "holdout.share: Input should be less than 1"),
        ({"holdout": {"share": float("nan")}}, "holdout.share: "),
        ({"deduplication": {"similarity": 0}}, "deduplication.similarity: Input should be greater"),
        ({"deduplication": {"similarity": float("nan")}}, "deduplication.similarity: "),
        ({"limits": {"workers": 0}}, "limits.workers: Input should be greater than or equal to 1"),
        ({"name": "9 lives"}, "name: String should match pattern"),
        (
            {
                "allocation": {
                    "by": "g",
                    "objective": "isoelastic",
                    "weights": "equal",
                    "policy": POLICY,
                },
                **rule(groups={"g": {"value": "a"}}),
            },
            "needs aversion",
        ),
        (
            {
                "allocation": {
                    "by": "g",
                    "objective": "weighted_sum",
                    "weights": {"a": -1},
                    "policy": POLICY,
                },
                **rule(groups={"g": {"value": "a"}}),
            },
            "allocation.weights.a: Input should be greater than or equal to 0",
        ),
        (
            {
                "allocation": {
                    "by": "g",
                    "objective": "leximin",
                    "level": "raw",
                    "policy": {"owner": "", "reason": "r"},
                },
                **rule(groups={"g": {"value": "a"}}),
            },
            "allocation.policy.owner: String should have at least 1 character",
        ),
        (
            {
                "allocation": {"by": "g", "objective": "leximin", "level": "raw", "policy": POLICY},
                **rule(role="evaluation", groups={"g": {"value": "a"}}),
            },
            "no training rule sets that group (['g'])",
        ),
    ],
)
def test_more_faults_of_shape(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parsed(**changes)
    assert told in str(caught.value)
    assert caught.value.exit_status == 2


# -- credentials and places ------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["lake", "output", "state"])
@pytest.mark.parametrize(
    "address",
    [
        "s3://key:HUSH@bucket/x",
        "S3://key:HUSH@bucket/x",
        "adl.x+y-z://user:HUSH@host/x",
        "file://user:HUSH@host/x",
        "https://host/x?sig=HUSH",
        "https://host/x?a=1&X-Amz-Signature=HUSH",
        "s3://bucket/x?access_key_id=a&secret_access_key=HUSH",
        "az://container/x?sas_token=HUSH",
        "abfss://container/x;AccountKey=HUSH",
        "gs://bucket/x#password=HUSH",
    ],
)
def test_an_address_that_holds_a_credential_is_refused_and_not_repeated(
    key: str, address: str
) -> None:
    with pytest.raises(
        RecipeError, match=f"{key}: the address holds a credential.*environment"
    ) as e:
        parsed(**{key: address})
    assert "HUSH" not in str(e.value)


def test_a_plain_folder_is_no_address() -> None:
    for folder in ("a:b@c", "user@host", "x?versionId=3", "lake#2/key=1", "a&b/token=2/c"):
        assert parsed(lake=folder).lake == f"/base/{folder}"


def test_places_count_from_the_recipe_wherever_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "recipes" / "r.yaml"
    file.write_text(
        yaml.safe_dump(
            {**MINIMAL, "lake": "../lake", "output": "/abs/out", "state": "file:///abs/s"}
        ),
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = load_recipe("../recipes/r.yaml")
    assert there.lake == str(tmp_path / "lake")
    assert there.output == "/abs/out"
    assert there.state_root == there.state == "/abs/s"
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/r.yaml") == there


# -- hash and sections -----------------------------------------------------------------------------


def test_neither_the_order_of_keys_nor_defaults_written_out_change_the_hash() -> None:
    base = parsed()
    assert parse_recipe(dict(reversed(MINIMAL.items())), base=Path("/other")).hash == base.hash
    assert parsed(holdout={"share": 0.02}, seed=0, **rule(role="train", text=["text"])).hash == (
        base.hash
    )
    assert parsed(state="/elsewhere", limits={"memory": "1GB", "device": "cpu"}).hash == base.hash


def test_the_place_of_the_cost_table_is_not_in_the_hash() -> None:
    # what it states is part of what the plan depends on, wherever it lies
    there = parse_recipe({**MINIMAL, "containment": {"costs": "c.csv"}}, base=Path("/other"))
    assert there.containment.costs == "/other/c.csv"
    assert there.hash == parsed().hash


@pytest.mark.parametrize(
    "name", sorted(set(Recipe.model_fields) - {"lake", "output", "state", "containment"})
)
def test_each_key_but_limits_is_in_the_hash(name: str) -> None:
    base = parsed()
    value = getattr(base, name)
    other = base.model_copy(
        update={
            name: {
                "name": "other",
                "records": (*base.records, *base.records),
                "unit": "tokens",
                "allocation": parsed(
                    allocation={
                        "by": "g",
                        "objective": "leximin",
                        "level": "raw",
                        "policy": POLICY,
                    },
                    **rule(groups={"g": {"value": "a"}}),
                ).allocation,
                "max_quarantine": 0.5,
                "recalibrate_at": 0.5,
                "seed": 1,
                "holdout": parsed(holdout={"share": 0.5}).holdout,
                "containment": parsed(containment={"renamed": True}).containment,
                "deduplication": parsed(deduplication={"similarity": 0.5}).deduplication,
                "scoring": parsed(scoring={"dimensions": 8}).scoring,
                "filtering": parsed(filtering={"proxy": {"seeds": 9}}).filtering,
                "limits": parsed(limits={"workers": 9}).limits,
            }[name]
        }
    )
    assert getattr(other, name) != value
    assert (other.hash == base.hash) is (name == "limits")


def test_the_order_of_rules_is_part_of_the_recipe() -> None:
    one, two = {"tables": "a", "text": "t"}, {"tables": "*", "text": "t"}
    assert parsed(records=[one, two]).hash != parsed(records=[two, one]).hash


def test_a_recipe_cannot_be_changed_behind_its_hash() -> None:
    recipe = parsed()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 4
    with pytest.raises(ValidationError, match="frozen"):
        recipe.filtering.pools = 2


def test_a_section_is_plain_data() -> None:
    recipe = parsed(deduplication={"similarity": 0.5})
    assert recipe.section("deduplication", "seed")["deduplication"]["similarity"] == 0.5
    assert list(recipe.section("seed", "unit")) == ["seed", "unit"]
    assert yaml.safe_load(yaml.safe_dump(recipe.section("records", "filtering"))) is not None
    assert parsed(**rule(groups={"b": {"value": "x"}, "a": {"column": "c"}})).group_names == (
        "a",
        "b",
    )
    assert parsed(**rule(keep=["k", "j"])).kept_columns == ("j", "k")
    assert parsed(filtering={"budgets": [{"samples": 3}, {"samples": 9}], "publish": 1}).budget == 9
