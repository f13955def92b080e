"""How a stage becomes a Dagster asset: one multi-asset that adopts, computes, audits and commits.

The only thing the definitions of a stage add is which tables there are, how they are described, and a function that
writes them. Everything that must hold for each of them (pinned reads, audit before commit, no record text
in metadata, the same failure for the UI and the terminal) is here, once.
"""

# no postponed annotations here: Dagster looks at the type of `context` and doesn't resolve strings
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from resources import delta
from resources.errors import NothingToDo, SluiceError, StoreError
from resources.figures import figures_wanted
from resources.partition_stage import PartitionStage
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import CheckOutcome, Committed, StageSpec

Facts = Mapping[str, Mapping[str, Any]]
Compute = Callable[[Run, Stage], Facts]


@dataclass(frozen=True)
class Naming:
    """Where a recipe's assets live in the code location, and what the UI shows of them beyond what stages tell.

    Attributes
    ----------
    prefix
        Put before the keys of recipe-layer tables; empty for a recipe without a name.
    run_key
        Key of the resource that holds the run.
    figures
        By table, a function that draws from the committed version: Markdown by name.
    lineage
        By table and column, the upstream columns it comes from, as `table.column`.
    """

    prefix: tuple[str, ...]
    run_key: str
    figures: Mapping[str, Callable[[Run], Mapping[str, str]]] = field(default_factory=dict)
    lineage: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    @property
    def recipe_key(self) -> str:
        """Key of the resource that holds the recipe."""
        return "__".join([*self.prefix, "recipe"])

    def key(self, table: str, specs: Mapping[str, StageSpec]) -> dg.AssetKey:
        """Return the asset key of a table."""
        spec = specs.get(table)
        shared = spec is not None and spec.layer == "lake"
        return dg.AssetKey([*(() if shared else self.prefix), *table.split("/")])


@dataclass(frozen=True)
class TableInfo:
    """What a person sees of a table before it is ever computed."""

    description: str
    columns: Mapping[str, str]


def stage_asset(
    spec: StageSpec,
    naming: Naming,
    specs: Mapping[str, StageSpec],
    compute: Compute,
    tables: Mapping[str, TableInfo],
    *,
    checks: Mapping[str, str],
    advisory: Sequence[str] = (),
    standing: Mapping[str, str] | None = None,
    recheck: Callable[[Run], Sequence[CheckOutcome]] | None = None,
    deps: Sequence[str] | None = None,
    kinds: Sequence[str] = ("polars", "deltalake"),
    pool: str | None = None,
    partitions: dg.PartitionsDefinition | None = None,
) -> dg.AssetsDefinition:
    """Make the multi-asset of a stage.

    Parameters
    ----------
    spec
        Tables, reads, code version.
    naming, specs
        Where the recipe's assets live, and all stages by table.
    kinds, pool
        Shown in the UI; a pool bounds how many of its steps run at once.
    partitions
        The partitions of a stage that is written in them; their keys are numbers from 0 up.
    compute
        Writes every table of the stage through the `Stage` and records its checks; returns metadata for each table.
    tables
        Description and columns (name to meaning) of each table.
    advisory
        Checks among them that warn and hold nothing back.
    standing, recheck
        Name and description of audits of what stands, and what makes them: in every run, also where the stage is
        adopted. They hold nothing back.
    deps
        Arrows to draw, where `spec.reads` would draw many that others imply.
    checks
        Name and description of each audit that `compute` records; all belong to the stage's first table.
    """
    group = spec.name.split("/", maxsplit=1)[0]
    first = naming.key(spec.tables[0], specs)
    asset_specs = [
        dg.AssetSpec(
            naming.key(table, specs),
            deps=[naming.key(name, specs) for name in (spec.reads if deps is None else deps)],
            description=tables[table].description,
            group_name=group,
            kinds=set(kinds),
            owners=["team:data"],
            code_version=spec.code_version,
            metadata={"dagster/column_schema": _column_schema(tables[table])},
            skippable=True,
            partitions_def=partitions,
        )
        for table in spec.tables
    ]
    # blocking is enforced by `Stage.commit`; to Dagster it is said so that people see it
    check_specs = [
        dg.AssetCheckSpec(name, asset=first, description=description, blocking=name not in advisory)
        for name, description in checks.items()
    ]
    check_specs += [
        dg.AssetCheckSpec(name, asset=first, description=description)
        for name, description in (standing or {}).items()
    ]

    @dg.multi_asset(
        name="__".join([*naming.prefix, "make", *spec.name.split("/")]),
        specs=asset_specs,
        check_specs=check_specs,
        required_resource_keys={naming.run_key},
        can_subset=True,
        pool=pool,
        retry_policy=dg.RetryPolicy(max_retries=1, delay=2.0),
    )
    def _asset(context: dg.AssetExecutionContext) -> Iterator[Any]:
        run: Run | SluiceError = getattr(context.resources, naming.run_key)
        if isinstance(run, SluiceError):
            raise dg.Failure(description=str(run), allow_retries=False) from run
        started = time.monotonic()
        stage: Stage | None = None
        try:
            stage = _begin(run, spec, context)
            committed = stage.adopt()
            facts: Facts = {}
            if committed is None:
                facts = compute(run, stage)
                _complete(stage, checks)
                failed = [c for c in stage.checks if c.blocking and not c.passed]
                if failed:
                    for outcome in stage.checks:
                        if outcome.name in selected_checks(context):
                            yield _check_result(outcome, first)
                committed = stage.commit()
                run.report(spec.name, "done", None, None)
            else:
                run.report(spec.name, "unchanged, nothing to do", None, None)
        except NothingToDo as told:
            run.report(spec.name, str(told), None, None)
            context.log.info(str(told))
            for name in sorted(selected_checks(context)):
                skipped = CheckOutcome(name, passed=True, facts={"skipped": str(told)})
                yield _check_result(skipped, first)
            return
        except SluiceError as error:
            if stage is not None:
                stage.discard()
            run.failure = error
            # a store may recover; a recipe, a check or a lease that is held elsewhere won't by itself
            again = isinstance(error, StoreError)
            raise dg.Failure(description=str(error), allow_retries=again) from error
        except OSError as error:
            if stage is not None:
                stage.discard()
            run.failure = StoreError(f"{spec.name}: the store refused: {error}")
            raise  # as it is: Dagster tries again, and the store may have recovered
        except BaseException as error:
            if stage is not None:
                stage.discard()
            run.failure = error
            raise
        seconds = time.monotonic() - started
        for outcome in [] if recheck is None else recheck(run):
            if not outcome.passed:
                run.standing_faults.append(outcome)
            if outcome.name in selected_checks(context):
                yield _check_result(outcome, first)
        yield from _results(
            context, run, stage, committed, facts, seconds, naming, specs, first, {*checks}
        )

    return _asset


def _begin(run: Run, spec: StageSpec, context: dg.AssetExecutionContext) -> Stage:
    if spec.partition is None:
        return run.stage(spec)
    return PartitionStage(run, spec, int(context.partition_key))


def selected_checks(context: dg.AssetExecutionContext) -> set[str]:
    """Names of the checks that this execution is to report."""
    return {key.name for key in context.selected_asset_check_keys}


def _results(
    context: dg.AssetExecutionContext,
    run: Run,
    stage: Stage,
    committed: Sequence[Committed],
    facts: Facts,
    seconds: float,
    naming: Naming,
    specs: Mapping[str, StageSpec],
    first: dg.AssetKey,
    audits: set[str],
) -> Iterator[Any]:
    outcomes = stage.checks or [
        CheckOutcome(name, passed=True, facts={"adopted": True})
        for name in sorted(selected_checks(context) & audits)
    ]
    for outcome in outcomes:
        if outcome.name in selected_checks(context):
            yield _check_result(outcome, first)
    for item in committed:
        key = naming.key(item.table, specs)
        metadata: dict[str, Any] = {
            **(_remembered(context, key, item) if item.adopted else {}),
            "delta/version": item.version,
            "adopted": item.adopted,
            "dagster/uri": str(run.uri(item.table)),
            "dagster/row_count": delta.count(run.uri(item.table), item.version),
            "seconds": round(seconds, 3),
            **facts.get(item.table, {}),
            **_column_lineage(item.table, naming, specs),
        }
        if not item.adopted:
            metadata.update(_drawn(context, run, item.table, naming))
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(
                asset_key=key, metadata=metadata, data_version=dg.DataVersion(item.identity)
            )
        else:
            # computed together with what was asked for: the instance should know
            context.log_event(dg.AssetMaterialization(asset_key=key, metadata=metadata))


def _remembered(
    context: dg.AssetExecutionContext, key: dg.AssetKey, item: Committed
) -> dict[str, Any]:
    """Return what was shown of a table when it was computed, where the instance saw that."""
    event = context.instance.get_latest_materialization_event(key)
    made = None if event is None else event.asset_materialization
    if made is None or (made.tags or {}).get("dagster/data_version") != item.identity:
        return {}
    return dict(made.metadata)


def _drawn(
    context: dg.AssetExecutionContext, run: Run, table: str, naming: Naming
) -> dict[str, Any]:
    """Draw what the UI shows of a table; what is committed stands, whatever becomes of its figures.

    With `SLUICE_FIGURES=off` nothing is drawn, which saves some two seconds a run.
    """
    if not figures_wanted():
        return {}
    draw = naming.figures.get(table)
    try:
        shown = {} if draw is None else draw(run)
    except Exception as error:
        context.log.warning(f"{table}: no figure could be drawn: {type(error).__name__}: {error}")
        return {}
    return {name: dg.MetadataValue.md(text) for name, text in shown.items()}


def _column_lineage(table: str, naming: Naming, specs: Mapping[str, StageSpec]) -> dict[str, Any]:
    columns = naming.lineage.get(table)
    if not columns:
        return {}
    deps = {
        column: [
            dg.TableColumnDep(asset_key=naming.key(upstream, specs), column_name=name)
            for upstream, name in (place.rsplit(".", maxsplit=1) for place in places)
        ]
        for column, places in columns.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)}


def _complete(stage: Stage, checks: Mapping[str, str]) -> None:
    recorded = {c.name for c in stage.checks}
    if recorded != set(checks):
        message = f"{stage.spec.name} declares the checks {sorted(checks)} and recorded {sorted(recorded)}"
        raise AssertionError(message)


def _check_result(outcome: CheckOutcome, key: dg.AssetKey) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if outcome.blocking else dg.AssetCheckSeverity.WARN
    metadata = {name: _plain(value) for name, value in outcome.facts.items()}
    return dg.AssetCheckResult(
        check_name=outcome.name,
        passed=outcome.passed,
        severity=severity,
        metadata=metadata,
        asset_key=key,
    )


def _plain(value: object) -> Any:  # noqa: ANN401 - a metadata value
    return value if isinstance(value, str | int | float | bool) else str(value)


def _column_schema(info: TableInfo) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name, type=meaning.split(":", 1)[0], description=meaning.split(":", 1)[-1].strip()
            )
            for name, meaning in info.columns.items()
        ]
    )
