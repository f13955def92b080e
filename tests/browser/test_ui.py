"""The Dagster UI in headless Chromium: an asset is materialized by clicking, and is seen to succeed."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.services import free_port, service, wait_for
from tests.lakes import build_small

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
    path = os.environ.get("SLUICE_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)} is on the path")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """`sluice ui` on a small lake: its address, and the folder with the recipe."""
    folder = tmp_path_factory.mktemp("ui")
    recipe, port = build_small(folder), free_port()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(folder / "dagster"),
        "SLUICE_FIGURES": "on",
    }
    command = [sys.executable, "-m", "orchestration.cli", "ui", str(recipe), "--port", str(port)]
    place = f"http://127.0.0.1:{port}"
    with service("ui", command, environment, folder):
        wait_for(lambda: urllib.request.urlopen(f"{place}/server_info", timeout=5).read(), "the UI")
        yield place, folder


@pytest.fixture
def page(browser: Any, ui: tuple[str, Path]) -> Iterator[Any]:
    one = browser.new_page(viewport={"width": 1500, "height": 1300}, base_url=ui[0])
    one.set_default_timeout(PATIENCE_MS)
    yield one
    one.close()


def materialize(page: Any) -> None:
    """Click on the button of `ingestion/tables`, and go to the page of the run that this starts."""
    page.goto("/assets/ingestion/tables")
    page.get_by_text("Latest materialization").first.wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("View", exact=True).first.click()
    page.wait_for_url("**/runs/*")


def test_an_asset_is_materialized_by_clicking_and_a_failure_says_why(
    page: Any, ui: tuple[str, Path]
) -> None:
    _address, folder = ui
    materialize(page)
    page.get_by_text("Success", exact=True).first.wait_for()
    assert (folder / "out" / "ingestion" / "tables" / "_delta_log").is_dir()

    page.goto("/assets/ingestion/tables")
    page.get_by_text("One row a source table of the lake").first.wait_for()
    row = page.locator("tr", has=page.get_by_text("by_format", exact=True))
    row.get_by_text("jsonl").wait_for()
    page.goto("/assets/ingestion/tables?view=checks")
    page.get_by_text("rows_counted_independently").first.wait_for()
    page.get_by_text("Succeeded").first.wait_for()

    (folder / "lake" / "notes.jsonl").unlink()
    materialize(page)
    page.get_by_text("Failure", exact=True).first.wait_for()
    page.get_by_text("holds no table that can be read; check the path").first.wait_for()


def test_the_graph_shows_every_stage(page: Any) -> None:
    page.goto("/asset-groups/")
    for stage in ("ingestion", "containment", "deduplication", "scoring", "filtering"):
        page.get_by_text(stage, exact=True).first.wait_for()
    for stage in ("allocation", "publication"):
        page.get_by_text(stage, exact=True).first.wait_for()


def test_the_recipe_is_a_resource_with_its_keys(page: Any) -> None:
    page.goto("/locations/sluice/resources/recipe")
    page.get_by_text("RecipeResource").first.wait_for()
    page.get_by_text("deduplication", exact=True).first.wait_for()
