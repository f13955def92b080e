"""Records of any files, without a recipe: scores, selections."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestration.arguments.options import (
    dimensions_option,
    embedder_option,
    embedding_option,
    features_option,
    files_argument,
    id_option,
    json_option,
    label_option,
    list_option,
    listed_names,
    seed_option,
    table_out_option,
    text_option,
)
from orchestration.arguments.paths import DataPath

memory_option = click.option(
    "--memory",
    default="4GB",
    show_default=True,
    metavar="SIZE",
    help="About what the process may take; changes no result.",
)


@click.command()
@files_argument
@list_option
@click.option("--scorers", metavar="NAME,...", help="The methods, separated by commas.")
@text_option
@label_option
@features_option
@embedding_option
@click.option("--language", metavar="COL", help="The column with the language, where there is one.")
@click.option(
    "--group", metavar="COL", help="The column of the group that records are valued with."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SCORER.NAME=VALUE",
    help="A setting of a scorer, for example lava.eps=0.1; may be given again.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=DataPath(),
    metavar="FILE",
    help="What good records look like, with the same columns; may be given again.",
)
@id_option
@click.option(
    "--combine",
    type=click.Choice(["borda", "reciprocal_rank", "topsis"]),
    help="Also one `quality` of all scores.",
)
@embedder_option
@dimensions_option
@seed_option
@click.option(
    "--language-model", metavar="NAME", help="Of lm_perplexity: a causal model's folder or hub id."
)
@click.option(
    "--positives",
    multiple=True,
    type=DataPath(),
    metavar="FILE",
    help="Of quality_classifier: good records, with the same columns; may be given again.",
)
@click.option(
    "--negatives",
    multiple=True,
    type=DataPath(),
    metavar="FILE",
    help="Of quality_classifier: bad records; may be given again.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@memory_option
@table_out_option
@json_option
def score(
    files: tuple[Path, ...],
    *,
    listed: bool,
    scorers: str | None,
    text: str | None,
    label: str | None,
    features: str | None,
    embedding: str | None,
    language: str | None,
    group: str | None,
    settings: tuple[str, ...],
    targets: tuple[Path, ...],
    id_column: str | None,
    combine: str | None,
    embedder: str,
    dimensions: int,
    seed: int,
    language_model: str | None,
    positives: tuple[Path, ...],
    negatives: tuple[Path, ...],
    device: str,
    memory: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score the records of any files, in their order; --list prints the methods."""
    from assets.scoring.record_files import Columns
    from orchestration.commands.score import Models, list_methods
    from orchestration.commands.score import score as work

    if listed:
        list_methods(as_json=as_json)
        return
    if not files or scorers is None or out is None:
        message = "give FILE..., --scorers and --out; or --list to see the methods"
        raise click.UsageError(message)
    names = listed_names(features)
    status = work(
        files,
        columns=Columns(text, label, names, embedding, language, id_column, cohort=group),
        scorers=scorers,
        settings=settings,
        targets=targets,
        combine=combine,
        models=Models(embedder, dimensions, language_model, positives, negatives),
        seed=seed,
        device=device,
        memory=memory,
        out=out,
        as_json=as_json,
    )
    sys.exit(status)


@click.command()
@files_argument
@list_option
@click.option("--method", metavar="NAME", help="How to select.")
@click.option("--budget", metavar="N|tokens=N|bytes=N|flops=N", help="How much; N is in records.")
@click.option(
    "--scores",
    type=DataPath(),
    metavar="F",
    help="What `sluice score` wrote for these files.",
)
@click.option("--column", metavar="COL", help="The score, or for stratified the strata.")
@click.option("--direction", type=click.Choice(["high", "low"]), help="Which scores are better.")
@click.option(
    "--stratum", metavar="COL", help="The strata of stratified_top: a label, for instance."
)
@click.option("--temperature", type=float, help="Of draws by weight; 1 without it.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the method, for example alpha=0.3; may be given again.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=DataPath(),
    metavar="FILE",
    help="What good records look like, with the same columns; may be given again.",
)
@click.option("--parameters", type=float, help="Of the model, where the budget is in FLOPs.")
@click.option("--tags", metavar="COL", help="The column with lists of tags, for mig.")
@click.option("--text", metavar="COL", help="Whose tokens or bytes count; vectors are made of it.")
@click.option("--features", metavar="A,B,...", help="Columns of numbers that make a vector.")
@embedding_option
@id_option
@embedder_option
@dimensions_option
@seed_option
@memory_option
@table_out_option
@json_option
def select(
    files: tuple[Path, ...],
    *,
    listed: bool,
    method: str | None,
    budget: str | None,
    scores: Path | None,
    column: str | None,
    direction: str | None,
    stratum: str | None,
    temperature: float | None,
    settings: tuple[str, ...],
    targets: tuple[Path, ...],
    parameters: float | None,
    tags: str | None,
    text: str | None,
    features: str | None,
    embedding: str | None,
    id_column: str | None,
    embedder: str,
    dimensions: int,
    seed: int,
    memory: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Select records of any files within a budget; --list prints the methods."""
    from assets.scoring.record_files import Columns
    from orchestration.commands.select import Wanted, list_methods
    from orchestration.commands.select import select as work

    if listed:
        list_methods(as_json=as_json)
        return
    if not files or method is None or budget is None or out is None:
        message = "give FILE..., --method, --budget and --out; or --list to see the methods"
        raise click.UsageError(message)
    names = listed_names(features)
    work(
        files,
        Wanted(method, budget, column, direction, temperature, seed, settings, parameters, stratum),
        columns=Columns(text, None, names, embedding, None, id_column, tags=tags),
        scores=scores,
        targets=targets,
        embedder=embedder,
        dimensions=dimensions,
        memory=memory,
        out=out,
        as_json=as_json,
    )
