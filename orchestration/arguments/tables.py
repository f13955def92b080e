"""Tables of any folder, without a recipe: containment."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestration.arguments.options import (
    json_option,
)


@click.command()
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
@click.option("--unions", is_flag=True, help="Tables that two or three others hold together, too.")
@click.option("--versions", is_flag=True, help="Compare each version of a Delta table, as TABLE@N.")
@click.option("--overlaps", is_flag=True, help="Tell the parent's share and Jaccard of each pair.")
@click.option(
    "--mode",
    type=click.Choice(["exact", "paper"]),
    default="exact",
    show_default=True,
    help="paper: R2D2 as published, full containment from ten sampled rows, for comparison.",
)
@click.option(
    "--sample", type=click.IntRange(10), metavar="M", help="Estimate from M rows a child."
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals that --sample gives.",
)
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
    unions: bool,
    versions: bool,
    overlaps: bool,
    mode: str,
    sample: int | None,
    confidence: float,
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
        unions=unions,
        versions=versions,
        overlaps=overlaps,
        mode=mode,
        sampling=None if sample is None else (sample, confidence),
        workers=workers,
        memory=memory,
        cache=cache,
        limit=limit,
        stats=stats,
        as_json=as_json,
    )
    sys.exit(status)
