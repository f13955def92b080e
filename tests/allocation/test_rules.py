"""Worth of passes, curves, simple rules, exports."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.allocation.baselines import shares, unimax
from assets.allocation.curves import Curves, Welfare
from assets.allocation.errors import AllocationError
from assets.allocation.export import ExportError, as_csv, blend_list, interleave, sampler_weights
from assets.allocation.fill import Fill
from assets.allocation.repetition import Cells, slope_of_passes, worth_of_passes
from tests.oracles.allocation_solver import phi


@given(st.sampled_from(["none", "step", "exp", "power"]), st.floats(0.01, 30), st.floats(0.1, 20))
def test_worth_of_passes_equals_adding_pass_after_pass(kind, r, parameter):
    assert float(worth_of_passes(kind, r, parameter)) == pytest.approx(
        phi(kind, r, parameter), rel=1e-9
    )
    step = 1e-6 * r
    if abs(r - round(r)) > 1e-3:
        rise = (phi(kind, r + step, parameter) - phi(kind, r - step, parameter)) / (2 * step)
        assert slope_of_passes(kind, r, parameter) == pytest.approx(rise, rel=1e-4, abs=1e-8)


def test_known_worths_of_repeated_data():
    # R* = 15.387756 of the data-constrained scaling study
    got = [float(worth_of_passes("exp", r, 15.387756)) for r in (2, 4, 8)]
    np.testing.assert_allclose(got, [1.9682, 3.7257, 6.6241], atol=5e-5)
    got = [float(worth_of_passes("power", 4, tau)) for tau in (1.4545, 2.27, 6.73)]
    np.testing.assert_allclose(got, [1.926, 2.330, 3.211], atol=1e-3)


@settings(max_examples=60)
@given(
    st.sampled_from(["step", "exp", "power"]),
    st.lists(
        st.tuples(st.floats(1, 100), st.floats(0.1, 1), st.floats(0.5, 3), st.floats(0.5, 6)),
        min_size=1,
        max_size=4,
    ),
    st.floats(1, 500),
)
def test_the_path_is_concave_and_its_queries_invert_each_other(kind, rows, budget):
    unique, worth, cost, rate = (np.array(c) for c in zip(*rows, strict=True))
    cells = Cells(
        np.zeros(len(rows), int), unique, worth, cost, rate, np.full(len(rows), 4.0), kind
    )
    fill = Fill(cells, 1, None)
    top = float(fill.top_spend[0])
    spend = np.linspace(0, top, 60)
    effective = np.array([fill.effective(np.array([s]))[0] for s in spend])
    steps = np.diff(effective)
    assert (np.diff(steps) <= 1e-9 * effective[-1]).all()
    middle = np.array([min(budget, 0.7 * top)])
    e = fill.effective(middle)
    x = fill.samples(e)
    assert float(x @ cost) == pytest.approx(float(middle[0]), rel=1e-9)
    assert float(cells.worth_of(x).sum()) == pytest.approx(float(e[0]), rel=1e-9)
    assert fill.spend(e) == pytest.approx(middle, rel=1e-9)
    assert fill.spend_of_samples(np.array([x.sum()])) == pytest.approx(middle, rel=1e-7)


def test_curves_invert_and_differentiate():
    curves = Curves.from_specs(
        [
            {"form": "power", "a": 0.9, "b": 2, "p": 0.4},
            {"form": "offset", "a": 0.9, "b": 2, "p": 0.4, "offset": 10},
            {"form": "hyperbola", "a": 0.8, "k": 30},
            {"form": "tabulated", "n": [0, 10, 30], "value": [0.1, 0.5, 0.7]},
        ]
    ).line(np.full(4, 2.0), np.full(4, -0.3))
    n = np.array([25.0, 25.0, 25.0, 25.0])
    np.testing.assert_allclose(curves.inverse(curves.value(n)), n, rtol=1e-12)
    h = 1e-4
    np.testing.assert_allclose(
        curves.slope(n), (curves.value(n + h) - curves.value(n - h)) / (2 * h), rtol=1e-6
    )
    assert np.isinf(curves.inverse(np.full(4, 5.0))).all()
    welfare = Welfare(curves, np.ones(4), 1.5)
    price = welfare.marginal(n)
    np.testing.assert_allclose(welfare.inverse(price, n / 10, n * 10)[:3], n[:3], rtol=1e-10)


def test_temperature_is_named_and_matches_the_oracle():
    sizes = np.array([1e6, 1e5, 1e4, 1e3])
    np.testing.assert_allclose(
        shares(sizes, alpha=0.3), [0.532405, 0.266835, 0.133734, 0.067026], atol=1e-6
    )
    np.testing.assert_allclose(
        shares(sizes, tau=5), [0.438548, 0.276705, 0.174589, 0.110158], atol=1e-6
    )
    with pytest.raises(TypeError):
        shares(sizes, 0.3)
    with pytest.raises(AllocationError, match="exactly one"):
        shares(sizes)
    with pytest.raises(AllocationError, match="exactly one"):
        shares(sizes, alpha=0.3, tau=5)


def test_unimax_matches_the_oracle_and_equal_curves():
    from assets.allocation.answer import allocate

    sizes = np.array([1e6, 1e5, 1e4, 1e3])
    np.testing.assert_allclose(
        unimax(sizes, 400_000, max_epochs=1)[0], [289_000, 100_000, 10_000, 1_000]
    )
    np.testing.assert_allclose(
        unimax(sizes, 400_000, max_epochs=4)[0], [178_000, 178_000, 40_000, 4_000]
    )
    assert unimax(sizes, 2e6, max_epochs=1)[1] == pytest.approx(2e6 - sizes.sum())
    problem = {
        "budget": 400_000,
        "objective": {"kind": "weighted_sum"},
        "groups": [
            {
                "name": str(i),
                "weight": 1,
                "cost": 1,
                "available": s,
                "curve": {"form": "power", "a": 0.9, "b": 1, "p": 0.4},
            }
            for i, s in enumerate(sizes)
        ],
    }
    answer = allocate(problem)
    np.testing.assert_allclose(
        [e["samples"] for e in answer["allocation"]], unimax(sizes, 400_000, max_epochs=1)[0]
    )
    assert answer["baselines"]["equal"]["objective"] == pytest.approx(answer["objective"])


@pytest.fixture
def small_plan():
    return pl.DataFrame(
        {
            "group": ["a", "a", "b"],
            "pool": [0, 1, 0],
            "samples": [30, 10, 60],
            "sampling_prob": [0.3, 0.1, 0.6],
        }
    )


def test_exports(small_plan):
    rows = pl.DataFrame(
        {"record_id": list("uvwxy"), "group": ["b", "a", "a", "b", "a"], "pool": [0, 0, 1, 0, 0]}
    )
    weights = sampler_weights(small_plan, rows)
    assert weights["record_id"].to_list() == list("uvwxy")
    np.testing.assert_allclose(weights["weight"], [0.3, 0.15, 0.1, 0.3, 0.15])
    assert interleave(small_plan)["probabilities"] == [0.4, 0.6]
    assert interleave(small_plan, by="pool")["names"] == [0, 1]
    assert blend_list(small_plan, prefix="s/") == [
        "0.3",
        "s/a/pool=0",
        "0.1",
        "s/a/pool=1",
        "0.6",
        "s/b/pool=0",
    ]
    assert as_csv(small_plan).splitlines()[0] == "group,pool,samples,sampling_prob"
    with pytest.raises(ExportError, match="'a', pool 1"):
        sampler_weights(small_plan.filter(pl.col("pool") == 0), rows)


def test_a_flat_curve_stays_flat_without_records() -> None:
    import numpy as np

    from assets.allocation.curves import Curves

    curves = Curves.power([0.74, 0.8], [1.4, 0.0], [0.34, 0.34])
    assert curves.value(np.array([84.0, 0.0]))[1] == 0.8
    assert curves.slope(np.array([84.0, 0.0]))[1] == 0.0
