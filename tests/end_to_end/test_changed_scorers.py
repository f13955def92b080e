"""Where one scorer's settings change, that one is fitted and the others stand; the result is that of a rebuild."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.scoring.dsir import Dsir
from assets.scoring.heuristics import Heuristics, Repetition
from assets.scoring.prototype import Prototype
from assets.scoring.redundancy import RedundancyScorer
from orchestration.execute import execute
from resources.recipe_file import load_recipe
from tests import lakes
from tests.conftest import RunLake
from tests.end_to_end.test_day_two import said

KINDS = (Dsir, Heuristics, Repetition, Prototype)
USUAL = ["dsir", "prototype", "heuristics"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is fitted, and how many rows each scorer scores."""
    counted: Counter[str] = Counter()

    def watch(kind: type[Any], method: str, key: str, rows: Callable[..., int]) -> None:
        true = getattr(kind, method)

        def wrapped(self: Any, *given: Any, **named: Any) -> Any:
            counted[key] += rows(*given)
            return true(self, *given, **named)

        monkeypatch.setattr(kind, method, wrapped)

    for kind in KINDS:
        watch(kind, "finish", f"{kind.name} fits", lambda *_: 1)
        watch(kind, "summarise", f"{kind.name} passes", lambda *_: 1)
        watch(kind, "score", f"{kind.name} rows", lambda batch, _: len(batch))
    watch(RedundancyScorer, "fit_vectors", "redundancy fits", lambda *_: 1)
    return counted


@pytest.fixture
def folder(run_lake: RunLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(run_lake.lake.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return tmp_path


def run(folder: Path, output: str, scoring: dict[str, Any], **more: Any) -> pl.DataFrame:
    """Run a recipe with its scoring section; returns the calibration."""
    recipe = lakes.write_recipe(folder / f"{output}.yaml", output=output, scoring=scoring, **more)
    execute(load_recipe(recipe))
    return said(folder / output, "scoring/calibration")


CASES = {
    "a setting": ([USUAL[0], {"prototype": {"k": 3}}, USUAL[2]], {}, {"prototype"}),
    "one is new": ([*USUAL, "repetition"], {}, {"repetition"}),
    "one is gone": (USUAL[:2], {}, set()),
    "the combiner": (USUAL, {"combine": "topsis"}, set()),
    "the embedder": (USUAL, {"dimensions": 64}, {"prototype", "redundancy"}),
    "the search": ([*USUAL, {"redundancy": {"cells": 2}}], {}, {"redundancy"}),
}


QUICK = {"a setting", "the embedder"}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in QUICK else pytest.mark.slow) for c in sorted(CASES)]
)
def test_only_what_changed_is_fitted(case: str, folder: Path, fits: Counter[str]) -> None:
    scorers, settings, changed = CASES[case]
    before = said(folder / "out", "scoring/calibration")
    after = run(folder, "out", {"scorers": scorers, **settings})
    names = [n if isinstance(n, str) else next(iter(n)) for n in scorers]
    for name in {*names, "redundancy"}:
        assert (fits[f"{name} fits"] > 0) == (name in changed), name
        if name != "redundancy":
            assert (fits[f"{name} passes"] > 0) == (name in changed), name
            assert (fits[f"{name} rows"] > 0) == (name in changed), name
    fitted = set(after.filter("renewed")["scorer"]) - {"borda", "topsis"}
    assert fitted == {*changed}
    states = {
        side: dict(frame.select("scorer", "digest").iter_rows())
        for side, frame in (("before", before), ("after", after))
    }
    for name in {*names, "redundancy"} - changed:
        assert states["after"][name] == states["before"][name]
    if changed:
        assert all(
            f"{n}'s " in after["reason"][0] or f"{n} is new" in after["reason"][0] for n in changed
        )

    rebuilt = run(folder, "rebuilt", {"scorers": scorers, **settings})
    per_run = ["reason", "renewed", "drift"]
    assert_frame_equal(
        after.drop(per_run), rebuilt.drop(per_run), check_row_order=False, check_exact=True
    )
    ours, theirs = (said(folder / root, "scoring/scores") for root in ("out", "rebuilt"))
    assert_frame_equal(ours, theirs, check_row_order=False, check_exact=True)


@pytest.mark.slow
def test_a_changed_target_leaves_those_that_do_not_look_at_it(
    folder: Path, fits: Counter[str]
) -> None:
    with (folder / "lake/target/good.txt").open("a", encoding="utf-8") as file:
        file.write(lakes.words("en", 7100, 50) + "\n")
    after = run(folder, "out", {"scorers": USUAL})
    assert after["reason"][0] == "dsir's target changed; kept: heuristics, prototype, redundancy"
    assert fits["dsir fits"] == 1
    assert fits["prototype fits"] == fits["heuristics fits"] == fits["redundancy fits"] == 0


def test_new_records_and_a_changed_scorer_at_once(folder: Path, fits: Counter[str]) -> None:
    """Those that stand score the new records, the changed one all of them."""
    with (folder / "lake/texts/english.jsonl").open("a", encoding="utf-8") as file:
        for seed in range(7300, 7303):
            row = {"text": lakes.words("en", seed, 50), "language": "en", "source": "new"}
            file.write(json.dumps(row) + "\n")
    before = said(folder / "out", "scoring/scores").sort("record_id")
    run(folder, "out", {"scorers": ["dsir", {"prototype": {"k": 3}}, "heuristics"]})
    after = said(folder / "out", "scoring/scores").sort("record_id")
    assert fits["dsir rows"] == fits["heuristics rows"] == 3
    assert fits["prototype rows"] == after.height == before.height + 3
    assert fits["dsir fits"] == fits["heuristics fits"] == 0
    stood = after.join(before.select("record_id"), on="record_id", how="semi")
    assert_frame_equal(
        stood.select("dsir", "heuristics", "silent"), before.select("dsir", "heuristics", "silent")
    )
    assert not stood["prototype"].equals(before["prototype"])


@pytest.mark.slow
def test_a_version_counts_as_a_change(
    folder: Path, fits: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Heuristics, "version", Heuristics.version + 1)
    after = run(folder, "out", {"scorers": USUAL}, seed=0, recalibrate_at=0.2)
    assert "heuristics's version changed" in after["reason"][0]
    assert fits["heuristics fits"] == 1
    assert fits["dsir fits"] == fits["prototype fits"] == 0
