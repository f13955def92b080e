"""`sluice retire` and `sluice restore`: drop a table that others hold, after proving it; bring it back."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestration.commands.retire_way import Roots

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document for machines."
)
recipe_option = click.option(
    "--recipe", type=click.Path(path_type=Path), help="The recipe whose lake the table is in."
)
output_option = click.option(
    "--output", type=click.Path(path_type=Path), help="An output root instead of a recipe."
)
wait_option = click.option(
    "--wait", "wait_seconds", type=float, default=0.0, help="Seconds to wait for a run to end."
)


@click.command()
@click.argument("table")
@recipe_option
@output_option
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="TABLE",
    help="Rebuild it from this table; given more than once, from these together.",
)
@click.option(
    "--grace",
    default="7d",
    show_default=True,
    metavar="7d|36h",
    help="How long its bytes stay at least.",
)
@click.option(
    "--hold",
    type=click.Choice(["auto", "copy", "link"]),
    default="auto",
    show_default=True,
    help="How a parent that is used in place is held; auto links Delta's data files and copies the rest.",
)
@click.option("--delete", is_flag=True, help="Delete the bytes of a table that was retired before.")
@click.option("--dry-run", is_flag=True, help="Prove everything and leave nothing.")
@wait_option
@json_option
def retire(
    table: str,
    *,
    recipe: Path | None,
    output: Path | None,
    parents: tuple[str, ...],
    grace: str,
    hold: str,
    delete: bool,
    dry_run: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Retire a table that others hold: prove it, keep how to rebuild it, delete it when told again."""
    from assets.containment.prove_rebuild import Bounds
    from assets.containment.retire import delete as delete_bytes
    from assets.containment.retire import retire as work
    from orchestration.commands.maintain import parse_hours
    from orchestration.commands.retire_way import find_way
    from orchestration.commands.watch import Watch

    roots = _roots(recipe, output)
    hours, place = parse_hours(grace, "--grace"), roots.place(table)
    with _leased(roots, wait_seconds):
        if delete:
            told = delete_bytes(roots.state, place, dry_run=dry_run)
        else:
            way = find_way(roots, table, parents)
            bounds = Bounds(
                roots.recipe.limits.memory_bytes,
                hours,
                hold,  # type: ignore[arg-type]  # click has checked it
                dry_run,
                Watch(quiet=as_json),
            )
            told = work(roots.state, way, bounds)
    if as_json:
        told = {name: value for name, value in told.items() if name not in ("manner", "shape")}
        click.echo(json.dumps({**told, "dry_run": dry_run}))
    elif delete:
        would = "would be deleted" if dry_run else "are deleted"
        if told["deleted_at"]:  # by an earlier call
            would = f"were deleted on {told['deleted_at'][:10]}"
        click.echo(
            f"{table}: its {told['bytes']:,} bytes {would}; `sluice restore {table}` with the same --recipe rebuilds it"
        )
    else:
        _tell(told, dry_run=dry_run)


def _tell(told: dict[str, Any], *, dry_run: bool) -> None:
    from assets.containment.row_choice import in_words

    table = told["table"]
    proof = told["certificate"]
    parents = ", ".join(parent["table"] for parent in told["parents"])
    promise = {
        "bytes": "byte for byte",
        "content": "byte for byte once decompressed",
        "rows": "in schema, rows and order; not in its bytes",
    }[told["source"]["promise"]]
    lines = [
        f"{table}: all {told['rows']:,} rows are in {parents} by {proof['equality']}, certified by {proof['scheme']}",
        f"It is {in_words(told['chosen'])} of {parents}",
        f"A trial rebuild was the same {promise}",
        f"Rebuilding takes {told['recipe_bytes']:,} bytes of its {told['source']['bytes']:,}, held copies "
        f"{told['held_bytes']:,}; saved: {told['saving']:,}",
    ]
    if told["source"]["format"] == "delta":
        lines.append("Only its newest version would come back: a Delta table's history is not kept")
    if dry_run:
        lines.append("This was a dry run; nothing was done")
    else:
        lines.append(
            "Retired. Its bytes stay; "
            f"`sluice retire {table} --delete` with the same --recipe removes them from {told['delete_after']} on"
        )
    click.echo("\n".join(lines))


@click.command()
@click.argument("table")
@recipe_option
@output_option
@wait_option
@json_option
def restore(
    table: str, *, recipe: Path | None, output: Path | None, wait_seconds: float, as_json: bool
) -> None:
    """Bring a retired table back, row for row."""
    from assets.containment.restore import restore as work

    roots = _roots(recipe, output)
    with _leased(roots, wait_seconds):
        told = work(roots.state, table, roots.place(table))
    same = {"bytes": "", "content": " (once decompressed)", "rows": " in schema, rows and order"}
    text = f"{table}: {told['rows']:,} rows {told['how']} at {told['path']}"
    if told["how"] == "rebuilt":
        text += f", the same{same[told['identical']] or ' byte for byte'}"
    click.echo(json.dumps(told) if as_json else text)


def _roots(recipe: Path | None, output: Path | None) -> Roots:
    from orchestration.commands.maintain import roots
    from orchestration.commands.retire_way import Roots
    from resources.recipe import Recipe
    from resources.recipe_file import load_recipe
    from resources.releases import last_release

    root, state = roots(recipe, output)
    if recipe is not None:
        return Roots(load_recipe(recipe), root, state)
    release = last_release(root)
    assert release is not None  # `roots` has found one
    return Roots(Recipe.model_validate_json(release["recipe"]), root, state)


@contextlib.contextmanager
def _leased(roots: Roots, wait_seconds: float) -> Iterator[None]:
    from resources.lease import Lease

    holder = f"retire-{uuid.uuid4().hex}"
    with contextlib.ExitStack() as held:
        for root in sorted({roots.output, roots.state}):
            held.enter_context(Lease(root, holder, wait_seconds=wait_seconds))
        yield
