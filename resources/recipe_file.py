"""Read a recipe from its file, and say what is wrong with one: which key, which value, which remedy."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from resources.errors import RecipeError
from resources.recipe import Recipe
from resources.recipe_base import holds_credential
from resources.recipe_records import GroupSource


class _OnceLoader(yaml.SafeLoader):
    """A safe loader for which a key that stands twice is a fault: one of its values would be lost unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001 - yaml's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"key {key.value!r} stands twice in one mapping; remove one"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe; relative places count from the recipe's own folder.

    Raises
    ------
    RecipeError
        Naming the file, the key and the remedy: no such file, no YAML, an unknown key with the nearest known one,
        a value that can't be used.
    """
    path = Path(path)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)
    except FileNotFoundError as error:
        message = f"{path}: there is no such recipe; examples/minimal.yaml shows the least one"
        raise RecipeError(message) from error
    except yaml.MarkedYAMLError as error:
        # the place, not the line itself: it may hold what the recipe may not
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        message = f"{path}: can't be read as YAML{where}: {error.problem or error.context}"
        raise RecipeError(message) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path}: can't be read as YAML: {error}"
        raise RecipeError(message) from error
    if not isinstance(raw, dict):
        message = f"{path}: a recipe is a mapping with the keys lake, output and records"
        raise RecipeError(message)
    return parse_recipe(raw, base=path.resolve().parent, origin=str(path))


def parse_recipe(raw: dict[str, Any], *, base: Path, origin: str = "recipe") -> Recipe:
    """Check a recipe that is already plain data; see `load_recipe`."""
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item, raw) for item in error.errors()]
        message = f"{origin}: " + f"\n{origin}: ".join(lines)
        raise RecipeError(message) from error

    def resolved(place: str) -> str:
        return str((base / place.removeprefix("file://")).resolve())

    places: dict[str, Any] = {
        key: resolved(value)
        for key in ("lake", "output", "state")
        if (value := getattr(recipe, key)) is not None
    }
    if recipe.containment.costs is not None:
        costs = resolved(recipe.containment.costs)
        places["containment"] = recipe.containment.model_copy(update={"costs": costs})
    models: dict[str, Any] = {
        key: resolved(value)
        for key in ("embedder", "language_model")
        if (value := getattr(recipe.scoring, key)) is not None and _is_folder(value, base)
    }
    examples = recipe.scoring.classifier
    if examples is not None:
        files = {
            key: tuple(resolved(file) for file in getattr(examples, key))
            for key in ("positives", "negatives")
        }
        models["classifier"] = examples.model_copy(update=files)
    if models:
        places["scoring"] = recipe.scoring.model_copy(update=models)
    return recipe.model_copy(update=places)


def _is_folder(model: str, base: Path) -> bool:
    """Tell a model's folder from an id on a hub, which may have a slash too."""
    return model.startswith((".", "/", "file://")) or (base / model).is_dir()


def _explain(item: Any, raw: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's error dictionary has no public type
    # where a value may be of several types, pydantic puts the type it tried into the place
    parts = [str(part) for part in item["loc"] if not str(part).startswith(("dict[", "literal["))]
    where = ".".join(parts) or "recipe"
    if item["type"] == "extra_forbidden":
        known = _known_keys(item["loc"][:-1])
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
        return f"{where}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{where}: is required and missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    value = item.get("input")
    secret = isinstance(value, str) and holds_credential(value)
    shown = f" (is {value!r})" if isinstance(value, str | int | float) and not secret else ""
    return f"{where}: {message}{shown}"


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    model: Any = Recipe
    for part in location:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None or model is GroupSource:  # the name of a group, whatever it is
            return sorted(GroupSource.model_fields)
        found = _models_in(field.annotation)
        if not found:
            return []
        model = found[0]
    return sorted(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a type expression
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in getattr(annotation, "__args__", ()) for m in _models_in(arg)]
