"""Whether the last release already is what a run would write, and whether what stands is still sound."""

from __future__ import annotations

from assets.containment.definitions import recheck
from orchestration.stages import SPECS
from resources.errors import NotReadyError
from resources.run import Run
from resources.stage_spec import CheckOutcome, StageSpec


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


def standing_faults(run: Run) -> list[CheckOutcome]:
    """Return what fails of the checks that every run makes of what stands: files are damaged without any run.

    Cost: hashes what retired tables are rebuilt from, 1 s a GB.
    """
    return [outcome for outcome in recheck(run) if not outcome.passed]


def _stands(run: Run, spec: StageSpec, table: str) -> bool:
    """Tell whether a table of the last release is what this run would write."""
    found = run.find(table)
    # a release can't name the version of its own row: that the newest row is this answer is enough
    return found is not None and (spec.append or found.identity == run.committed(table).identity)
