"""Plans on all draws: the mean of a sum, the worst of a level."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.allocation.errors import AllocationError
from assets.allocation.group_curves import fit_group_curves
from assets.allocation.plan import plan
from tests.allocation.test_plan import evaluations

CELLS = pl.DataFrame(
    {"group": ["en", "fr", "sw"], "pool": [0, 0, 0], "available": [9000, 9000, 9000]}
)
LEVEL = {"kind": "max_min", "level": "raw"}


@pytest.fixture(scope="module")
def curves():
    return fit_group_curves(evaluations(0.02), ["en", "fr", "sw"], draws=40)


def drawn(curves, n):
    return curves.draw_a - curves.draw_b * n**-curves.draw_p


def counts(got):
    return got.frame["samples"].to_numpy().astype(float)


def test_the_mean_over_draws_beats_every_neighbour_on_the_mean(curves):
    got = plan(
        CELLS,
        budget=3000,
        objective={"kind": "weighted_sum"},
        weights="equal",
        curves=curves,
        draws="mean",
    )
    n = counts(got)
    assert n.sum() == 3000
    assert got.summary["planned_on"] == "mean"
    best = drawn(curves, n).mean()
    for source, target in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]:
        other = n.copy()
        other[source] -= 40
        other[target] += 40
        assert drawn(curves, other).mean() <= best + 1e-9


def test_the_worst_draw_is_raised_above_that_of_the_best_curves(curves):
    keywords = {"budget": 3000, "objective": LEVEL, "curves": curves}
    careful, plain = plan(CELLS, **keywords, draws="worst"), plan(CELLS, **keywords)
    worst = [drawn(curves, counts(p)).min() for p in (careful, plain)]
    assert worst[0] > worst[1] + 1e-4
    least = drawn(curves, counts(careful)).min(axis=0)
    np.testing.assert_allclose(least, least[0], atol=2e-3)


def test_isoelastic_on_the_mean_protects_the_worse_groups(curves):
    keywords = {"budget": 3000, "weights": "equal", "curves": curves, "draws": "mean"}
    plain = plan(CELLS, objective={"kind": "weighted_sum"}, **keywords)
    averse = plan(CELLS, objective={"kind": "isoelastic", "aversion": 4.0}, **keywords)
    lows = [drawn(curves, counts(p)).mean(axis=0).min() for p in (averse, plain)]
    assert lows[0] > lows[1]


def test_pairs_that_couple_the_groups_are_refused(curves):
    with pytest.raises(AllocationError, match="setting draws: mean does not go with max_min"):
        plan(CELLS, budget=3000, objective=LEVEL, curves=curves, draws="mean")
