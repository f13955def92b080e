"""`sluice select`: records of any files within a budget, and the list of methods."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from assets.deduplication.files import file_source
from assets.scoring.embedders import make_embedder
from assets.scoring.record_files import Columns, RecordFiles
from assets.scoring.select_files import (
    HeldVectors,
    Scores,
    has_column,
    read_candidates,
    write_selected,
)
from assets.scoring.selectors.budget import Budget, selection_frame
from assets.scoring.selectors.budget import select as choose
from assets.scoring.selectors.protocol import SelectionError, Selector, SelectorNeeds
from assets.scoring.selectors.registry import create, describe
from assets.scoring.settings import Value, parse_value
from assets.scoring.table_writer import check_output, written_metadata
from orchestration.commands.score import memory_limit
from orchestration.commands.tables import read_table
from resources.device import choose_device


@dataclass(frozen=True)
class Wanted:
    """What to select by, as it was given."""

    method: str
    budget: str
    column: str | None
    direction: str | None
    temperature: float | None
    seed: int
    settings: tuple[str, ...] = ()
    parameters: float | None = None
    stratum: str | None = None

    def all_settings(self) -> dict[str, Value | None]:
        """Return what is set, numbers as such.

        Raises
        ------
        SelectionError
            One is not NAME=VALUE, or is given twice.
        """
        found: dict[str, Value | None] = {
            "direction": self.direction,
            "temperature": self.temperature,
        }
        for text in self.settings:
            name, equals, value = (part.strip() for part in text.partition("="))
            if not (name and equals and value):
                message = f"--set {text}: write NAME=VALUE, for example alpha=0.3"
                raise SelectionError(message)
            if found.get(name) is not None:
                message = f"--set {text}: {name} is given twice"
                raise SelectionError(message)
            found[name] = parse_value(value)
        return found


def select(
    files: Sequence[Path],
    wanted: Wanted,
    *,
    columns: Columns,
    scores: Path | None,
    targets: Sequence[Path],
    embedder: str,
    dimensions: int,
    out: Path,
    memory: str,
    as_json: bool,
) -> None:
    """Select records of some files, and write them in their order."""
    settings = wanted.all_settings()
    selector = create(wanted.method, settings)
    budget = Budget.parse(wanted.budget, wanted.parameters)
    check_output(out, [*files, *targets, *([scores] if scores else [])])
    if budget.unit != "records" and columns.text is None:
        message = f"--budget {wanted.budget} counts {budget.unit} of the text; give --text COL"
        raise SelectionError(message)
    table = Scores(read_table(scores), written_metadata(scores), scores) if scores else None
    records = _records(files, selector, columns, embedder, dimensions)
    selector, records, table, column = _by(selector, records, table, wanted)
    records, of_scores = _strata(selector, records, table, wanted)
    candidates, costs = read_candidates(
        records, budget, table, column, of_scores, HeldVectors(wanted.method, memory_limit(memory))
    )
    candidates = replace(candidates, target=_target(targets, selector, records))
    chosen = choose(candidates, selector, budget, costs=costs, seed=wanted.seed)
    rows = write_selected(records, selection_frame(candidates, chosen), out)
    left_out = dict(sorted(chosen.left_out.items()))
    set_aside = sum(records.set_aside.values())
    told = {
        "method": wanted.method,
        "column": column,
        "selected": rows,
        "of": len(candidates),
        "eligible": chosen.eligible,
        "left_out": left_out,
        "set_aside": set_aside,
        "budget": {"unit": budget.unit, "amount": budget.amount, "spent": chosen.spent},
        "out": str(out),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"{rows:,} of {len(candidates):,} records selected by {wanted.method}: {out}")
    click.echo(f"  {chosen.spent:,.0f} of {budget.amount:,} {budget.unit} spent")
    for why, count in left_out.items():
        click.echo(f"  {count:,} could not be selected: {why}")
    if set_aside:
        click.echo(f"sluice: {set_aside:,} records set aside", err=True)


def _records(
    files: Sequence[Path], selector: Selector, columns: Columns, embedder: str, dimensions: int
) -> RecordFiles:
    """Prepare the files, with vectors only where the method looks at them."""
    if (SelectorNeeds.TAGS in selector.needs) != (columns.tags is not None):
        does = (
            "needs --tags COL" if columns.tags is None else "does not look at tags; take --tags out"
        )
        message = f"--method {selector.name} {does}"
        raise SelectionError(message)
    if SelectorNeeds.EMBEDDING not in selector.needs:
        columns = replace(columns, embedding=None, features=())
    elif not (columns.text or columns.features or columns.embedding):
        message = f"--method {selector.name} needs --embedding COL, --text COL or --features A,B,…"
        raise SelectionError(message)
    elif not columns.embedding:
        made = make_embedder(embedder, dimensions, device=choose_device(), setting="--embedder")
        return RecordFiles([s for file in files for s in file_source(file)], columns, made)
    return RecordFiles([s for file in files for s in file_source(file)], columns)


def _target(
    targets: Sequence[Path], selector: Selector, records: RecordFiles
) -> NDArray[np.float32] | None:
    """Read the vectors of the target's records, in the records' space."""
    if SelectorNeeds.TARGET not in selector.needs:
        if targets:
            message = f"--target means nothing to --method {selector.name}; take it out"
            raise SelectionError(message)
        return None
    if not targets:
        message = f"--method {selector.name} selects what is near a target; give --target FILE"
        raise SelectionError(message)
    columns = replace(records.columns, stratum=None, id=None, tags=None)
    sources = [source for file in targets for source in file_source(file)]
    own = RecordFiles(sources, columns, records.embedder)
    vectors = [batch.embedding for batch, _ in own.batches() if batch.embedding is not None]
    return np.concatenate(vectors) if vectors else None


def _by(
    selector: Selector, records: RecordFiles, table: Scores | None, wanted: Wanted
) -> tuple[Selector, RecordFiles, Scores | None, str | None]:
    """Find the column to select by, and which of its values are better."""
    column = wanted.column
    if SelectorNeeds.VALUE in selector.needs:
        if table is None:
            message = f"--method {selector.name} selects by a score; give --scores F"
            raise SelectionError(message)
        column = table.numbers(
            column, "quality" if hasattr(selector, "direction") else "dsir_log_weight"
        )
        if hasattr(selector, "direction"):
            direction = table.direction(column, wanted.direction)
            selector = create(selector.name, {**wanted.all_settings(), "direction": direction})
        return selector, records, table, column
    if SelectorNeeds.STRATUM in selector.needs:
        if column is None:
            message = f"--method {selector.name} needs --column COL, of the files or of the scores"
            raise SelectionError(message)
        if table is not None and column in table.frame.columns and not has_column(records, column):
            return selector, records, table, column
        own = replace(records, columns=replace(records.columns, stratum=column))
        return selector, own, None, column
    if column is not None:
        message = f"--column means nothing to --method {selector.name}; take it out"
        raise SelectionError(message)
    return selector, records, None, None


def _strata(
    selector: Selector, records: RecordFiles, table: Scores | None, wanted: Wanted
) -> tuple[RecordFiles, str | None]:
    """Find the column of strata of a method that also looks at scores: of the files, else of the scores."""
    both = {SelectorNeeds.VALUE, SelectorNeeds.STRATUM} <= set(selector.needs)
    if wanted.stratum is None:
        if both:
            message = f"--method {selector.name} needs --stratum COL, of the files or of the scores"
            raise SelectionError(message)
        return records, None
    if not both:
        what = "; its strata are --column" if SelectorNeeds.STRATUM in selector.needs else ""
        message = f"--stratum means nothing to --method {selector.name}; take it out{what}"
        raise SelectionError(message)
    of_scores = table is not None and wanted.stratum in table.frame.columns
    if of_scores and not has_column(records, wanted.stratum):
        return records, wanted.stratum
    return replace(records, columns=replace(records.columns, stratum=wanted.stratum)), None


def list_methods(*, as_json: bool) -> None:
    """Print every selector: what it needs, its cost, and where it comes from."""
    methods = describe()
    if as_json:
        click.echo(json.dumps(methods.to_dicts()))
        return
    for row in methods.iter_rows(named=True):
        click.echo(f"{row['selector']} (version {row['version']})")
        click.echo(f"  {row['about']}")
        click.echo(f"  needs {row['needs']}; {row['cost']}")
        click.echo(f"  {row['source']}")
        if row["exempt"]:
            click.echo(f"  exempt from {row['exempt']}")
