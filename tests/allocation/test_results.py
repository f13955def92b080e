"""Results of arms: pairing by seed, measures, suppression, what can't be told apart, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.allocation.results import ResultsError, read_results


def rows(gains, *, seeds=5, noise=0.004, counts=None):
    """Return two arms of groups a, b, c, ...; `gains` by group, with noise that both arms share."""
    rng = np.random.default_rng(1)
    start = [0.8, 0.5, 0.6, 0.55][: len(gains)]
    out = []
    for seed in range(seeds):
        for g, (base, gain) in enumerate(zip(start, gains, strict=True)):
            both, own = rng.normal(0, 0.05), rng.normal(0, noise)
            for arm, add in (("after", gain + own), ("before", 0.0)):
                row = {"group": "abcd"[g], "arm": arm, "seed": seed, "metric": base + both + add}
                out.append(row if counts is None else row | {"rows": counts[g]})
    return pl.DataFrame(out)


def test_gains_are_paired_by_seed_and_before_comes_first():
    made = read_results(rows([0.0, 0.05]))
    assert made.arms == ["before", "after"]
    after = {r["group"]: r for r in made.change.filter(pl.col("arm") == "after").to_dicts()}
    frame = rows([0.0, 0.05]).filter(pl.col("group") == "b").sort("seed")
    gain = (
        frame.filter(pl.col("arm") == "after")["metric"].to_numpy()
        - frame.filter(pl.col("arm") == "before")["metric"].to_numpy()
    )
    half = 2.7764451 * gain.std(ddof=1) / np.sqrt(5)
    assert after["b"]["gain_hi95"] - after["b"]["gain"] == pytest.approx(half, rel=1e-6)
    # the seeds scatter by more than the gain, and only pairing shows it
    assert after["b"]["hi95"] - after["b"]["lo95"] > 0.05
    assert after["b"]["told_apart"]
    assert not after["a"]["told_apart"]


def test_the_order_of_rows_does_not_matter_but_for_the_names_of_arms():
    frame = rows([0.0, 0.05, 0.02])
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    assert read_results(frame).change.equals(read_results(mixed).change)


def test_measures_are_those_of_the_formulas():
    frame = rows([0.0, 0.05, 0.02], counts=[100, 300, 600])
    made = read_results(frame)
    by = {(r["arm"], r["measure"]): r["value"] for r in made.measures.to_dicts()}
    values = (
        frame.filter(pl.col("arm") == "after")
        .sort("group", "seed")["metric"]
        .to_numpy()
        .reshape(3, 5)
    )
    overall = np.array([100, 300, 600]) @ values / 1000
    assert made.weighted
    assert by["after", "overall"] == pytest.approx(overall.mean())
    assert by["after", "worst"] == pytest.approx(values.min(axis=0).mean())
    assert by["after", "gap"] == pytest.approx(np.ptp(values, axis=0).mean())
    scaled = overall / (1 + np.abs(values - overall).sum(axis=0))
    assert by["after", "equity_scaled"] == pytest.approx(scaled.mean())


def test_levelling_down_names_its_arm():
    (warning,) = read_results(rows([-0.15, 0.0])).warnings
    assert warning.startswith("after against before: levelling down")
    assert read_results(rows([0.0, 0.1])).warnings == []


def test_small_groups_are_in_no_number():
    made = read_results(rows([0.0, 0.05, 0.02, 0.3], counts=[100, 300, 600, 4]))
    hidden = made.change.filter("suppressed")
    assert set(hidden["group"]) == {"a", "d"}  # the next smallest too, since a total would tell
    assert hidden.select("rows", "value", "lo95", "gain").null_count().row(0) == (4, 4, 4, 4)
    worst = made.measures.filter(pl.col("measure") == "worst")["value"]
    assert worst.max() < 0.7


def predictions():
    rng = np.random.default_rng(2)
    out = []
    for arm, skill in (("before", 0.6), ("after", 0.8)):
        for seed in range(3):
            for group in "ab":
                for sex, count in (("f", 40), ("m", 50), ("x", 4 if group == "a" else 30)):
                    for _ in range(count):
                        truth = int(rng.integers(0, 2))
                        right = rng.random() < skill
                        out.append((group, arm, seed, truth, truth if right else 1 - truth, sex))
    schema = ["group", "arm", "seed", "truth", "predicted", "sex"]
    return pl.DataFrame(out, schema=schema, orient="row")


def test_predictions_give_accuracies_and_cells_of_the_last_arm():
    frame = predictions()
    made = read_results(frame)
    assert made.metric == "accuracy"
    assert made.weighted
    one = frame.filter(pl.col("arm") == "after", pl.col("group") == "b", pl.col("seed") == 0)
    cell = made.cells.filter(pl.col("down") == "b", pl.col("across") == "m").to_dicts()[0]
    part = one.filter(pl.col("sex") == "m")
    assert cell["attribute"] == "sex"
    assert cell["rows"] == 50
    assert cell["value"] == pytest.approx((part["truth"] == part["predicted"]).mean())
    hidden = set(made.cells.filter("suppressed").select("down", "across").iter_rows())
    assert hidden == {("a", "x"), ("a", "f"), ("b", "x"), ("b", "f")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop("seed"), "give group, arm, seed, metric"),
        (lambda f: f.with_columns(metric=pl.col("metric") * 100), "divide percentages by 100"),
        (lambda f: f.filter(pl.col("arm") == "after"), "needs two"),
        (lambda f: f[1:], "paired by seed"),
        (lambda f: pl.concat([f, f[:1]]), "stands twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, says):
    with pytest.raises(ResultsError, match=says):
        read_results(change(rows([0.0, 0.05])))


def test_what_the_benchmark_on_afrisenti_wrote_can_be_compared():
    file = Path(__file__).resolve().parents[2] / "benchmarks/results/afrisenti_results.csv"
    made = read_results(pl.read_csv(file))
    assert made.metric == "test accuracy"
    assert made.arms[0] == "before"
    assert {"alpha 0.3", "proportional", "equal", "unimax 1 epoch"} < set(made.arms)
    assert made.seeds == 5
    assert made.weighted
    # more data is better in the mean over languages, whatever the plan
    overall = made.measures.filter(pl.col("measure") == "overall")
    assert overall["value"][0] == overall["value"].min()
