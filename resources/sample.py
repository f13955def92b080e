"""A run on a share of the records: the recipe it follows, and where it writes.

A sampled run is a rehearsal. It shares the lake layer with the recipe, so that nothing is read twice, and has a root
of its own beside the recipe's output, so that its releases never stand where trainers look.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from resources.errors import RecipeError
from resources.recipe import Recipe

#: what of a budget is in proportion to the records
SCALED = ("samples", "tokens", "flops", "gpu_hours", "scoring_flops", "scored_tokens")


def sampled(recipe: Recipe, share: float) -> Recipe:
    """Return the recipe that a run on a share of the training records follows.

    Parameters
    ----------
    recipe
        The whole recipe, its paths absolute.
    share
        Above 0, at most 1.

    Returns
    -------
    Recipe
        Output ``<output>.sample-<share>``, state that of the recipe, a name of its own (so that the UI keeps the two
        apart), budgets and floors times the share (a budget is at least 1). All else is as it was.

    Raises
    ------
    RecipeError
        If the share is no share.

    Examples
    --------
    >>> recipe = Recipe(lake="/l", output="/out", records=[{"tables": "*", "text": "text"}])
    >>> sampled(recipe, 0.1).output, sampled(recipe, 0.1).state
    ('/out.sample-0.1', '/out')
    """
    if not 0 < share <= 1:
        message = f"a sample of {share:g} is no share; choose one above 0 and at most 1"
        raise RecipeError(message)
    budgets = tuple(
        budget.model_copy(
            update={
                key: max(1, round(amount * share))
                if key in ("samples", "tokens")
                else amount * share
                for key in SCALED
                if (amount := getattr(budget, key)) is not None
            }
        )
        for budget in recipe.filtering.budgets
    )
    changes: dict[str, object] = {
        "name": "_".join([*([recipe.name] if recipe.name else []), "sample", _word(share)]),
        "output": str(sample_root(Path(recipe.output), share)),
        "state": recipe.state_root,
        "filtering": recipe.filtering.model_copy(update={"budgets": budgets}),
    }
    if recipe.allocation is not None:
        # rounded down: what the floors need together may not grow past a budget that held them
        floors = {
            group: math.floor(floor * share + 1e-9)
            for group, floor in recipe.allocation.floors.items()
        }
        changes["allocation"] = recipe.allocation.model_copy(update={"floors": floors})
    return recipe.model_copy(update=changes)


def sample_root(output: Path, share: float) -> Path:
    """Return where runs on a share of the records write: beside the output, never in it."""
    return output.with_name(f"{output.name}.sample-{share:g}")


def sample_note(recipe: Recipe, share: float) -> str:
    """Say in a few sentences what a run on a share of the records is, and what it scaled.

    Parameters
    ----------
    recipe
        The whole recipe.
    share
        As in `sampled`.
    """
    scaled = sampled(recipe, share)
    pairs = zip(recipe.filtering.budgets, scaled.filtering.budgets, strict=True)
    budgets = ", ".join(f"{before.amount:,} to {after.amount:,}" for before, after in pairs)
    told = [
        f"A trial on {share:g} of the training records, chosen by id; "
        "evaluation and target records are all there.",
        f"Budgets and floors are scaled with it ({budgets} {recipe.unit})." if budgets else "",
        f"The releases of {recipe.output} are untouched.",
    ]
    return " ".join(part for part in told if part)


def _word(share: float) -> str:
    return re.sub(r"[^0-9a-zA-Z]", "_", f"{share:g}")
