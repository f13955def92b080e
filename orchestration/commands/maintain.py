"""`sluice maintain`: sweep, compact and let go of what nobody needs, and tell every removed file."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import click
import dagster as dg

from orchestration.commands.watch import Watch
from orchestration.dead_runs import give_up
from orchestration.execute import dagster_home
from orchestration.stages import BY_ROUND_TABLE, BY_TABLE
from resources import delta
from resources.errors import EXIT_CHECK_FAILED, EXIT_DONE, RecipeError
from resources.maintain import Maintenance
from resources.maintain import maintain as work
from resources.pins import Pins
from resources.recipe_file import load_recipe
from resources.releases import last_release
from resources.sweep import Sweep

_HOURS = {"h": 1.0, "d": 24.0, "w": 168.0}


def maintain(
    recipe: Path | None,
    *,
    output: Path | None,
    retention: str,
    keep_releases: int | None,
    dry_run: bool,
    force: bool,
    wait_seconds: float,
    as_json: bool,
) -> int:
    """Maintain the store of a recipe, or of an output root, and print what was done; returns the exit status."""
    root, state = roots(recipe, output)
    done = work(
        root,
        state,
        {table: spec.layer for table, spec in {**BY_TABLE, **BY_ROUND_TABLE}.items()},
        retention_hours=parse_hours(retention),
        keep_releases=keep_releases,
        dry_run=dry_run,
        force=force,
        wait_seconds=wait_seconds,
        prune=_prune,
        report=Watch(quiet=as_json),
    )
    if done.dead_runs:
        dagster_home()
        with dg.DagsterInstance.get() as instance:
            give_up(instance, done.dead_runs)
    click.echo(json.dumps(_plain(done)) if as_json else as_text(done))
    return EXIT_CHECK_FAILED if done.damaged else EXIT_DONE


def _prune(state: Path, needed: Pins, sweep: Sweep) -> None:
    """Keep sketches and sets of the contents of all records that stay."""
    from assets.deduplication.cache_pruning import prune_caches
    from assets.deduplication.tables import RECORDS

    contents = [
        delta.scan(uri, version).select("content_id")
        for uri, versions in needed.items()
        for version in sorted(versions)
        if uri.parts[-2:] == tuple(RECORDS.split("/"))
    ]
    if contents:  # without a release nobody knows what will be needed
        prune_caches(state / "_sluice" / "cache", contents, sweep)


def parse_hours(text: str, option: str = "--retention") -> float:
    """Read a time such as ``7d``, ``36h`` or ``2w``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([hdw])\s*", text)
    if match is None:
        message = f"{option} is {text!r}; write hours, days or weeks, for example 36h, 7d or 2w"
        raise RecipeError(message)
    return float(match[1]) * _HOURS[match[2]]


def roots(recipe: Path | None, output: Path | None) -> tuple[Path, Path]:
    """Return output and state root of a recipe, or of an output root."""
    if (recipe is None) == (output is None):
        message = "name one of RECIPE and --output ROOT"
        raise RecipeError(message)
    if recipe is not None:
        loaded = load_recipe(recipe)
        return Path(loaded.output), Path(loaded.state_root)
    root = Path(output or ".").resolve()
    release = last_release(root)
    if release is None:
        message = (
            f"{root} has no release that says where its lake layer is; name the recipe instead"
        )
        raise RecipeError(message)
    state = json.loads(release["recipe"]).get("state")
    if state is None:
        return root, root
    if not (Path(state) / "_sluice").is_dir():
        message = f"{root}: its lake layer was at {state} and is not there; name the recipe instead"
        raise RecipeError(message)
    return root, Path(state)


def _plain(done: Maintenance) -> dict[str, object]:
    plain = dataclasses.asdict(done)
    return {**plain, "output": str(done.output), "state": str(done.state)}


def as_text(done: Maintenance) -> str:
    """Write what was done for people."""
    would = "would be " if done.dry_run else ""
    kept = ", ".join(str(n) for n in done.kept) or "none"
    lines = [f"Releases kept: {kept}"]
    if done.dropped:
        lines.append(f"Releases no longer kept: {', '.join(str(n) for n in done.dropped)}")
    lines.append(f"Older than {done.retention_hours:g} hours and {would}removed:")
    lines += [
        f"  {kind:<18} {tally.files:>8,} files {tally.bytes / 1e6:>12,.1f} MB"
        for kind, tally in done.removed.items()
    ]
    for item in done.compacted:
        lines.append(
            f"{would.capitalize() if would else ''}{'compacted' if would else 'Compacted'} {item['table']}: "
            f"{item['files']:,} small files ({item['bytes'] / 1e6:,.1f} MB)"
        )
    if done.checkpoints:
        lines.append(f"Checkpoints {would}written: {', '.join(done.checkpoints)}")
    if done.stale_leases:
        lines.append(f"Stale leases taken over: {done.stale_leases}")
    if done.held:
        sound = done.held - len(done.damaged)
        lines.append(f"Retired tables whose held files were hashed: {done.held:,}, sound {sound:,}")
    lines += [f"{item['table']} can't be rebuilt: {item['reason']}" for item in done.damaged]
    for item in done.left_alone:
        lines.append(f"Nothing was removed from {item['place']}: {item['reason']}")
    if done.dry_run:
        lines.append("This was a dry run; nothing was done")
    return "\n".join(lines)
