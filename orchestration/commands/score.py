"""`sluice score`: score columns for the records of any files, and the list of methods."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from assets.deduplication.files import file_source
from assets.scoring.classifier_examples import read_examples
from assets.scoring.embedders import HASHED, Embedder, make_embedder
from assets.scoring.protocol import AnyScorer, Needs, ScoreContext, ScoringError
from assets.scoring.record_files import Columns, RecordFiles
from assets.scoring.registry import describe, named
from assets.scoring.score_files import ScoreFiles
from assets.scoring.table_writer import check_output
from orchestration.commands.watch import Watch
from resources.device import choose_device
from resources.errors import EXIT_DONE, EXIT_QUARANTINE
from resources.recipe import Recipe, parse_bytes

MAX_QUARANTINE: float = Recipe.model_fields["max_quarantine"].default


@dataclass(frozen=True, slots=True)
class Models:
    """What the scorers work with that the user names: each by the option of the same name."""

    embedder: str = HASHED
    dimensions: int = 256
    language_model: str | None = None
    positives: Sequence[Path] = ()
    negatives: Sequence[Path] = ()


def score(
    files: Sequence[Path],
    *,
    columns: Columns,
    scorers: str,
    settings: Sequence[str],
    targets: Sequence[Path],
    combine: str | None,
    models: Models,
    seed: int,
    device: str,
    out: Path,
    memory: str,
    as_json: bool,
) -> int:
    """Score the records of some files; returns the exit status."""
    started = time.monotonic()
    check_output(out, [*files, *targets, *models.positives, *models.negatives])
    place = choose_device(device, setting="--device")
    wanted = named(scorers, settings)
    embeds = any(Needs.EMBEDDING in s.needs for s in wanted.values()) and not columns.embedding
    embedder = None
    if embeds:
        embedder = make_embedder(
            models.embedder, models.dimensions, device=place, setting="--embedder", told=_say
        )
    given = _given(models, columns, embedder, wanted, device)
    if given:
        wanted = named(scorers, settings, given)
    records = RecordFiles([s for file in files for s in file_source(file)], columns, embedder)
    target = None
    if targets:
        sources = [s for file in targets for s in file_source(file)]
        target = RecordFiles(sources, columns, embedder, role="target")
    watch = Watch(quiet=as_json)
    context = ScoreContext(seed=seed, device=place)
    work = ScoreFiles(
        records,
        wanted,
        context,
        target,
        combine=combine,
        report=lambda message, rows: watch("score", message, rows),
        memory_bytes=memory_limit(memory),
        folder=out.parent,
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
        "warnings": work.warnings,
        "seconds": round(time.monotonic() - started, 3),
    }
    if as_json:
        click.echo(json.dumps(told))
    else:
        _print(told)
    for warning in work.warnings:
        _say(warning)
    for name, count in aside.items():
        if count:
            click.echo(f"sluice: {name}: {count:,} records set aside", err=True)
    too_much = set_aside > MAX_QUARANTINE * (rows + set_aside)
    return EXIT_QUARANTINE if too_much else EXIT_DONE


def _given(
    models: Models,
    columns: Columns,
    embedder: Embedder | None,
    wanted: Mapping[str, AnyScorer],
    device: str,
) -> dict[str, dict[str, Any]]:
    """Return the settings of scorers that work with a model or examples; refuse those that none uses."""
    given: dict[str, dict[str, Any]] = {}
    if models.language_model is not None:
        _used("--language-model", "lm_perplexity", wanted)
        given["lm_perplexity"] = {"model": models.language_model, "device": device}
    if models.positives or models.negatives:
        _used("--positives and --negatives", "quality_classifier", wanted)
        examples = read_examples(
            models.positives,
            models.negatives,
            columns,
            embedder,
            settings=("--positives", "--negatives"),
        )
        given["quality_classifier"] = {"examples": examples}
    return given


def memory_limit(text: str) -> int:
    """Read --memory.

    Raises
    ------
    ScoringError
        It is no size above 0.
    """
    try:
        found = parse_bytes(text)
    except ValueError as error:
        message = f"--memory: {error}"
        raise ScoringError(message) from error
    if not found:
        message = "--memory: a bound of nothing leaves no room to work; write for example 4GB"
        raise ScoringError(message)
    return found


def _used(option: str, scorer: str, wanted: Mapping[str, AnyScorer]) -> None:
    if scorer not in wanted:
        message = f"{option} means nothing without --scorers {scorer}"
        raise ScoringError(message)


def _say(message: str) -> None:
    click.echo(f"sluice: {message}", err=True)


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
