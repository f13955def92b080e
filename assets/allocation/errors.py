"""What can be wrong with a stated allocation."""

from __future__ import annotations


class AllocationError(ValueError):
    """A stated allocation problem has no answer, or is not stated fully."""


class InfeasibleFloors(AllocationError):  # noqa: N818 - says what is wrong
    """The floors cost more than the budget, or ask for more than a group holds."""


class UnreachableTarget(AllocationError):  # noqa: N818 - says what is wrong
    """Some group cannot reach the target with all the data that it has."""
