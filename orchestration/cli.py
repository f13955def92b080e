"""The `sluice` command: its group, and what becomes of errors; each subcommand reads its own arguments."""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import Any

import click

from orchestration.arguments import pipeline, problems, records, tables
from orchestration.commands.duplicates import duplicates
from orchestration.commands.retire import restore, retire
from resources.errors import EXIT_BAD_RECIPE, SluiceError
from resources.version import CODE_VERSION

# objects made between two searches for cycles: at Python's 700, importing what a command needs sets off hundreds of
# searches, an eighth of the time of a small one
COLLECT_EVERY = 100_000


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
    gc.set_threshold(COLLECT_EVERY)


for command in (
    pipeline.run,
    pipeline.init,
    pipeline.ui,
    pipeline.trace,
    pipeline.maintain,
    duplicates,
    records.score,
    records.select,
    tables.containment,
    retire,
    restore,
    problems.laws,
    problems.allocate,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
