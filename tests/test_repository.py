"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from resources.version import CODE_VERSION

ROOT = Path(__file__).resolve().parents[1]
STAGES = (
    "ingestion",
    "containment",
    "deduplication",
    "scoring",
    "filtering",
    "allocation",
    "publication",
)


def tracked() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if found.returncode or not found.stdout:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in found.stdout.splitlines()]


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == CODE_VERSION
    assert f"## {CODE_VERSION}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_lock_pins_every_dependency_and_names_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # peers of benchmarks and tests, and a package that is all weights, are not part of the environment
    outside = {"bench", "compare", "minilm"}
    extras = {n: e for n, e in project["optional-dependencies"].items() if n not in outside}
    for requirement in [
        *project["dependencies"],
        *(line for extra in extras.values() for line in extra),
    ]:
        name = re.split(r"[<>=\[; ]", requirement, maxsplit=1)[0]
        assert name.lower().replace("_", "-") in pinned, requirement


def test_no_address_of_a_registry_and_no_home_of_anybody() -> None:
    registry = r"https?://[^ \"'/]*(pypi|pythonhosted|anaconda|devpi|artifactory|nexus)[^ \"']*"
    index = r"https?://[^ \"']+/(simple|packages)\b|(--|extra-)index-url[ =]+https?://"
    home = r"/home/[a-z]+/|/Users/[A-Za-z]+/|[A-Z]:\\\\Users\\\\"
    wrong = re.compile(f"{registry}|{index}|{home}", re.IGNORECASE)
    for path in tracked():
        if path.suffix in {".png", ".parquet"} or path == Path(__file__).resolve():
            continue
        assert not wrong.search(path.read_text(encoding="utf-8", errors="replace")), path


def test_every_package_folder_has_its_init() -> None:
    for root in ("orchestration", "assets", "resources", "tests"):
        for path in (ROOT / root).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


def test_only_definitions_import_dagster() -> None:
    for path in (ROOT / "assets").rglob("*.py"):
        if path.name != "definitions.py":
            assert "dagster" not in {name.split(".")[0] for name in imported(path)}, path


def test_resources_import_dagster_in_one_place_only() -> None:
    for path in (ROOT / "resources").glob("*.py"):
        if path.name != "dagster_stage.py":
            assert "dagster" not in {name.split(".")[0] for name in imported(path)}, path


def test_imports_run_one_way() -> None:
    order = ["resources", "assets", "orchestration"]
    for depth, layer in enumerate(order):
        for path in (ROOT / layer).rglob("*.py"):
            above = {name.split(".")[0] for name in imported(path)} & set(order[depth + 1 :])
            assert not above, f"{path} imports {above}"


def test_a_stage_imports_only_from_upstream() -> None:
    order = ["kernels", *STAGES]
    for depth, stage in enumerate(order):
        for path in (ROOT / "assets" / stage).rglob("*.py"):
            parts = [name.split(".") for name in imported(path)]
            known = {part[1] for part in parts if part[0] == "assets" and len(part) > 1}
            downstream = known & set(order[depth + 1 :])
            assert not downstream, f"{path} imports {downstream}"
            assert known <= set(order), f"{path} imports a stage that this test doesn't know"


def test_every_stage_folder_is_known() -> None:
    folders = {p.name for p in (ROOT / "assets").iterdir() if (p / "__init__.py").exists()}
    assert folders == {"kernels", *STAGES}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import assets.scoring.dsir as d", {"assets.scoring.dsir"}),
        ("from assets import scoring", {"assets", "assets.scoring"}),
        (
            "def f():\n    from assets.scoring import dsir",
            {"assets.scoring", "assets.scoring.dsir"},
        ),
        ("if 1:\n    import dagster as dg", {"dagster"}),
        ("x = 'import dagster'", set()),
    ],
)
def test_imports_are_seen_wherever_they_stand(code: str, names: set[str], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(code, encoding="utf-8")
    assert imported(path) == names


def test_every_stage_and_every_scorer_has_its_page() -> None:
    from assets.scoring.registry import SCORERS

    for stage in STAGES:
        assert (ROOT / "docs" / "stages" / f"{stage}.md").exists(), stage
    pages = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))
    for scorer in SCORERS:
        assert scorer in pages, scorer


def test_layers_told_without_dagster_are_those_of_the_stages() -> None:
    from orchestration.stages import BY_TABLE
    from orchestration.stages_light import layer_of

    assert {table: layer_of(table) for table in BY_TABLE} == {
        table: spec.layer for table, spec in BY_TABLE.items()
    }


def test_every_table_of_the_code_is_documented() -> None:
    from assets.allocation import round_spec
    from orchestration.stages import BY_TABLE, MODULES

    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    for table in (*BY_TABLE, *round_spec.SPEC.tables):
        assert f"`{table}`" in page, table
    for info in (
        *(i for module in MODULES for i in module.INFO.values()),
        *round_spec.INFO.values(),
    ):
        assert info.description in page


def test_every_key_of_the_recipe_is_documented() -> None:
    from resources.recipe import Recipe
    from resources.recipe_budget import Allocation, Filtering, Proxy, Rounds
    from resources.recipe_curation import Deduplication, Scoring
    from resources.recipe_records import RecordRule

    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    models = (Recipe, RecordRule, Deduplication, Scoring, Filtering, Proxy, Allocation, Rounds)
    for model in models:
        for key in model.model_fields:
            assert re.search(rf"[`.]{key}[`.:]|`{key}`", page), f"{model.__name__}.{key}"


def imported(path: Path) -> set[str]:
    """Name all that a file imports, in functions and conditions too; `from a import b` counts as `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = node.module
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                module = ".".join([*package, node.module])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names
