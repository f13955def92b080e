"""Whether the last release already is what a run would write."""

from __future__ import annotations

from orchestration.stages import SPECS
from resources.errors import NotReadyError
from resources.run import Run
from resources.stage_spec import StageSpec


def up_to_date(run: Run) -> bool:
    """Tell whether the last release is what this run would write: the same inputs, recipe and code.

    Works on listings and logs alone: no data is read.
    """
    if run.release is None:
        return False
    try:
        return all(_stands(run, spec, table) for spec in SPECS for table in spec.tables)
    except NotReadyError:
        return False


def _stands(run: Run, spec: StageSpec, table: str) -> bool:
    """Tell whether a table of the last release is what this run would write."""
    found = run.find(table)
    # a release can't name the version of its own row: that the newest row is this answer is enough
    return found is not None and (spec.append or found.identity == run.committed(table).identity)
