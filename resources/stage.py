"""One execution of a stage: what is there is adopted, else it is staged, audited and committed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa

from resources import delta
from resources.delta_types import frame_schema
from resources.errors import CheckError
from resources.stage_spec import CheckOutcome, Committed, StageSpec, digest
from resources.staged_table import StagedTable
from resources.version import CODE_VERSION

if TYPE_CHECKING:
    from resources.run import Run

PUT_ROWS = 65_536  # that are held a second time while they are written


class Stage:
    """One execution of a stage: adopt what is there, or stage, audit and commit."""

    def __init__(self, run: Run, spec: StageSpec) -> None:
        self.run = run
        self.spec = spec
        self.fingerprint = run.fingerprint(spec)
        self.started = time.monotonic()
        self.checks: list[CheckOutcome] = []
        self.identities: dict[str, str] = {}
        self._staged: dict[str, StagedTable] = {}

    def adopt(self) -> list[Committed] | None:
        """Take over versions that hold exactly what this stage would write, or return None."""
        found = [self.run.find_version(table, self.fingerprint) for table in self.spec.tables]
        if any(item is None for item in found):
            return None
        adopted = [item for item in found if item is not None]
        for item in adopted:
            self.run.record(item)
        return adopted

    def open(self, table: str, schema: pa.Schema) -> StagedTable:
        """Begin to write a table; nobody sees it before `commit`."""
        if table not in self.spec.tables:
            message = f"{table} is no table of {self.spec.name}"
            raise KeyError(message)
        staged = StagedTable(self.run.uri(table), schema)
        if self.spec.append:
            # a run that froze behind the fence must not append after another that took its place
            newest = delta.open_table(staged.uri)
            staged.follows = -1 if newest is None else newest.version()
        self._staged[table] = staged
        return staged

    def put(self, table: str, frame: pl.DataFrame) -> None:
        """Write a whole (narrow) table."""
        staged = self.open(table, frame_schema(frame))
        for rows in frame.iter_slices(PUT_ROWS):
            staged.write(rows)
        staged.close()

    def staged(self, table: str) -> pl.LazyFrame:
        """Read what is staged for a table."""
        return self._staged[table].scan()

    def files(self, table: str) -> list[Path]:
        """Return the Parquet files that are staged for a table, in the order of its rows."""
        return list(self._staged[table].files)

    def rows(self, table: str) -> int:
        """Count what is staged for a table."""
        return self._staged[table].rows

    def check(self, name: str, passed: bool, *, blocking: bool = True, **facts: Any) -> None:  # noqa: ANN401, FBT001
        """Record an audit of the staged result."""
        self.checks.append(CheckOutcome(name, bool(passed), facts, blocking))

    def discard(self) -> None:
        """Drop what is staged."""
        for staged in self._staged.values():
            staged.discard()
        self._staged = {}

    def commit(self) -> list[Committed]:
        """Commit every table of the stage, unless a blocking check failed.

        A stage that knows the identity of a table's content better than by its fingerprint sets it in `identities`
        before (ingestion: the contents of the sources, so that touching a file changes nothing downstream).

        Raises
        ------
        CheckError
            Naming the checks that failed; nothing is committed.
        """
        failed = [c for c in self.checks if c.blocking and not c.passed]
        if failed:
            self.discard()
            told = "; ".join(f"{c.name}: {c.facts}" for c in failed)
            message = f"{self.spec.name}: nothing is committed, because a check failed: {told}"
            raise CheckError(message)
        missing = [t for t in self.spec.tables if t not in self._staged]
        if missing:
            message = f"{self.spec.name} did not write {missing}"
            raise KeyError(message)
        done = []
        inputs = self.run.inputs(self.spec)
        for table in self.spec.tables:
            self.run.assert_held()
            identity = self.identities.get(table) or digest([self.fingerprint, table])
            metadata = {
                "run": self.run.run_id,
                "asset": table,
                "code_version": f"{CODE_VERSION}+{self.spec.code_version}",
                "recipe_hash": self.run.recipe.hash,
                "fingerprint": self.fingerprint,
                "inputs": inputs,
                "settings": self.run.settings(self.spec),
                "identity": identity,
                "reads": {name: self.run.committed(name).version for name in self.spec.reads},
                "seconds": round(time.monotonic() - self.started, 3),
            }
            version = self._land(table, metadata)
            committed = Committed(table, version, identity, adopted=False)
            self.run.record(committed)
            done.append(committed)
        return done

    def _land(self, table: str, metadata: dict[str, Any]) -> int:
        mode: Literal["append", "overwrite"] = "append" if self.spec.append else "overwrite"
        return self._staged[table].commit(metadata, mode=mode)
