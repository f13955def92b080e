"""Keep a store tidy: sweep what killed runs left, let go of releases nobody keeps, compact small files.

What must stay is told by the releases: every version that a kept release names, of every table, and every landed
table that those versions of `ingestion/tables` refer to, or that a retired table is rebuilt from; and what a study in
rounds stands on. Also the newest version of each table stays, so that the next run finds the finished work of a killed
one. The lake layer is shared, so there the releases of every output that is known to the state root count; if one of
them can't be read, nothing of the lake layer's tables is removed.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources import delta
from resources.compaction import compact, needs_checkpoint, write_checkpoint
from resources.errors import RecipeError, StoreError
from resources.lease import Lease
from resources.outputs import note_dropped
from resources.pins import (
    LANDED,
    TABLES,
    Pins,
    Release,
    lake_pins,
    landed_pins,
    partition_pins,
    recipe_pins,
    release_pins,
    split_releases,
)
from resources.retired import held_leftovers, held_versions, records
from resources.stage_spec import Layer, Report, silent
from resources.sweep import Kind, Sweep, Tally, sweep_log, sweep_notes
from resources.table_log import TableLog, read_log
from resources.version import CODE_VERSION

LEAST_RETENTION_HOURS = 24.0
_SECONDS = 3600.0
Prune = Callable[[Path, Pins, Sweep], None]
"""Gets the state root, the versions of recipe-layer tables that stay, and the pass over the store."""


@dataclass
class Maintenance:
    """What was done to a store, or would be done.

    Attributes
    ----------
    kept, dropped
        Numbers of the output's releases that stay readable, and of those that are let go of now.
    removed
        Files and bytes by kind.
    compacted
        Tables whose small files were put together.
    checkpoints
        Tables whose log got a checkpoint.
    left_alone
        Places where nothing was removed, and why.
    dead_runs
        Runs that died at work here and left their lease.
    stale_leases
        Leases of runs that died, which were taken over and given back.
    held, damaged
        How many retired tables there are, and which of them can't be rebuilt because a held file fails its hash.
    """

    output: Path
    state: Path
    dry_run: bool
    retention_hours: float
    kept: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    removed: Mapping[Kind, Tally] = field(default_factory=dict)
    compacted: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    left_alone: list[dict[str, str]] = field(default_factory=list)
    stale_leases: int = 0
    dead_runs: list[str] = field(default_factory=list)
    held: int = 0
    damaged: list[dict[str, str]] = field(default_factory=list)


def maintain(
    output: Path,
    state: Path,
    layers: Mapping[str, Layer],
    *,
    retention_hours: float,
    keep_releases: int | None = None,
    dry_run: bool = False,
    force: bool = False,
    wait_seconds: float = 0.0,
    prune: Prune | None = None,
    report: Report = silent,
) -> Maintenance:
    """Sweep, compact and checkpoint the tables of one output and of the lake layer it stands on.

    Parameters
    ----------
    output, state
        The two roots.
    layers
        Tables of the pipeline and the layer of each; any other table is left alone.
    retention_hours
        Nothing younger is removed.
    keep_releases
        How many of the last releases stay readable; None: all of them.
    force
        Allow a retention below `LEAST_RETENTION_HOURS`.
    dry_run
        Tell what would be done. Takes no lease and writes nothing.
    wait_seconds
        How long to wait for a run to end.
    prune
        Lets go of what caches hold of contents that no kept release of any output has; None: caches are left alone.
    report
        Receives progress.

    Raises
    ------
    RecipeError
        When a setting would endanger readers or runs.
    BusyError
        When a run is at work.
    StoreError
        When the store refuses, or the output's own releases can't be read.
    """
    _check_settings(output, retention_hours, keep_releases, force=force)
    done = Maintenance(output, state, dry_run, retention_hours)
    holder = f"maintain-{uuid.uuid4().hex}"
    roots = [] if dry_run else sorted({output, state})
    leases = [Lease(root, holder, wait_seconds=wait_seconds) for root in roots]
    with contextlib.ExitStack() as held:
        for lease in leases:
            stale = lease.path.exists()
            held.enter_context(lease)
            done.stale_leases += stale
            if lease.taken_over is not None:
                done.dead_runs.append(lease.taken_over)

        def fence() -> None:
            for lease in leases:
                lease.assert_held()

        before = time.time() - retention_hours * _SECONDS
        work = _Work(done, layers, Sweep(before, fence, dry_run), holder, report, prune)
        try:
            work.run(keep_releases)
        except OSError as error:
            message = f"the store refused: {error}"
            raise StoreError(message) from error
    return done


def _check_settings(output: Path, hours: float, keep: int | None, *, force: bool) -> None:
    if not (output / "_sluice").is_dir():
        message = f"{output}: no run has ever written here; check the recipe's output"
        raise RecipeError(message)
    if hours < LEAST_RETENTION_HOURS and not force:
        message = (
            f"--retention of {hours:g} hours is below {LEAST_RETENTION_HOURS:g}: whoever reads what is let go of "
            "would lose it under their hands; say --force if nobody reads now"
        )
        raise RecipeError(message)
    if keep is not None and keep < 1:
        message = f"--keep-releases is {keep}; at least the last release is kept"
        raise RecipeError(message)


class _Work:
    """One maintenance, after the leases are taken."""

    def __init__(
        self,
        done: Maintenance,
        layers: Mapping[str, Layer],
        sweep: Sweep,
        holder: str,
        report: Report,
        prune: Prune | None,
    ) -> None:
        self.done, self.layers, self.sweep, self.holder = done, layers, sweep, holder
        self.report, self.prune = report, prune
        done.removed = sweep.removed

    def run(self, keep_releases: int | None) -> None:
        done = self.done
        kept, dropped = split_releases(done.output, keep_releases)
        done.kept = [row["release"] for row in kept]
        done.dropped = [row["release"] for row in dropped]
        pins = {
            **release_pins(kept, self.layers, "recipe", done.output),
            **self._lake_pins(kept),
        }
        for uri, versions in partition_pins(self.layers, done.output).items():
            pins[uri] = pins.get(uri, set()) | versions
        logs = self._logs(pins)
        if done.dropped and not done.dry_run:
            note_dropped(done.output, done.dropped)
        for root in sorted({done.output, done.state}):
            sweep_notes(self.sweep, root)
        for uri in logs:
            if self._compact(uri) and not done.dry_run:
                logs[uri] = read_log(uri)
        stay = {}
        for number, uri in enumerate(logs):
            self.report("maintain", "sweeping tables", number, len(logs))
            stay[uri] = self._sweep(uri, logs[uri], pins[uri])
        tables = done.state / TABLES
        if tables in stay:
            # after it, so that a version of it which can be read never refers to one that can't
            self._sweep_landed(landed_pins(done.state, logs[tables], stay[tables]))
        self._verify_held()
        self._prune(kept)
        for uri in logs:
            self._checkpoint(uri)

    def _prune(self, kept: list[Release]) -> None:
        """Let go of cached work for contents that no kept release of any output has."""
        done = self.done
        if self.prune is None:
            return
        self.report("maintain", "pruning caches", None, None)
        try:
            needed = recipe_pins(kept, self.layers, done.output, done.state)
            self.prune(done.state, needed, self.sweep)
        except Exception as error:
            self._leave("the caches", error)

    def _lake_pins(self, kept: list[Release]) -> Pins:
        done = self.done
        try:
            return lake_pins(kept, self.layers, done.output, done.state)
        except Exception as error:
            self._leave("the lake layer", error)
            return {}

    def _logs(self, uris: Iterable[Path]) -> dict[Path, TableLog]:
        """Read the log of every table that may be touched; a table whose log is damaged is left alone."""
        found = {}
        for uri in sorted(uri for uri in uris if uri.is_dir()):
            try:
                found[uri] = read_log(uri)
            except StoreError as error:
                self._leave(self._name(uri), error)
        return found

    def _sweep(self, uri: Path, log: TableLog, pinned: set[int]) -> frozenset[str]:
        """Sweep a table; its newest version stays, and the newest of a stage, which a compaction may follow."""
        newest = {version for version, _ in delta.commits(uri, 1)} | {log.newest}
        return self._sweep_data(uri, log, pinned | (newest if log.live else set()))

    def _verify_held(self) -> None:
        """Hash what retired tables are rebuilt from; remove what killed retirements left."""
        try:
            known = records(self.done.state)
            for path in held_leftovers(self.done.state):
                self.sweep.tree("temporary files", path)
        except StoreError as error:
            self._leave("held", error)
            return
        for number, record in enumerate(known):
            self.report("maintain", "hashing held files", number, len(known))
            self.done.held += 1
            faults = record.faults()
            if faults:
                told = {"table": record.table, "reason": "; ".join(faults[:5])}
                self.done.damaged.append(told)

    def _sweep_landed(self, pins: Pins) -> None:
        """Sweep the landed tables; of those that nothing refers to any more no version stays."""
        try:
            for uri, versions in held_versions(self.done.state).items():
                pins[uri] = pins.get(uri, set()) | versions
        except StoreError as error:
            self._leave(LANDED.as_posix(), error)
            return
        folders = (self.done.state / LANDED).glob("*/")
        for uri, log in self._logs(folders).items():
            self._sweep_data(uri, log, pins.get(uri, set()))

    def _sweep_data(self, uri: Path, log: TableLog, versions: set[int]) -> frozenset[str]:
        if max(versions, default=-1) > log.newest:
            told = f"version {max(versions)} is needed and the log ends at {log.newest}"
            self._leave(self._name(uri), StoreError(told))
            return frozenset(file.name for file in uri.glob("*.parquet"))
        sweep_log(self.sweep, uri)
        return self.sweep.table(uri, log, versions)

    def _compact(self, uri: Path) -> bool:
        self.sweep.fence()
        told = {"run": self.holder, "code_version": CODE_VERSION}
        made = compact(uri, told, dry_run=self.done.dry_run)
        if made is not None:
            self.done.compacted.append({"table": self._name(uri), **made.__dict__})
        return made is not None

    def _checkpoint(self, uri: Path) -> None:
        table = delta.open_table(uri)
        if table is not None and needs_checkpoint(uri, table.version()):
            if not self.done.dry_run:
                self.sweep.fence()
                write_checkpoint(uri)
            self.done.checkpoints.append(self._name(uri))

    def _name(self, uri: Path) -> str:
        root = self.done.output if uri.is_relative_to(self.done.output) else self.done.state
        return uri.relative_to(root).as_posix()

    def _leave(self, place: str, error: Exception) -> None:
        self.done.left_alone.append({"place": place, "reason": str(error)})
