"""The errors that a person sees: each names the place at fault and the remedy, and carries its exit status."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_BAD_RECIPE = 2
EXIT_CHECK_FAILED = 3
EXIT_BUSY = 4
EXIT_QUARANTINE = 5


class SluiceError(Exception):
    """Base of every error that is meant for a person; `exit_status` is what the command returns."""

    exit_status = 1


class RecipeError(SluiceError):
    """A recipe or an argument that can't be followed."""

    exit_status = EXIT_BAD_RECIPE


class CheckError(SluiceError):
    """A blocking check failed; nothing of the stage was committed."""

    exit_status = EXIT_CHECK_FAILED


class BusyError(SluiceError):
    """Another run holds the lease of this root."""

    exit_status = EXIT_BUSY


class StoreError(SluiceError):
    """The store refused a read or a write, or holds something unexpected."""


class NotReadyError(SluiceError):
    """A table that a stage reads has neither been written by this run nor released."""

    exit_status = EXIT_BAD_RECIPE


class NothingToDo(SluiceError):  # noqa: N818 - not a fault
    """A partition that is not to be written, because the work ended before it; the message says why."""

    exit_status = EXIT_DONE
