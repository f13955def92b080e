"""A run: pinned reads, staged writes, audit before commit, and finished work that is not redone.

Every table version is identified by a *fingerprint*: the hash of the stage, its code version, the
parts of the recipe it reads, and the identities of the versions it read. So two commits with one fingerprint hold the
same rows, and a run that
finds its fingerprint already committed (by a run that was killed, or by the last release) adopts that version.

What a stage reads is, in this order: the version that its own run wrote or adopted; the one in the
last release; and, as long as nothing was ever released, the version whose fingerprint is the one this very run would
write. Never just the latest.

Some stages also keep to what was decided before: which records are held out, and the calibration (fitted scorers,
pool cuts, training curves). What such a stage may remember of its base, the last release, is part of its fingerprint;
where nothing that it reads has changed since that release, the release's own version is the answer.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from resources import delta
from resources.base import Base, metadata_at
from resources.errors import NotReadyError, RecipeError, StoreError
from resources.lease import Lease
from resources.outputs import register_output
from resources.recipe import Recipe
from resources.releases import last_release
from resources.sample import sampled
from resources.stage import Stage
from resources.stage_spec import CheckOutcome, Committed, Report, StageSpec, digest, silent


class Run:
    """Everything a stage may ask of its run.

    Parameters
    ----------
    recipe
        The checked recipe.
    run_id
        Identity of the run; the Dagster run id when Dagster runs it.
    specs
        All stages by table, for fingerprints of what has not been released yet.
    recalibrate
        Fit every calibration anew, whatever the base release holds.
    calibration_from
        Output root whose last release is the base; None for this output's own.
    restart
        Begin tables that are written in partitions anew, at the first.
    sample
        Share of the training records to run on. The run then follows `sampled(recipe, sample)`, which writes to a root
        of its own.
    report
        Receives (stage, message, done, total) for people to watch.
    """

    def __init__(
        self,
        recipe: Recipe,
        run_id: str | None = None,
        *,
        specs: Sequence[StageSpec] = (),
        accept_shrink: bool = False,
        sample: float | None = None,
        recalibrate: bool = False,
        restart: bool = False,
        calibration_from: Path | None = None,
        wait_seconds: float = 0.0,
        report: Report = silent,
    ) -> None:
        self.whole_recipe = recipe
        self.recipe = recipe if sample is None else sampled(recipe, sample)
        self.run_id = run_id or uuid.uuid4().hex
        self.specs = {table: spec for spec in specs for table in spec.tables}
        self.accept_shrink = accept_shrink
        self.sample = sample
        self.recalibrate = recalibrate
        self.restart = restart
        own = calibration_from is None or calibration_from.resolve() == Path(self.recipe.output)
        self.calibration_from = None if own else calibration_from
        self.report = report
        self.failure: BaseException | None = None
        self.standing_faults: list[CheckOutcome] = []
        self.listing: Any = None
        self.output = Path(self.recipe.output)
        self.state = Path(self.recipe.state_root)
        roots = sorted({self.output, self.state})
        self._leases = [Lease(root, self.run_id, wait_seconds=wait_seconds) for root in roots]
        self._release: dict[str, Any] | None = None
        self._release_read = False
        self._base: Base | None = None
        self._base_read = False
        self._pinned: dict[str, Committed] = {}

    def __enter__(self) -> Self:
        taken: list[Lease] = []
        try:
            for lease in self._leases:
                lease.acquire()
                taken.append(lease)
            register_output(self.state, self.output)
        except Exception:
            for lease in taken:
                lease.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lease in self._leases:
            lease.release()

    @property
    def dead_runs(self) -> set[str]:
        """Runs whose leases this run took over, because they died at work here."""
        return {lease.taken_over for lease in self._leases if lease.taken_over is not None}

    def assert_held(self) -> None:
        """Raise unless this run still holds every lease it took."""
        for lease in self._leases:
            lease.assert_held()

    def uri(self, table: str) -> Path:
        """Return the folder of a table: lake-layer tables under `state:`, the rest under `output:`."""
        spec = self.specs.get(table)
        root = self.state if spec is not None and spec.layer == "lake" else self.output
        return root / table

    @property
    def scratch(self) -> Path:
        """Folder for caches by content in the lake layer; any file in it may be removed at any time."""
        return self.state / "_sluice" / "cache"

    # -- which version a stage reads ---------------------------------------------------------------------------------

    @property
    def release(self) -> dict[str, Any] | None:
        """The last release (its row, `versions` and `rows` decoded), or None before the first."""
        if not self._release_read:
            self._release = last_release(self.output)
            self._release_read = True
        return self._release

    def committed(self, table: str) -> Committed:
        """Return the version of a table that this run stands on.

        Raises
        ------
        NotReadyError
            When neither this run nor a release has the table.
        """
        own = self._pinned.get(table) or self._own(table)
        if own is not None:
            return own
        if self.release is not None and table in self.release["versions"]:
            version = int(self.release["versions"][table])
            identity = str(metadata_at(self.uri(table), version)["identity"])
            return Committed(table, version, identity, adopted=True)
        spec = self.specs.get(table)
        if self.release is None and spec is not None:
            found = self.find_version(table, self.fingerprint(spec))
            if found is not None:
                return found
        message = f"{table} has not been written by this run nor released; select it too, for example --select +{table}"
        raise NotReadyError(message)

    def pin(self, versions: Mapping[str, int]) -> None:
        """Read tables at these versions from here on, whatever is released.

        Raises
        ------
        StoreError
            When a version can't be read any more.
        """
        for table, version in versions.items():
            uri = self.uri(table)
            if not delta.is_whole(uri, version):
                message = f"{uri}: version {version}, on which earlier partitions stand, is not there any more"
                raise StoreError(message)
            identity = str(metadata_at(uri, version)["identity"])
            self._pinned[table] = Committed(table, version, identity, adopted=True)

    def _record_file(self, table: str) -> Path:
        # beside the layer, so that recipes which share a lake layer see each other's part of one run
        spec = self.specs.get(table)
        root = self.state if spec is not None and spec.layer == "lake" else self.output
        return root / "_sluice" / "runs" / self.run_id / f"{table.replace('/', '.')}.json"

    def _own(self, table: str) -> Committed | None:
        file = self._record_file(table)
        try:
            return Committed(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def find(self, table: str) -> Committed | None:
        """Return the committed version that holds exactly what this run would write, judged by what it stands on."""
        return self.find_version(table, self.fingerprint(self.specs[table]))

    def find_version(self, table: str, fingerprint: str) -> Committed | None:
        """Return the whole version of a table that a stage of this fingerprint wrote, or None."""
        spec = self.specs.get(table)
        standing = None if spec is None else self._standing(table, spec)
        if standing is not None:
            return standing
        # an append must follow everything before it, so only the newest counts as done already
        limit = 1 if spec is not None and spec.append else None
        for version, metadata in delta.commits(self.uri(table), limit):
            same = metadata.get("fingerprint") == fingerprint
            if same and delta.is_whole(self.uri(table), version):  # a swept version is only a name
                return Committed(table, version, str(metadata["identity"]), adopted=True)
        return None

    def _standing(self, table: str, spec: StageSpec) -> Committed | None:
        """Return the last release's version where the stage keeps to it and nothing that it reads has changed since."""
        base = self.base_of(spec)
        if not spec.remembers or base is None or self.calibration_from is not None:
            return None
        metadata = base.metadata(table)
        if metadata is None or metadata.get("inputs") != self.inputs(spec):
            return None
        return Committed(table, base.versions[table], str(metadata["identity"]), adopted=True)

    def fingerprint(self, spec: StageSpec) -> str:
        """Identify what this stage would write: its inputs, and what it remembers of the base release."""
        inputs = self.inputs(spec)
        base = self.base_of(spec)
        known = {} if base is None else {name: base.identity(name) for name in spec.remembers}
        return digest([inputs, known]) if any(known.values()) else inputs

    def inputs(self, spec: StageSpec) -> str:
        """Identify what this stage reads: code, recipe parts, and the identities of tables."""
        return digest(
            {
                "settings": self.settings(spec),
                "reads": {table: self.committed(table).identity for table in spec.reads},
                "extra": spec.extra(self) if spec.extra is not None else None,
            }
        )

    def settings(self, spec: StageSpec) -> str:
        """Identify a stage's code and its parts of the recipe, whatever the data are."""
        return digest(
            {
                "stage": spec.name,
                "code": spec.code_version,
                "recipe": self.recipe.section(*spec.sections),
                "seed": self.recipe.seed if spec.layer == "recipe" else None,
                "sample": self.sample if spec.layer == "recipe" else None,
            }
        )

    # -- what stands from before -------------------------------------------------------------------------------------

    @property
    def base(self) -> Base | None:
        """The release that this run keeps to, or None before the first.

        Raises
        ------
        RecipeError
            When another output was named and it has no release.
        """
        if not self._base_read:
            if self.calibration_from is None:
                found = self.release
            else:
                found = last_release(self.calibration_from)
                if found is None:
                    message = f"--calibration {self.calibration_from}: there is no release under this root"
                    raise RecipeError(message)
            root = self.calibration_from or self.output
            self._base = None if found is None else Base(root, found["versions"])
            self._base_read = True
        return self._base

    def base_of(self, spec: StageSpec) -> Base | None:
        """Return the base as far as a stage may keep to it."""
        return None if spec.calibrates and self.recalibrate else self.base

    def kept_settings(self, spec: StageSpec) -> Base | None:
        """Return the base if the stage's tables there were made by this code with these settings, else None."""
        metadata = None if self.base is None else self.base.metadata(spec.tables[0])
        same = metadata is not None and metadata.get("settings") == self.settings(spec)
        return self.base if same else None

    def calibration_base(self) -> tuple[Base | None, str]:
        """Return the base that has a calibration, else None and why a new one is needed."""
        if self.base is None:
            return None, "it is the first"
        if self.recalibrate:
            return None, "--recalibrate asked for it"
        return self.base, ""

    def kept_calibration(self, spec: StageSpec) -> tuple[Base | None, str]:
        """Return the base whose calibration may be kept as a whole, else None and why a new one is needed."""
        base, reason = self.calibration_base()
        if base is None:
            return None, reason
        base = self.kept_settings(spec)
        return base, "" if base is not None else "the recipe or the code has changed"

    def record(self, committed: Committed) -> None:
        """Note which version of a table this run stands on."""
        file = self._record_file(committed.table)
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{uuid.uuid4().hex}.new")
        fresh.write_text(json.dumps(committed.__dict__), encoding="utf-8")
        fresh.replace(file)

    # -- reading -----------------------------------------------------------------------------------------------------

    def scan(self, table: str) -> pl.LazyFrame:
        """Scan a table at the version this run stands on."""
        return delta.scan(self.uri(table), self.committed(table).version)

    def read(self, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read a (narrow) table, or some columns of it."""
        frame = self.scan(table)
        return (frame if columns is None else frame.select(columns)).collect(engine="streaming")

    def previous(self, table: str) -> pl.LazyFrame | None:
        """Scan a table as it stands in the last release, or None.

        The lake layer of a sampled run is the whole recipe's, which will adopt it: so its former state is too.
        """
        spec = self.specs.get(table)
        shared = self.sample is not None and spec is not None and spec.layer == "lake"
        release = last_release(Path(self.whole_recipe.output)) if shared else self.release
        if release is None or table not in release["versions"]:
            return None
        return delta.scan(self.uri(table), int(release["versions"][table]))

    def stage(self, spec: StageSpec) -> Stage:
        """Begin a stage."""
        return Stage(self, spec)
