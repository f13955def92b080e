"""Sections of a recipe for budgets, filtering and allocation."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from resources.compute import Compute
from resources.recipe_base import Place, Section


class Budget(Section):
    """What the training run can afford, in the recipe's unit or as compute; see `resources.compute.Compute`."""

    samples: Annotated[int, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None
    flops: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    parameters: Annotated[float, Field(gt=0)] | None = None
    peak: Annotated[float, Field(gt=0)] | None = None
    utilisation: Annotated[float, Field(gt=0, le=1)] | None = None
    tokens_per_sample: Annotated[float, Field(gt=0)] | None = None
    scoring_flops: Annotated[float, Field(ge=0)] | None = None
    scorer_parameters: Annotated[float, Field(gt=0)] | None = None
    scored_tokens: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.converted()[self.unit] < 1:
            message = f"less than one of the {self.unit} is left of it; raise the budget"
            raise ValueError(message)
        return self

    def converted(self) -> dict[str, Any]:
        """Return the budget in every unit that is known, less what scoring cost."""
        return Compute(**self.model_dump()).converted()

    @property
    def unit(self) -> Literal["samples", "tokens"]:
        """What `amount` counts: samples where they are stated or tokens can be turned into them."""
        known = self.samples is not None or self.tokens_per_sample is not None
        return "samples" if known else "tokens"

    @property
    def amount(self) -> int:
        """The budget as a whole number of its unit."""
        return max(int(self.converted()[self.unit]), 1)


class Proxy(Section):
    """How much the proxy runs may cost.

    Further runs are made where they can change a plan: at most ``further_runs``, of ``further_seconds``
    of work (default: half of ``seconds``), until no plan loses more than ``target_loss`` of the metric
    to another with probability 10 %. ``vocabulary_size`` is cut to
    what keeps the model below 0.3 million parameters.
    """

    kind: Literal["auto", "language_model", "head"] = "auto"
    seconds: Annotated[float, Field(gt=0)] = 60.0
    seeds: Annotated[int, Field(ge=1, le=50)] = 3
    records_per_pool: Annotated[int, Field(ge=8)] = 1500
    further_seconds: Annotated[float, Field(ge=0)] | None = None
    further_runs: Annotated[int, Field(ge=0, le=1000)] = 12
    target_loss: Annotated[float, Field(ge=0)] = 0.005
    vocabulary: Literal["bytes", "bpe"] = "bytes"
    vocabulary_size: Annotated[int, Field(ge=257)] = 1024
    merging: bool = False


class Filtering(Section):
    """Quality pools, training curves and the budgets that are planned for."""

    pools: Annotated[int, Field(ge=1, le=12)] = 4
    curves: Place = "proxy"
    budgets: tuple[Budget, ...] = ()
    publish: Annotated[int, Field(ge=0)] = 0
    max_passes: Annotated[int, Field(ge=1, le=1000)] = 4
    law: Literal["average", "utility", "saturation", "power"] = "average"
    proxy: Proxy = Field(default_factory=Proxy)

    @model_validator(mode="after")
    def _published_budget_exists(self) -> Self:
        if self.budgets and self.publish >= len(self.budgets):
            message = f"publish is {self.publish}, but there are {len(self.budgets)} budgets (counted from 0)"
            raise ValueError(message)
        return self


class Policy(Section):
    """Who decided on the objective, why, and when. Recorded with the plan."""

    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    decided: dt.date | None = None


class PlannedDraws(Section):
    """How many refits of the curves, and whether the plan is made on their mean or the worst of them."""

    count: Annotated[int, Field(ge=20, le=2000)] = 200
    plan: Literal["mean", "worst"] | None = None


class Rounds(Section):
    """A study that buys records in rounds: a pilot of every group, then rounds that fit and divide again.

    `pilot` and `slice` are shares of the budget, `explore` one of each slice. `value` is what one unit of
    the objective is worth in units of the budget; without it no round is left out.
    """

    count: Annotated[int, Field(ge=1, le=1000)]
    pilot: Annotated[float, Field(gt=0, lt=1)]
    slice: Annotated[float, Field(gt=0, lt=1)] | None = None
    value: Annotated[float, Field(gt=0)] | None = None
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0
    hold_unreachable: bool = False


class Allocation(Section):
    """The division of the budget between groups. Nothing here has a hidden default."""

    by: str
    objective: Literal["weighted_sum", "isoelastic", "max_min", "leximin"]
    level: Literal["raw", "excess", "skill", "attainable"] | None = None
    aversion: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    weights: (
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
        | Literal["equal", "proportional"]
        | None
    ) = None
    costs: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    floors: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    fallback: Literal["proportional", "equal", "alpha_0.3"] = "proportional"
    within: Literal["hash", "best"] = "hash"
    draws: PlannedDraws = Field(default_factory=PlannedDraws)
    rounds: Rounds | None = None
    policy: Policy

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.objective in ("max_min", "leximin") and self.level is None:
            message = (
                f"objective {self.objective} compares groups, so it needs a level: raw, excess, skill or attainable; "
                "there is no default because the choice is a policy"
            )
            raise ValueError(message)
        if self.objective in ("weighted_sum", "isoelastic") and self.weights is None:
            message = (
                f"objective {self.objective} sums over groups, so it needs weights: one a group, or `equal`, or "
                "`proportional`; there is no default because the choice is a policy"
            )
            raise ValueError(message)
        if self.objective == "isoelastic" and self.aversion is None:
            message = "objective isoelastic needs aversion (0 is the plain sum, 1 the logarithm)"
            raise ValueError(message)
        if self.objective != "isoelastic" and self.aversion:
            message = f"objective {self.objective} has no aversion; remove it, or use isoelastic"
            raise ValueError(message)
        if self.objective == "isoelastic" and self.level == "excess":
            message = "level excess is a shortfall and can't go into isoelastic; use raw, skill or attainable"
            raise ValueError(message)
        sums = self.objective in ("weighted_sum", "isoelastic")
        if self.draws.plan is not None and sums != (self.draws.plan == "mean"):
            message = (
                f"draws.plan {self.draws.plan} does not go with {self.objective}; use mean with weighted_sum and "
                "isoelastic, worst with max_min and leximin"
            )
            raise ValueError(message)
        if isinstance(self.weights, dict) and not any(self.weights.values()):
            message = "every weight is 0, so nothing is worth buying; give some group a weight"
            raise ValueError(message)
        return self
