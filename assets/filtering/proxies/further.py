"""Make further proxy runs where they can change a plan: fit, ask what is open, train what gains most, and again.

After the smallest design each budget has a plan, and the draws of the laws say what it may lose to a
rival. While that loss is above a target at some budget, the runs with the largest expected gain a unit
of work are trained (`information.choose_runs`) and the laws are fitted anew, until the target is met,
no run gains enough, or the work or the number of runs is spent. Every step is decided by results and
seeds alone, so a killed study that keeps its finished runs takes the same way again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from assets.filtering.decay import Array
from assets.filtering.ensemble import Ensemble
from assets.filtering.predict import Setting, sample_points
from assets.filtering.proxies.information import Pick, choose_runs, open_loss
from assets.filtering.proxies.options import Option, options
from assets.filtering.proxies.spec import WIDENING, Maker, RunSpec
from assets.filtering.proxies.work import work_of
from assets.filtering.ranking import rank_plans

#: trainings chosen before the laws are fitted again
BATCH = 4
#: a run must gain this share of the target, summed over the budgets
LEAST_GAIN = 0.02
#: plans of several pools that runs on mixtures are offered for
MIXTURES = 3

Rows = list[dict[str, Any]]


class Fitted(Protocol):
    """Fitted laws: `assets.filtering.analyse.Study`."""

    @property
    def ensemble(self) -> Ensemble:
        """The laws and their draws."""
        ...

    @property
    def setting(self) -> Setting:
        """How plans are made."""
        ...


@dataclass(frozen=True)
class Further:
    """Hold what further runs may cost and when they are not needed.

    Attributes
    ----------
    flops, runs
        Work and number of trainings at most.
    target
        Loss, in the metric, that a plan may have with probability 10 % without being looked into.
    """

    flops: float
    runs: int
    target: float


def widen(
    specs: Sequence[RunSpec],
    rows: Rows,
    *,
    maker: Maker,
    fit: Callable[[Rows], Fitted],
    train: Callable[[list[RunSpec]], Rows],
    budgets: Sequence[float],
    further: Further,
    max_passes: float | None = None,
    seed: int = 0,
) -> tuple[Rows, dict[str, Any]]:
    """Return all rows, those of further runs included, and what was decided.

    Parameters
    ----------
    specs, rows
        The runs of the design and their evaluations.
    maker
        Of the same records and settings as the design.
    fit, train
        Fit laws to rows; train runs and return their rows.
    budgets
        Samples that plans are asked for; without any nothing is open.
    further
        Limits and target.
    max_passes, seed
        Cap of plans on passes; the design's first seed.

    Returns
    -------
    tuple
        ``rows`` followed by new ones, and a dict: ``stopped`` (why), ``runs``, ``flops``, ``rounds``
        (open loss by budget and the runs that were chosen). Cost: one fit a round, at most one round
        for each further run.
    """
    rows, known = list(rows), list(specs)
    rounds: list[dict[str, Any]] = []
    runs, flops = further.runs, further.flops
    offered = [spec for spec in specs if spec.proxy is not None and spec.kind != "group"]
    cheapest = min(
        (work_of(spec, maker.data, maker.settings) for spec in offered), default=float("inf")
    )
    stopped = "no budget is stated" if not budgets else ""
    while not stopped:
        if runs <= 0 or flops < cheapest:
            stopped = "the cap on further runs is met"
            break
        open_at, offers, picks = _choose(
            known, maker, fit(rows), budgets, further, (flops, runs), max_passes, seed
        )
        told: dict[str, Any] = {
            "open_loss": {f"{budget:.6g}": loss for budget, loss in open_at.items()},
            "runs": [],
        }
        rounds.append(told)
        if max(open_at.values()) <= further.target:
            stopped = "every plan loses less than the target with probability 90 %"
        elif not picks:
            stopped = "no further run within the cap gains enough"
        chosen: list[RunSpec] = []
        for pick in picks:
            made = _specs(offers[pick.candidate], pick.replicates, [*known, *chosen], maker, seed)
            chosen += made
            told["runs"].append(_tell(made, pick))
        if chosen:
            rows += train(chosen)
            known += chosen
            runs -= len(chosen)
            flops -= sum(work_of(spec, maker.data, maker.settings) for spec in chosen)
    return rows, {
        "stopped": stopped,
        "runs": further.runs - runs,
        "flops": further.flops - flops,
        "target": further.target,
        "rounds": rounds,
    }


def _choose(
    known: Sequence[RunSpec],
    maker: Maker,
    study: Fitted,
    budgets: Sequence[float],
    further: Further,
    left: tuple[float, int],
    max_passes: float | None,
    seed: int,
) -> tuple[dict[float, float], list[Option], list[Pick]]:
    """Return the open loss by budget, the runs on offer and those chosen; none where all is settled."""
    ensemble = study.ensemble
    setting = replace(study.setting, max_passes=max_passes)
    names = ensemble.curves.pools
    open_at: dict[float, float] = {}
    plans: list[Array] = []
    contending: dict[tuple[int, ...], float] = {}
    for budget in dict.fromkeys(budgets):
        found = rank_plans(ensemble, budget, setting)
        open_at[budget] = open_loss(found.draws, found.chosen)
        if open_at[budget] <= further.target:
            continue
        plans.append(found.draws)
        for row, chance in zip(found.few.members, found.p_best, strict=True):
            members = tuple(sorted(int(names[i]) for i in np.flatnonzero(row)))
            if len(members) > 1:
                contending[members] = contending.get(members, 0.0) + float(chance)
    mixtures = sorted(contending, key=lambda pools: (-contending[pools], pools))[:MIXTURES]
    offers = options(maker, known, mixtures, seed=seed) if plans else []
    if not offers:
        return open_at, [], []
    weights, unique = (np.array(part) for part in zip(*map(_place(names), offers), strict=True))
    samples = np.array([float(option.samples) for option in offers])
    # a failed mixture rule is no parameter that a further run would pin down
    runs = sample_points(ensemble, samples, weights, unique, replace(setting, mixture_error=0.0))
    work = np.array(
        [work_of(option.spec(maker, seed), maker.data, maker.settings) for option in offers]
    )
    picks = choose_runs(
        plans,
        runs,
        work,
        noise=ensemble.sigma,
        allowed=left[0],
        most=min(left[1], BATCH),
        least_gain=LEAST_GAIN * further.target,
    )
    return open_at, offers, picks


def _place(names: Sequence[str]) -> Callable[[Option], tuple[Array, Array]]:
    """Return what gives an option's shares and unique records in the order of the laws' pools."""
    at = {int(name): i for i, name in enumerate(names)}

    def place(option: Option) -> tuple[Array, Array]:
        weights, unique = np.zeros(len(names)), np.ones(len(names))
        for pool, size in zip(option.pools, option.sizes, strict=True):
            weights[at[pool]] = size / sum(option.sizes)
            unique[at[pool]] = size
        return weights, unique

    return place


def _specs(
    option: Option, count: int, known: Sequence[RunSpec], maker: Maker, seed: int
) -> list[RunSpec]:
    """Return ``count`` runs of an option with the first seeds that it was not trained with."""
    taken = {spec.run_id for spec in known}
    out: list[RunSpec] = []
    while len(out) < count:
        spec = option.spec(maker, seed)
        seed += 1
        if spec.run_id not in taken:
            out.append(replace(spec, purpose=WIDENING))
    return out


def _tell(made: Sequence[RunSpec], pick: Pick) -> dict[str, Any]:
    first = made[0]
    return {
        "pools": list(first.pools),
        "unique": len(first.content_ids),
        "samples": first.samples,
        "seeds": [spec.seed for spec in made],
        "expected_gain": pick.gain,
    }
