"""A lake that changed since the last release: work in proportion, every row accounted for, and the same as a rebuild.

Each case copies the tiny lake after its first run, changes it as lakes change, and runs twice: incrementally, and from
nothing in a fresh root that keeps to the calibration and held-out records of the first.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.scoring.stored_scores import current
from orchestration.execute import Outcome, execute
from resources.recipe_file import load_recipe
from tests import lakes
from tests.conftest import RunLake
from tests.end_to_end.test_run import ledger_rows, physical_rows, release_of, table

PER_RUN = {
    "scoring/calibration": ["renewed", "drift"],
    "filtering/calibration": ["renewed", "moved"],
}
"""Columns that tell of a run and not of its result."""
EQUAL = (
    "ingestion/columns",
    "ingestion/quarantine",
    "containment/edges",
    "deduplication/records",
    "deduplication/duplicates",
    "deduplication/fates",
    "deduplication/contained",
    "scoring/scores",
    "scoring/calibration",
    "scoring/silences",
    "filtering/pools",
    "filtering/calibration",
    "filtering/curves",
    "filtering/laws",
    "filtering/plan",
    "filtering/analysis",
    "allocation/group_curves",
    "allocation/plan",
    "allocation/report",
    "publication/training_set",
    "publication/holdout",
    "publication/ledger",
)


@dataclass(frozen=True)
class Change:
    """Something that happened to the lake.

    Attributes
    ----------
    apply
        Makes it happen, in the folder of the lake.
    read
        Sources that are registered again, at most.
    made
        Tables whose rows are made records again, at most.
    scored
        Records that are scored, at most.
    much
        Whether more than a fifth is gone: then it must be meant, and the calibration is renewed.
    """

    apply: Callable[[Path], None]
    read: int
    made: int
    scored: int
    much: bool = False


def _append(lake: Path) -> None:
    rows = [(lakes.words("en", seed, 50), "en") for seed in range(5000, 5005)]
    rows.append((lakes.edited(lakes.texts("en", 12)[11], 30), "en"))  # a near twin of an old one
    with (lake / "texts/english.jsonl").open("a", encoding="utf-8") as file:
        for text, language in rows:
            file.write(json.dumps({"text": text, "language": language, "source": "new"}) + "\n")


def _edit(lake: Path) -> None:
    path = lake / "texts/pages.csv"
    lines = path.read_bytes().split(b"\r\n")
    for at in (5, 9):
        lines[at] = lines[at].replace(lakes.MARKER.encode(), b"edited since yesterday")
    path.write_bytes(b"\r\n".join(lines))


def _remove(lake: Path) -> None:
    path = lake / "texts/swahili.parquet"
    pl.read_parquet(path)[5:].write_parquet(path)


def _replace(lake: Path) -> None:
    rows = [
        {"text": text, "language": "am", "source": "again"}
        for text in lakes.texts("am", 22, start=300)
    ]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (lake / "texts/amharic.jsonl.gz").write_bytes(gzip.compress(content.encode(), mtime=0))


def _add_column(lake: Path) -> None:
    path = lake / "numbers/measured.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    wider = [f"{head},d", *[f"{row},{number % 7}" for number, row in enumerate(rows)]]
    path.write_text("\n".join(wider) + "\n", encoding="utf-8")


def _change_type(lake: Path) -> None:
    path = lake / "numbers/measured.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    halves = [row.replace(",", ".5,", 1) for row in rows]
    path.write_text("\n".join([head, *halves]) + "\n", encoding="utf-8")


def _rename(lake: Path) -> None:
    (lake / "texts/pages.csv").rename(lake / "texts/sheets.csv")


def _take_away(lake: Path) -> None:
    (lake / "texts/log.jsonl").unlink()


def _take_the_parent_away(lake: Path) -> None:
    (lake / "texts/english.jsonl").unlink()  # texts/extract.parquet was not read because of it


CHANGES = {
    "rows appended": Change(_append, read=1, made=1, scored=6),
    "rows edited": Change(_edit, read=1, made=1, scored=2),
    "rows removed": Change(
        _remove, read=1, made=2, scored=30
    ),  # texts/older is no longer contained
    "file replaced": Change(_replace, read=1, made=1, scored=22),
    "column added": Change(_add_column, read=1, made=1, scored=48),
    "type changed": Change(_change_type, read=1, made=1, scored=48),
    "table renamed": Change(_rename, read=1, made=1, scored=62),
    "table gone": Change(_take_away, read=0, made=0, scored=0),
    "parent gone": Change(_take_the_parent_away, read=0, made=1, scored=300, much=True),
}


def facts_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """Return the metadata that a run left in the instance, by table."""
    with dg.DagsterInstance.get() as instance:
        events = instance.get_records_for_run(
            outcome.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        ).records
    made = [record.asset_materialization for record in events]
    return {
        "/".join(m.asset_key.path): {k: v.value for k, v in m.metadata.items()}
        for m in made
        if m is not None
    }


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_the_second_day(
    name: str, run_lake: RunLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = CHANGES[name]
    shutil.copytree(run_lake.lake.folder, tmp_path, dirs_exist_ok=True)
    change.apply(tmp_path / "lake")
    output, rebuilt = tmp_path / "out", tmp_path / "rebuilt"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    outcome = execute(load_recipe(tmp_path / "recipe.yaml"), accept_shrink=change.much)
    assert release_of(output)["release"] == 2
    work_is_in_proportion(change, facts_of(outcome))
    every_row_is_accounted_for(tmp_path / "lake", output)
    what_was_held_out_stays_held_out(run_lake.lake.output, output)

    lakes.write_recipe(tmp_path / "rebuild.yaml", output="rebuilt")
    execute(load_recipe(tmp_path / "rebuild.yaml"), calibration_from=output)
    for written in EQUAL:
        ours, theirs = (
            said(root, written).drop(PER_RUN.get(written, [])) for root in (output, rebuilt)
        )
        try:
            assert_frame_equal(ours, theirs, check_row_order=False, check_exact=True)
        except AssertionError as error:
            raise AssertionError(f"{written} is not that of a rebuild: {error}") from error


def said(root: Path, name: str) -> pl.DataFrame:
    """Read a table; of scores, which are added to, the rows that count."""
    rows = table(root, name)
    return current(rows.lazy()).collect() if name == "scoring/scores" else rows


def work_is_in_proportion(change: Change, facts: dict[str, dict[str, Any]]) -> None:
    assert facts["ingestion/tables"]["read"] <= change.read
    assert facts["deduplication/records"]["tables_read"] <= change.made
    assert facts["deduplication/duplicates"]["texts_sketched"] <= change.scored
    assert facts["scoring/scores"]["scored_now"] <= change.scored
    written = facts["scoring/scores"]["rows_written"]
    # new, gone, and those whose nearest record is another
    assert change.much or written <= 4 * change.scored + 70
    assert facts["scoring/embeddings"]["new_vectors"] <= change.scored
    assert facts["scoring/calibration"]["renewed"] == change.much
    assert facts["filtering/calibration"]["renewed"] == change.much
    assert facts["filtering/curves"]["kept"] != change.much
    assert ("has drifted by" in facts["scoring/calibration"]["fitted_because"]) == change.much


def every_row_is_accounted_for(lake: Path, output: Path) -> None:
    accounted: Counter[str] = Counter()
    for (name, _fate), rows in ledger_rows(output).items():
        accounted[name] += rows
    told = table(output, "ingestion/tables").filter(~pl.col("table").str.starts_with("archive"))
    there = {
        name: physical_rows(lake / name) if counted is not None else 0
        for name, counted in told.select("table", "counted").iter_rows()
    }
    assert dict(accounted) == there


def what_was_held_out_stays_held_out(first: Path, output: Path) -> None:
    before = set(table(first, "publication/holdout")["content_id"])
    shown = set(table(output, "publication/training_set")["content_id"])
    assert before
    assert not before & shown
