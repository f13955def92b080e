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
