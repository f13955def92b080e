"""What a run would do, told without doing it: what it reads, which stages it would compute, and what that may cost.

Nothing is written and no lease is taken, so that a run may be at work meanwhile; the answer is of this moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from assets.ingestion.definitions import unchanged_tables
from assets.ingestion.model import Discovery, Source
from assets.ingestion.register import stays_in_place
from orchestration.stages import SPECS
from resources import delta
from resources.errors import NotReadyError
from resources.recipe import Recipe
from resources.releases import last_release
from resources.run import Run
from resources.stage_spec import Committed, StageSpec

Status = Literal["unchanged", "adopted", "computed", "depends"]

# Measured on the sample lake (17 MB, 65 tables, 44,000 rows) on two cores; a stage: (seconds, seconds a MB).
SECONDS: Mapping[str, tuple[float, float]] = {
    "ingestion": (1.0, 0.1),
    "containment": (1.0, 0.1),
    "deduplication": (1.0, 0.2),
    "scoring/embeddings": (0.5, 0.1),
    "scoring/scores": (2.0, 1.5),
    "filtering/plan": (8.0, 0.0),
    "publication": (0.5, 0.03),
    "publication/releases": (5.0, 0.0),
}
PROXY_SHARE = 0.5  # of filtering.proxy.seconds, which bounds the proxies' work and not the clock
# Bytes written a byte of source there; landing counts only what is neither Parquet nor Delta.
LANDED, DISK = 0.5, {"lake": 0.01, "recipe": 1.6}
NO_HISTORY = (
    "constants measured on the sample lake (17 MB) on two cores: right to a factor of three or so"
)
MOST_COMMITS = 30


@dataclass(frozen=True)
class Step:
    """One stage in a forecast.

    Attributes
    ----------
    stage, tables
        Its name and what it writes.
    status
        `unchanged`: the last release holds it. `adopted`: an earlier run that never released left it. `computed`: its
        inputs, code or part of the recipe differ. `depends`: what it reads is computed; it stands if that comes out
        equal.
    seconds
        At most, by estimate; 0 where nothing is computed.
    """

    stage: str
    tables: tuple[str, ...]
    status: Status
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes
    ----------
    steps
        All stages, in order.
    unchanged
        Tables that ingestion takes over without reading them.
    read_bytes, source_bytes
        Of the tables that it would read, and of all.
    disk_bytes, seconds
        Estimates of what would be written, and how long that may take.
    basis
        Where the estimates come from.
    """

    steps: tuple[Step, ...]
    unchanged: frozenset[str]
    read_bytes: int
    source_bytes: int
    disk_bytes: int
    seconds: float
    basis: str

    @property
    def up_to_date(self) -> bool:
        """Whether a run would commit nothing."""
        return all(step.status == "unchanged" for step in self.steps)


class PlannedRun(Run):
    """A run that is only asked: it holds no lease, and notes in memory what it would stand on."""

    def __init__(self, recipe: Recipe, found: Discovery, *, sample: float | None = None) -> None:
        super().__init__(recipe, specs=SPECS, sample=sample)
        self.listing = found
        self._planned: dict[str, Committed] = {}

    def record(self, committed: Committed) -> None:
        """Remember a version for the stages that read it."""
        self._planned[committed.table] = committed

    def _own(self, table: str) -> Committed | None:
        return self._planned.get(table)


def forecast(recipe: Recipe, found: Discovery, *, sample: float | None = None) -> Forecast:
    """Tell what a run of the recipe (on that share of the records) would do with a lake that holds `found`."""
    run = PlannedRun(recipe, found, sample=sample)
    sizes = {source.table: source_bytes(source) for source in found.sources}
    unchanged = frozenset(unchanged_tables(run))
    read_bytes = sum(size for table, size in sizes.items() if table not in unchanged)
    landed_bytes = sum(
        sizes[source.table]
        for source in found.sources
        if source.table not in unchanged and not stays_in_place(source)
    )
    statuses = _statuses(run)
    history = _History.of(run, recipe)
    total = sum(sizes.values())
    steps = tuple(
        Step(
            spec.name,
            spec.tables,
            statuses[spec.name],
            0.0
            if statuses[spec.name] in ("unchanged", "adopted")
            else history.seconds(spec, run, read_bytes if spec.name == "ingestion" else total),
        )
        for spec in SPECS
    )
    disk = LANDED * landed_bytes + sum(
        history.bytes(spec, run, total)
        for spec in SPECS
        if statuses[spec.name] in ("computed", "depends")
    )
    seconds = sum(step.seconds for step in steps)
    return Forecast(steps, unchanged, read_bytes, total, round(disk), seconds, history.basis)


def source_bytes(source: Source) -> int:
    """Return the size of a table on disk; of Delta, of the pinned version's files."""
    if source.format != "delta":
        return sum(file.bytes for file in source.files)
    return _size_at(source.path, source.version)


def _size_at(place: Path, version: int | None) -> int:
    table = delta.open_table(place, version)
    if table is None:
        return 0
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    return int(actions["size_bytes"].sum()) if actions.height else 0


def _statuses(run: PlannedRun) -> dict[str, Status]:
    """Ask stage by stage, in order, what would be adopted; what reads a computed table waits for it."""
    statuses: dict[str, Status] = {}
    fresh: set[str] = set()
    for spec in SPECS:
        if fresh & set(spec.reads):
            statuses[spec.name] = "depends"
            fresh |= set(spec.tables)
            continue
        try:
            found = [run.find(table) for table in spec.tables]
        except NotReadyError:
            found = [None]
        if any(item is None for item in found):
            statuses[spec.name] = "computed"
            fresh |= set(spec.tables)
            continue
        whole = [item for item in found if item is not None]
        released = {} if run.release is None else run.release["versions"]
        # a release can't name the version of its own row
        stands = spec.append or all(released.get(item.table) == item.version for item in whole)
        statuses[spec.name] = "unchanged" if stands else "adopted"
        for item in whole:
            run.record(item)
    return statuses


@dataclass(frozen=True)
class _History:
    """What the last release of the recipe (else of the whole recipe, of a sample) took and wrote."""

    basis: str
    took: Mapping[str, float]
    wrote: Mapping[str, int]
    source_bytes: int
    share: float

    @classmethod
    def of(cls, run: PlannedRun, whole: Recipe) -> _History:
        share = run.sample if run.sample is not None else 1.0
        for output, factor in ((run.output, 1.0), (Path(whole.output), share)):
            release = last_release(output)
            if release is None:
                continue
            versions = {t: v for t, v in release["versions"].items() if t in run.specs}
            places = {
                t: run.uri(t) if run.specs[t].layer == "lake" else output / t for t in versions
            }
            tables = "ingestion/tables"
            size = (
                delta.scan(places[tables], versions[tables])
                .select(pl.col("bytes").sum())
                .collect()
                .item()
            )
            took = {spec.name: _slowest(places, spec.tables) for spec in SPECS}
            if not size or not any(took.values()):
                continue
            basis = f"what the stages took up to release {release['release']} of {output}, by the bytes of the lake"
            wrote = {t: _size_at(places[t], versions[t]) for t in versions}
            return cls(basis, took, wrote, int(size), factor)
        return cls(NO_HISTORY, {}, {}, 0, share)

    def seconds(self, spec: StageSpec, run: Run, size: int) -> float:
        scale = self.share if spec.layer == "recipe" else 1.0
        if self.took.get(spec.name):
            return self.took[spec.name] * scale * size / self.source_bytes
        if spec.name == "filtering/curves":
            proxy = run.recipe.filtering.proxy
            further = proxy.seconds / 2 if proxy.further_seconds is None else proxy.further_seconds
            return PROXY_SHARE * (proxy.seconds + (further if proxy.further_runs else 0.0))
        fixed, each = SECONDS.get(spec.name, (0.5, 0.01))
        return fixed + each * scale * size / 1e6

    def bytes(self, spec: StageSpec, run: Run, size: int) -> float:
        scale = self.share if spec.layer == "recipe" else 1.0
        if self.source_bytes:
            wrote = sum(self.wrote.get(table, 0) for table in spec.tables)
            return wrote * scale * size / self.source_bytes
        same = sum(other.layer == spec.layer for other in SPECS)
        return DISK[spec.layer] * scale * size / same


def _slowest(places: Mapping[str, Path], tables: Sequence[str]) -> float:
    """Return the longest that a stage took in its newest commits: a full computation, if there was one."""
    seconds: list[Any] = [0.0]
    for table in tables:
        if table in places:
            seconds += [
                m.get("seconds") or 0.0 for _, m in delta.commits(places[table], MOST_COMMITS)
            ]
    return float(max(seconds))
