"""Say what a budget of compute means for curves: a warning where units were taken on trust."""

from __future__ import annotations

from typing import Any

from assets.filtering.notices import Notice
from resources.compute import Compute


def convert_budget(compute: Compute) -> tuple[dict[str, Any], list[Notice]]:
    """Return the budget in all known units, less what scoring cost, and what to check about it.

    Raises
    ------
    BudgetError
        Scoring cost as much as there was.
    """
    converted = compute.converted()
    notices = []
    if compute.samples is None and compute.tokens_per_sample is None:
        notices.append(
            Notice(
                "samples_taken_as_tokens",
                "the budget is in tokens and samples_seen of the curves is taken to count tokens too",
                "if the curves count records, state tokens_per_sample=MEAN in the budget",
            )
        )
    if compute.cost_of_scoring == 0.0:
        notices.append(
            Notice(
                "scoring_is_free",
                "no cost of scoring is taken off the budget",
                "state scoring_flops, or scorer_parameters and scored_tokens, with parameters",
            )
        )
    return converted, notices
