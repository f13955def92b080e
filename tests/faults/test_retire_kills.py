"""Kill retire, delete and restore before every change of the disk: the table is there, or it can be restored."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from assets.containment.rebuild import read_all
from assets.containment.restore import restore
from assets.containment.retire import delete
from assets.ingestion.discover import discover
from resources.errors import RecipeError
from resources.held import HELD
from resources.retired import read_tombstone, records, tombstone_of
from tests.containment.retire_lake import files_of, open_lake, rows
from tests.faults.small import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

CHILDREN = {"part.csv": "whole.csv", "parts": "whole.parquet", "versions": "whole"}


def build(folder: Path) -> None:
    lake = folder / "lake"
    (lake / "parts").mkdir(parents=True)
    whole = rows(900)
    whole.write_csv(lake / "whole.csv")
    whole.filter(language="sw").sample(fraction=1, shuffle=True, seed=3).write_csv(
        lake / "part.csv"
    )
    rows(900, 5_000).write_parquet(lake / "whole.parquet")
    for number in range(2):
        part = rows(300, 5_100 + 350 * number)
        part.write_parquet(lake / f"parts/{number}.parquet")
    (lake / "parts/_SUCCESS").touch()
    write_deltalake(lake / "whole", rows(900, 9_000).to_arrow())
    write_deltalake(lake / "versions", rows(500, 9_100).to_arrow(), partition_by=["language"])


class Work:
    """One table's lake in three states: as built, retired, deleted."""

    def __init__(self, folder: Path, child: str) -> None:
        self.folder, self.child = folder / "work", child
        self.place, self.state = self.folder / "lake" / child, self.folder / "state"
        build(self.folder)
        for other, parent in CHILDREN.items():  # one pair is enough, and quicker
            if other != child:
                for name in (other, parent):
                    path = self.folder / "lake" / name
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.before = self.content()
        self.keep("retire")
        open_lake(self.folder / "lake", self.state).retire(child, CHILDREN[child])
        self.keep("delete")
        delete(self.state, self.place)
        self.keep("restore")

    def content(self) -> object:
        """What a reader sees of the table: rows for Parquet and Delta, else bytes."""
        if self.child == "part.csv":
            return files_of(self.place)
        source = next(s for s in discover(self.place.parent).sources if s.path == self.place)
        files = {f.relative for f in source.files}
        return files, pl.DataFrame(read_all(source))

    def same(self) -> bool:
        now = self.content()
        if isinstance(now, tuple) and isinstance(self.before, tuple):
            return now[0] == self.before[0] and now[1].equals(self.before[1])
        return now == self.before

    def keep(self, name: str) -> None:
        shutil.copytree(self.folder, self.folder.with_name(name))

    def go_back(self, name: str) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name(name), self.folder)

    def spawn(self, do: str, at: int = -1) -> tuple[int, list[str]]:
        log = self.folder.with_name("log")
        log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.faults.retire_child", str(self.folder), do]
        command += [self.child, CHILDREN[self.child], str(log), "--at", str(at)]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
        )
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        return ended.returncode, log.read_text(encoding="utf-8").splitlines()

    def hidden(self) -> list[str]:
        lake = self.folder / "lake"
        return [p.name for p in lake.iterdir() if p.name.startswith(".")]

    def assert_nothing_is_lost(self) -> None:
        """The table is whole, or its tombstone stands and a restore from here brings it back."""
        self.keep("aside")
        try:
            stone = tombstone_of(self.place)
            if self.place.exists() and not stone.exists():
                assert self.same()
                return
            assert read_tombstone(stone).told["certificate"]["rows"] > 0
            restore(self.state, self.child, self.place)
            assert self.same()
            assert not stone.exists()
        finally:
            self.go_back("aside")
            shutil.rmtree(self.folder.with_name("aside"))

    def finish(self, do: str) -> None:
        """Do again what was killed, and find everything as after an undisturbed one."""
        stone = tombstone_of(self.place)
        if do == "retire" and not stone.exists():
            open_lake(self.folder / "lake", self.state).retire(self.child, CHILDREN[self.child])
        elif do == "delete":
            delete(self.state, self.place)
        elif do == "restore":
            with contextlib.suppress(RecipeError):  # killed when all but the clearing was done
                restore(self.state, self.child, self.place)
        assert stone.exists() == (do != "restore")
        if do == "delete":
            assert not self.place.exists()
            assert read_tombstone(stone).told["deleted_at"] is not None
        if do == "retire":
            (record,) = records(self.state)
            assert record.faults() == []
            delete(self.state, self.place)
        if do != "restore":
            restore(self.state, self.child, self.place)
        assert self.same()
        assert self.hidden() == []
        left = [p for p in (self.state / HELD).rglob("*") if p.is_file()]
        assert left == [], left


@pytest.fixture(scope="module", params=list(CHILDREN))
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("retire_kills"), request.param)


@pytest.mark.parametrize("do", ["retire", "delete", "restore"])
def test_killed_before_every_change_nothing_is_lost(do: str, work: Work) -> None:
    work.go_back(do)
    status, changes = work.spawn(do)
    assert status == 0
    assert len(changes) >= {"retire": 8, "delete": 3, "restore": 5}[do], changes
    for at in range(len(changes)):
        work.go_back(do)
        status, seen = work.spawn(do, at)
        assert (status, len(seen)) == (-signal.SIGKILL, at + 1), seen
        work.assert_nothing_is_lost()
        work.finish(do)
