"""An emptied folder stops a run, unless the person says that it is meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestration.cli import main
from resources.releases import last_release
from tests.faults.small import build, contents


def test_a_lake_that_lost_most_of_its_rows_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    recipe = build(tmp_path)
    run = CliRunner()
    assert run.invoke(main, ["run", str(recipe)]).exit_code == 0
    before = contents(recipe)
    (tmp_path / "lake" / "a.jsonl").write_text('{"text": "all that is left", "language": "en"}\n')
    stopped = run.invoke(main, ["run", str(recipe)])
    assert stopped.exit_code == 3
    assert "lake_has_not_shrunk" in stopped.output
    assert "--accept-shrink" in stopped.output
    after = contents(recipe)
    assert all(before[name].equals(after[name]) for name in before)
    meant = run.invoke(main, ["run", str(recipe), "--accept-shrink"])
    assert meant.exit_code == 0, meant.output
    assert last_release(tmp_path / "out")["release"] == 2  # type: ignore[index]


def test_a_trace_tells_every_kind_of_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    recipe = build(tmp_path)
    run = CliRunner()
    assert run.invoke(main, ["run", str(recipe)]).exit_code == 0
    ledger = contents(recipe)["publication/ledger"]
    for fate in ("published", "duplicate", "contaminated", "evaluation", "held_out"):
        record = ledger.filter(ledger["fate"] == fate)["record_id"].drop_nulls()
        assert len(record), fate
        told = run.invoke(main, ["trace", record[0], "--recipe", str(recipe)])
        assert told.exit_code == 0, told.output
        assert f"fate: {fate}" in told.output
    told = run.invoke(main, ["trace", "n.csv#3", "--recipe", str(recipe), "--json"])
    assert told.exit_code == 0, told.output
    assert '"position": 3' in told.output
    missing = run.invoke(main, ["trace", "n.csv#300", "--recipe", str(recipe)])
    assert missing.exit_code == 2
    assert "has 30 rows" in missing.output
