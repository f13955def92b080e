"""Materialise assets in this process: what `sluice run` does, on the same jobs and instance that the UI shows."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from orchestration import logs
from orchestration.dead_runs import give_up
from orchestration.definitions import definitions_for
from orchestration.jobs import job_name
from orchestration.preflight import check_recipe_against_lake
from orchestration.stages import BY_TABLE, SPECS, STAGE_NAMES, naming
from orchestration.standing import standing_faults, up_to_date
from resources.errors import RecipeError, SluiceError, StoreError
from resources.recipe import Recipe
from resources.releases import last_release
from resources.run import Run
from resources.stage_spec import CheckOutcome, Report, silent

DAGSTER_YAML = """\
concurrency:
  pools: {default_limit: 1, granularity: op}
  runs:
    tag_concurrency_limits:
      - {key: sluice/root, value: {applyLimitPerUniqueValue: true}, limit: 1}
telemetry: {enabled: false}
nux: {enabled: false}
"""


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    run_id
        Of the run, also in the Dagster UI.
    release
        Row of the release that the output now stands at, or None (a selection without publication).
    changed
        False when the last release already was the answer and nothing was committed.
    faults
        Failed checks of what stands, such as held files of retired tables; the release is sound all the same.
    """

    run_id: str
    release: dict[str, object] | None
    changed: bool
    faults: Sequence[CheckOutcome] = ()


def dagster_home() -> Path:
    """Return the folder of the Dagster instance (`DAGSTER_HOME`, else `./.sluice/dagster`), made if absent."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(Path.cwd() / ".sluice" / "dagster")))
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML, encoding="utf-8")
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    return home


def execute(
    recipe: Recipe,
    *,
    select: Sequence[str] = (),
    accept_shrink: bool = False,
    sample: float | None = None,
    recalibrate: bool = False,
    calibration_from: Path | None = None,
    wait_seconds: float = 0.0,
    report: Report = silent,
) -> Outcome:
    """Run the recipe, all of it or a selection; see `Run` for the settings.

    Raises
    ------
    SluiceError
        The stage's own error, with its exit status.
    """
    dagster_home()
    run_id = str(uuid.uuid4())
    report = logs.reporting(report, run_id)
    run = Run(
        recipe,
        run_id,
        specs=SPECS,
        accept_shrink=accept_shrink,
        sample=sample,
        recalibrate=recalibrate,
        calibration_from=calibration_from,
        wait_seconds=wait_seconds,
        report=report,
    )
    try:
        with logs.logged(run_id), run:
            if run.dead_runs:
                with dg.DagsterInstance.get() as instance:
                    give_up(instance, run.dead_runs)
            report("run", "comparing the lake with the last release", None, None)
            if not select and up_to_date(run):
                faults = standing_faults(run)
                return Outcome(run.run_id, run.release, changed=False, faults=faults)
            report("run", "checking the recipe against the lake", None, None)
            check_recipe_against_lake(run.recipe)
            before = run.release["release"] if run.release else None
            execute_job(run, select=select)
    except OSError as error:
        message = f"the store refused: {error}"
        raise StoreError(message) from error
    release = last_release(run.output)
    changed = release is not None and release["release"] != before
    changed = changed or bool(select)
    return Outcome(run.run_id, release, changed=changed, faults=run.standing_faults)


def execute_job(
    run: Run,
    *,
    job: str | None = None,
    select: Sequence[str] = (),
    partition: str | None = None,
) -> None:
    """Execute a job of the run's recipe in this process: that of everything, or another one by name.

    Raises
    ------
    SluiceError
        The stage's own error.
    """
    recipe = run.recipe

    @dg.resource
    def _this_run(_context: dg.InitResourceContext) -> Iterator[Run]:
        yield run

    definitions = definitions_for([recipe], lambda _recipe: _this_run)
    logging.getLogger("dagster").setLevel(logging.ERROR)
    resolved = definitions.resolve_job_def(job_name(recipe, job))
    keys = selected_keys(recipe, definitions, select) if select else None
    with dg.DagsterInstance.get() as instance:
        result = resolved.execute_in_process(
            instance=instance,
            run_id=run.run_id,
            raise_on_error=False,
            asset_selection=keys,
            partition_key=partition,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        if isinstance(run.failure, SluiceError):
            raise run.failure
        if run.failure is not None:
            raise run.failure
        message = f"run {run.run_id} failed; its page in the UI has the details"
        raise SluiceError(message)


def selected_keys(
    recipe: Recipe, definitions: dg.Definitions, select: Sequence[str]
) -> list[dg.AssetKey]:
    """Return the keys that a selection names, those of rounds aside, which are run a partition at a time.

    Raises
    ------
    RecipeError
        It names nothing.
    """
    prefix = naming(recipe).prefix
    graph = definitions.resolve_asset_graph()
    chosen: set[dg.AssetKey] = set()
    for text in select:
        selection = _selection(text, prefix)
        try:
            chosen |= set(selection.resolve(graph))
        except Exception as error:
            known = ", ".join([*STAGE_NAMES, *sorted(BY_TABLE)])
            message = f"--select {text} names nothing that there is; choose from {known}"
            raise RecipeError(message) from error
    chosen -= {key for key in chosen if graph.get(key).is_partitioned}
    if not chosen:
        message = f"--select {' '.join(select)} matches no table; there are: {', '.join(sorted(BY_TABLE))}"
        raise RecipeError(message)
    return sorted(chosen)


def _selection(text: str, prefix: tuple[str, ...]) -> dg.AssetSelection:
    """Read `stage`, `stage/table`, `+stage/table` (with all upstream) or Dagster's own selection language."""
    up = text.startswith("+")
    name = text.removeprefix("+")
    if name in BY_TABLE:
        shared = BY_TABLE[name].layer == "lake"
        key = dg.AssetKey([*(() if shared else prefix), *name.split("/")])
        selection: dg.AssetSelection = dg.AssetSelection.assets(key)
    elif name in {spec.name.split("/", maxsplit=1)[0] for spec in SPECS}:
        selection = dg.AssetSelection.groups(name)
    else:
        return dg.AssetSelection.from_string(text)
    return selection.upstream() if up else selection
