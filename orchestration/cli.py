"""The `sluice` command: reads arguments; the work is in `orchestration.commands`, imported when asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestration.commands.retire import restore, retire
from resources.errors import EXIT_BAD_RECIPE, SluiceError
from resources.version import CODE_VERSION

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document for machines."
)
sample_option = click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="A trial on this share of the records, by id, in OUTPUT.sample-SHARE.",
)
recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))


class _Group(click.Group):
    """Turns refusals of bad input into one clear line and the promised exit status."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except SluiceError as error:
            _fail(error, error.exit_status)
        except (ValueError, OSError) as error:
            if os.environ.get("SLUICE_TRACEBACK"):
                raise
            _fail(error, EXIT_BAD_RECIPE)
        return None


def _fail(error: BaseException, status: int) -> None:
    from orchestration import logs

    if "--json" in sys.argv:
        click.echo(json.dumps({"error": str(error), "exit_status": status}))
    if logs.as_json():
        logs.LOGGER.error(str(error), extra={"exit_status": status})
    else:
        click.echo(f"sluice: {error}", err=True)
    sys.exit(status)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(CODE_VERSION, prog_name="sluice")
def main() -> None:
    """Turn a data lake into training sets in which every row can say where it came from and why it is there."""


@main.command()
@recipe_argument
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--select",
    multiple=True,
    metavar="KEY...",
    help="A stage, a table, or +table with all that it needs.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would be read, computed and spent; do nothing."
)
@sample_option
@click.option(
    "--accept-shrink",
    is_flag=True,
    help="Let a run pass that loses more than 20 % of tables, rows or a group.",
)
@click.option(
    "--recalibrate",
    is_flag=True,
    help="Fit scorers, pool cuts and training curves anew instead of keeping the last release's.",
)
@click.option(
    "--calibration",
    "calibration_from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="OUTPUT",
    help="Keep to the calibration and the held-out records of another output's last release.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=float,
    default=0.0,
    help="Seconds to wait for another run to end.",
)
@json_option
def run(
    recipe: Path,
    more: tuple[str, ...],
    *,
    select: tuple[str, ...],
    dry_run: bool,
    sample: float | None,
    accept_shrink: bool,
    recalibrate: bool,
    calibration_from: Path | None,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Materialise the recipe's tables in this process; the same that the UI shows."""
    from orchestration import logs
    from orchestration.commands.dry_run import dry_run as show
    from orchestration.commands.run import run as work

    logs.configure()
    if more and not select:
        message = f"unexpected argument {more[0]!r}; one recipe at a time, and keys after --select"
        raise click.UsageError(message)
    if dry_run:
        if select:
            message = "--dry-run tells of all stages; leave --select out"
            raise click.UsageError(message)
        show(recipe, sample=sample, as_json=as_json)
        return
    status = work(
        recipe,
        select=(*select, *more),
        sample=sample,
        accept_shrink=accept_shrink,
        recalibrate=recalibrate,
        calibration_from=calibration_from,
        wait_seconds=wait_seconds,
        as_json=as_json,
    )
    sys.exit(status)


@main.command()
@click.argument("lake", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the recipe here; recipe.yaml by default."
)
@click.option("--force", is_flag=True, help="Replace a recipe that is there already.")
@json_option
def init(lake: Path, *, out: Path | None, force: bool, as_json: bool) -> None:
    """Look at a lake and write a recipe for it, each guess explained; policy is left to fill in."""
    from orchestration.commands.init import init as work

    work(lake, out=out, force=force, as_json=as_json)


@main.command()
@click.argument("recipes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, type=int)
def ui(recipes: tuple[Path, ...], host: str, port: int) -> None:
    """Open the Dagster UI on some recipes, with the same history as `sluice run`."""
    from orchestration.commands.ui import ui as work

    work(recipes, host=host, port=port)


@main.command()
@click.argument("target", metavar="RECORD_ID|TABLE#POSITION")
@click.option("--recipe", type=click.Path(path_type=Path), help="The recipe whose output is asked.")
@click.option(
    "--output", type=click.Path(path_type=Path), help="The output root itself, instead of a recipe."
)
@click.option("--release", type=int, help="A release number; the last one by default.")
@sample_option
@json_option
def trace(
    target: str,
    *,
    recipe: Path | None,
    output: Path | None,
    release: int | None,
    sample: float | None,
    as_json: bool,
) -> None:
    """Print a row's whole way, from file to fate."""
    from orchestration.commands.trace import trace as work

    work(target, recipe=recipe, output=output, release=release, sample=sample, as_json=as_json)


@main.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="An output root instead of a recipe."
)
@click.option(
    "--retention",
    default="7d",
    show_default=True,
    metavar="7d|36h",
    help="Remove nothing younger than this.",
)
@click.option(
    "--keep-releases",
    type=int,
    metavar="N",
    help="Let go of all but the last N releases; all are kept by default.",
)
@click.option("--force", is_flag=True, help="Allow a retention below a day.")
@click.option("--dry-run", is_flag=True, help="Tell what would go; do nothing.")
@click.option(
    "--wait", "wait_seconds", type=float, default=0.0, help="Seconds to wait for a run to end."
)
@json_option
def maintain(
    recipe: Path | None,
    *,
    output: Path | None,
    retention: str,
    keep_releases: int | None,
    force: bool,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Sweep what killed runs left, compact small files, and let go of releases that are not kept."""
    from orchestration.commands.maintain import maintain as work

    status = work(
        recipe,
        output=output,
        retention=retention,
        keep_releases=keep_releases,
        dry_run=dry_run,
        force=force,
        wait_seconds=wait_seconds,
        as_json=as_json,
    )
    sys.exit(status)


@main.command()
@click.argument("curves", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--law",
    type=click.Choice(["utility", "saturation", "power", "data_constrained", "average"]),
    default="average",
)
@click.option("--form", type=click.Choice(["paper", "code"]), default="paper", show_default=True)
@click.option("--budget", metavar="samples=N", help="Plan for this many samples.")
@click.option("--predict", type=click.Path(path_type=Path, exists=True), help="Points to predict.")
@json_option
def laws(
    curves: Path, *, law: str, form: str, budget: str | None, predict: Path | None, as_json: bool
) -> None:
    """Fit scaling laws to a table of training curves, and plan for a budget."""
    from orchestration.commands.laws import laws as work

    work(curves, law=law, form=form, budget=budget, predict=predict, as_json=as_json)


@main.command()
@click.argument("problem", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--joint", is_flag=True, help="Groups, quality pools and passes under one compute budget."
)
@click.option("--integer", is_flag=True, help="Round to whole records, never past the budget.")
@json_option
def allocate(problem: Path, *, joint: bool, integer: bool, as_json: bool) -> None:
    """Divide a budget between groups by the objective that the problem states."""
    from orchestration.commands.allocate import allocate as work

    work(problem, joint=joint, integer=integer, as_json=as_json)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--text", required=True, metavar="COL", help="The column with the text.")
@click.option(
    "--id", "id_column", metavar="COL", help="Identifies records; path#position without it."
)
@click.option(
    "--similarity", type=click.FloatRange(0, 1, min_open=True), default=0.8, show_default=True
)
@click.option("--shingle", default="word:5", show_default=True, help="word:N or char:N.")
@click.option(
    "--mode", type=click.Choice(["star", "components"]), default="star", show_default=True
)
@click.option("--exhaustive", is_flag=True, help="Miss no pair; slower.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the clusters here, as Parquet.")
@click.option(
    "--pairs", type=click.Path(path_type=Path), help="Write every verified pair here, as Parquet."
)
@json_option
def duplicates(
    files: tuple[Path, ...],
    *,
    text: str,
    id_column: str | None,
    similarity: float,
    shingle: str,
    mode: str,
    exhaustive: bool,
    out: Path | None,
    pairs: Path | None,
    as_json: bool,
) -> None:
    """Find near duplicates among the records of any files."""
    from orchestration.commands.duplicates import duplicates as work

    work(
        files,
        text=text,
        id_column=id_column,
        similarity=similarity,
        shingle=shingle,
        mode=mode,
        exhaustive=exhaustive,
        out=out,
        pairs=pairs,
        as_json=as_json,
    )


files_argument = click.argument(
    "files", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="FILE..."
)
id_option = click.option(
    "--id", "id_column", metavar="COL", help="Identifies records; path#position without it."
)


@main.command()
@files_argument
@click.option("--list", "listed", is_flag=True, help="Print every method instead.")
@click.option("--scorers", metavar="NAME,...", help="The methods, separated by commas.")
@click.option("--text", metavar="COL", help="The column with the text.")
@click.option("--label", metavar="COL", help="The column with the label.")
@click.option("--features", metavar="A,B,...", help="Columns of numbers, for records without text.")
@click.option("--embedding", metavar="COL", help="A column of lists of numbers: vectors of yours.")
@click.option("--language", metavar="COL", help="The column with the language, where there is one.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="What good records look like, with the same columns; may be given again.",
)
@id_option
@click.option("--combine", type=click.Choice(["borda"]), help="Also one `quality` of all scores.")
@click.option("--dimensions", type=click.IntRange(8, 8192), default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=click.Path(path_type=Path), help=".parquet, .csv or .jsonl.")
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
    targets: tuple[Path, ...],
    id_column: str | None,
    combine: str | None,
    dimensions: int,
    seed: int,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score the records of any files, in their order; --list prints the methods."""
    from assets.scoring.record_files import Columns
    from orchestration.commands.score import list_methods
    from orchestration.commands.score import score as work

    if listed:
        list_methods(as_json=as_json)
        return
    if not files or scorers is None or out is None:
        message = "give FILE..., --scorers and --out; or --list to see the methods"
        raise click.UsageError(message)
    names = tuple(filter(None, (name.strip() for name in (features or "").split(","))))
    status = work(
        files,
        columns=Columns(text, label, names, embedding, language, id_column),
        scorers=scorers,
        targets=targets,
        combine=combine,
        dimensions=dimensions,
        seed=seed,
        device=device,
        out=out,
        as_json=as_json,
    )
    sys.exit(status)


@main.command()
@files_argument
@click.option("--list", "listed", is_flag=True, help="Print every method instead.")
@click.option("--method", metavar="NAME", help="How to select.")
@click.option("--budget", metavar="N|tokens=N|bytes=N", help="How much; N is in records.")
@click.option(
    "--scores",
    type=click.Path(path_type=Path, exists=True),
    metavar="F",
    help="What `sluice score` wrote for these files.",
)
@click.option("--column", metavar="COL", help="The score, or for stratified the strata.")
@click.option("--direction", type=click.Choice(["high", "low"]), help="Which scores are better.")
@click.option("--temperature", type=float, help="Of gumbel; 1 without it.")
@click.option("--text", metavar="COL", help="Whose tokens or bytes count; vectors are made of it.")
@click.option("--features", metavar="A,B,...", help="Columns of numbers that make a vector.")
@click.option("--embedding", metavar="COL", help="A column of lists of numbers: vectors of yours.")
@id_option
@click.option("--dimensions", type=click.IntRange(8, 8192), default=256, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help=".parquet, .csv or .jsonl.")
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
    temperature: float | None,
    text: str | None,
    features: str | None,
    embedding: str | None,
    id_column: str | None,
    dimensions: int,
    seed: int,
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
    names = tuple(filter(None, (name.strip() for name in (features or "").split(","))))
    work(
        files,
        Wanted(method, budget, column, direction, temperature, seed),
        columns=Columns(text, None, names, embedding, None, id_column),
        scores=scores,
        dimensions=dimensions,
        out=out,
        as_json=as_json,
    )


@main.command()
@click.argument("lake", type=click.Path(path_type=Path))
@click.option(
    "--equality",
    type=click.Choice(["typed", "value", "text"]),
    default="value",
    show_default=True,
    help="Which cells are equal; text compares them as written.",
)
@click.option(
    "--min-containment",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    show_default=True,
    help="The least share of the child's distinct rows.",
)
@click.option(
    "--min-rows",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Leave out children with fewer distinct rows.",
)
@click.option("--renamed", is_flag=True, help="Match columns of other names by their values, too.")
@click.option("--workers", type=click.IntRange(1), help="Threads; as many as there are cores.")
@click.option("--memory", default="2GB", show_default=True, help="About what the process may take.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep row hashes here for the next search; else nothing is kept.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    metavar="N",
    help="Most lines a section; 0 is all.",
)
@click.option("--stats", is_flag=True, help="Tell what each stage took in, let out and read.")
@json_option
def containment(
    lake: Path,
    *,
    equality: str,
    min_containment: float,
    min_rows: int,
    renamed: bool,
    workers: int | None,
    memory: str,
    cache: Path | None,
    limit: int,
    stats: bool,
    as_json: bool,
) -> None:
    """Find which tables of a folder are contained in which others; only reads it."""
    from orchestration.commands.containment import containment as work

    status = work(
        lake,
        equality=equality,
        min_containment=min_containment,
        min_rows=min_rows,
        renamed=renamed,
        workers=workers,
        memory=memory,
        cache=cache,
        limit=limit,
        stats=stats,
        as_json=as_json,
    )
    sys.exit(status)


main.add_command(retire)
main.add_command(restore)


if __name__ == "__main__":
    main()
