"""`sluice score`: score columns for the records of any files, and the list of methods."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from assets.deduplication.files import file_source
from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import Needs, ScoreContext
from assets.scoring.record_files import Columns, RecordFiles
from assets.scoring.registry import describe, named
from assets.scoring.score_files import ScoreFiles
from assets.scoring.table_writer import check_output
from orchestration.commands.watch import Watch
from resources.device import choose_device
from resources.errors import EXIT_DONE, EXIT_QUARANTINE
from resources.recipe import Recipe

MAX_QUARANTINE: float = Recipe.model_fields["max_quarantine"].default


def score(
    files: Sequence[Path],
    *,
    columns: Columns,
    scorers: str,
    settings: Sequence[str],
    targets: Sequence[Path],
    combine: str | None,
    dimensions: int,
    seed: int,
    device: str,
    out: Path,
    as_json: bool,
) -> int:
    """Score the records of some files; returns the exit status."""
    started = time.monotonic()
    wanted = named(scorers, settings)
    check_output(out, [*files, *targets])
    embeds = any(Needs.EMBEDDING in s.needs for s in wanted.values()) and not columns.embedding
    embedder = HashedEmbedder(dimensions) if embeds else None
    records = RecordFiles([s for file in files for s in file_source(file)], columns, embedder)
    target = None
    if targets:
        sources = [s for file in targets for s in file_source(file)]
        target = RecordFiles(sources, columns, embedder, role="target")
    watch = Watch(quiet=as_json)
    context = ScoreContext(seed=seed, device=choose_device(device, setting="--device"))
    work = ScoreFiles(
        records,
        wanted,
        context,
        target,
        combine=combine,
        report=lambda message, rows: watch("score", message, rows),
    )
    rows = work.write(out)
    aside = records.set_aside | (target.set_aside if target is not None else {})
    set_aside = sum(records.set_aside.values())
    told = {
        "rows": rows,
        "set_aside": set_aside,
        "out": str(out),
        "columns": {name: column.told() for name, column in work.columns.items()},
        "facts": work.facts,
        "seconds": round(time.monotonic() - started, 3),
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        _print(told)
    for name, count in aside.items():
        if count:
            click.echo(f"sluice: {name}: {count:,} records set aside", err=True)
    too_much = set_aside > MAX_QUARANTINE * (rows + set_aside)
    return EXIT_QUARANTINE if too_much else EXIT_DONE


def _print(told: dict[str, Any]) -> None:
    click.echo(f"{told['rows']:,} rows scored in {told['seconds']:.1f} s: {told['out']}")
    for name, column in told["columns"].items():
        line = f"  {name:<14} {column['direction']:<5}{column['rows']:>10,} rows"
        if column["rows"]:
            figures = (f"{k} {column[k]:.4g}" for k in ("least", "mean", "largest"))
            line += "   " + ", ".join(figures)
        click.echo(line)
        for reason, rows in column["silent"].items():
            click.echo(f"  {'':<19}{rows:>10,} null   {reason}")
    for name, facts in told["facts"].items():
        said = ", ".join(f"{k} {v:.4g}" for k, v in facts.items() if isinstance(v, int | float))
        click.echo(f"  {name}: {said}")


def list_methods(*, as_json: bool) -> None:
    """Print every scorer: what it needs, its cost, which way is better, and where it comes from."""
    methods = describe()
    if as_json:
        click.echo(json.dumps(methods.to_dicts()))
        return
    for row in methods.iter_rows(named=True):
        click.echo(f"{row['scorer']} (version {row['version']})")
        click.echo(f"  {row['about']}")
        where = "" if row["in_recipes"] else "; by this command only, not in recipes"
        click.echo(f"  needs {row['needs']}; {row['direction']} is better; {row['cost']}{where}")
        click.echo(f"  {row['source']}")
        if row["exempt"]:
            click.echo(f"  exempt from {row['exempt']}")
