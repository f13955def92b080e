"""Tables of bags through the command: groups are told about, rows never; alike bags are refused."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from assets.allocation.bags import BagsError, answer_bags
from assets.allocation.group_curves import fit_group_curves
from assets.allocation.label_proportions import AlikeBagsError
from assets.allocation.measured_groups import completed_runs
from orchestration.cli import main
from tests.allocation.test_label_proportions import bags as drawn_bags

TRUE = np.array([0.9, 0.7, 0.4])


def tables(count=30, size=150, **change):
    x, bag, shares, group = drawn_bags(count=count, size=size, **change)
    table = pl.DataFrame(
        {"bag": [f"b{i}" for i in range(count)], **dict(zip("xyz", shares.T, strict=True))}
    )
    rows = pl.DataFrame(
        {
            "bag": [f"b{i}" for i in bag],
            **{f"f{k}": column for k, column in enumerate(x.T)},
            "value": np.array([0.2, 0.5, 0.9])[group],
        }
    )
    return table, rows, group


def test_rows_give_counts_and_means_by_group_only():
    table, rows, group = tables()
    answer = answer_bags(table, rows)
    true = np.bincount(group, minlength=3)
    np.testing.assert_allclose([g["count"] for g in answer["groups"]], true, rtol=0.02)
    np.testing.assert_allclose(
        [g["mean_value"] for g in answer["groups"]], [0.2, 0.5, 0.9], atol=0.04
    )
    assert answer["calibration"] < 0.06

    def longest(node):
        if isinstance(node, dict):
            return max([0, *map(longest, node.values())])
        return max([len(node), *map(longest, node)]) if isinstance(node, list) else 0

    assert longest(answer) < 10  # nothing has as many entries as there are rows, or bags


def test_the_order_of_rows_and_bags_does_not_matter():
    table, rows, _ = tables(count=12, size=60)
    one = answer_bags(table, rows)
    two = answer_bags(table.reverse(), rows.sample(fraction=1.0, shuffle=True, seed=3))
    for a, b in zip(one["groups"], two["groups"], strict=True):
        assert a["count"] == pytest.approx(b["count"], rel=1e-4)


def test_a_small_group_and_its_neighbour_are_suppressed():
    rng = np.random.default_rng(2)
    shares = np.array([[0.99, 0.005, 0.005], [0.3, 0.7, 0.0], [0.6, 0.3, 0.1], [0.5, 0.49, 0.01]])
    size = 60
    rows = pl.DataFrame({"bag": np.repeat(list("abcd"), size), "f": rng.normal(size=4 * size)})
    table = pl.DataFrame({"bag": list("abcd"), **dict(zip("xyz", shares.T, strict=True))})
    answer = answer_bags(table, rows)
    counts = [g["count"] for g in answer["groups"]]
    assert counts.count(None) == 2
    assert counts[2] is None
    assert "suppressed" in answer["warnings"][0]


def test_results_by_bag_give_performance_with_errors_and_runs_for_curves():
    table, _, _ = tables()
    shares = table.select("x", "y", "z").to_numpy()
    rng = np.random.default_rng(1)
    frames = []
    for n in (100, 200, 400, 800):
        for seed in range(3):
            truth = TRUE - n**-0.5
            noisy = shares @ truth + 0.002 * rng.normal(size=30)
            frames.append(
                table.with_columns(
                    performance=pl.Series(noisy), rows=150, samples_seen=n, seed=seed
                )
            )
    once = answer_bags(frames[0].drop("samples_seen", "seed"))
    for row, true in zip(once["groups"], TRUE - 0.1, strict=True):
        assert abs(row["performance"] - true) < 4 * row["se"] < 0.05
    runs = pl.DataFrame(answer_bags(pl.concat(frames))["evaluations"])
    assert runs.height == 12 * 3
    curves = fit_group_curves(completed_runs(runs), list("xyz"), prior_mean=0.5)
    np.testing.assert_allclose(curves.a - curves.b * 3200**-curves.p, TRUE - 3200**-0.5, atol=0.02)


def test_alike_bags_are_refused():
    alike = pl.DataFrame({"bag": [1, 2, 3], "x": [0.5, 0.5, 0.5], "y": [0.5, 0.5, 0.5]})
    with pytest.raises(AlikeBagsError, match="too alike"):
        answer_bags(alike)
    with pytest.raises(AlikeBagsError, match="2 bags can't tell 3 groups apart"):
        answer_bags(pl.DataFrame({"bag": [1, 2], "x": [1, 0], "y": [0, 1], "z": [0, 0]}))


TABLE = pl.DataFrame({"bag": ["a", "b"], "x": [0.9, 0.2], "y": [0.1, 0.8]})
ROWS = pl.DataFrame({"bag": ["a", "b"] * 20, "f": np.arange(40) * 1.0})


@pytest.mark.parametrize(
    ("table", "rows", "words"),
    [
        (TABLE.drop("bag"), None, "column bag: missing"),
        (TABLE.drop("y"), None, "two groups or more"),
        (TABLE.with_columns(x=pl.lit("much")), None, "column 'x': holds String"),
        (TABLE.with_columns(x=pl.lit(0.3)), None, "bag 'a': its shares are"),
        (TABLE.with_columns(x=pl.lit(-0.1), y=pl.lit(1.1)), None, "each from 0 to 1"),
        (TABLE.with_columns(x=pl.lit(float("nan"))), None, "bag 'a'"),
        (TABLE.with_columns(x=pl.lit(None, pl.Float64)), None, "bag 'a'"),
        (pl.concat([TABLE, TABLE]), None, "bag 'a': stands twice"),
        (TABLE.with_columns(bag=pl.lit("a")), None, "bag 'a': stands twice"),
        (TABLE.with_columns(bag=pl.lit(None, pl.String)), None, "a row names no bag"),
        (TABLE.with_columns(performance=pl.lit("x")), None, "column performance"),
        (TABLE.with_columns(performance=0.5, rows=pl.lit(0)), None, "column rows"),
        (TABLE, ROWS.drop("bag"), "rows, column bag: missing"),
        (TABLE, ROWS.drop("f"), "no column of numbers"),
        (TABLE, ROWS.with_columns(t=pl.lit("text")), "rows, column 't': holds String"),
        (TABLE, ROWS.with_columns(f=pl.lit(float("inf"))), "rows, column 'f': row 0"),
        (TABLE, ROWS.with_columns(bag=pl.lit("z")), "'z' is not in the table of bags"),
        (TABLE, ROWS.head(3), "3 are too few for 2 groups"),
        (TABLE.head(0), None, "0 bags can't tell 2 groups apart"),
    ],
)
def test_tables_that_cannot_be_used(table, rows, words):
    with pytest.raises((BagsError, AlikeBagsError), match=words):
        answer_bags(table, rows)


def test_the_command(tmp_path):
    table, rows, _ = tables(count=12, size=60)
    bags, records = tmp_path / "bags.csv", tmp_path / "rows.parquet"
    table.write_csv(bags)
    rows.write_parquet(records)
    call = ["allocate", "--bags", str(bags)]
    told = CliRunner().invoke(main, [*call, "--rows", str(records)], catch_exceptions=False)
    assert "spread of the shares" in told.output
    answer = json.loads(CliRunner().invoke(main, [*call, "--json"]).stdout)
    assert answer["warnings"] == [
        "only the spread of the shares is known: add rows (--rows), or a column performance"
    ]
    bags.write_text("bag,x,y\n1,0.5,0.5\n2,0.5,0.5\n")
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 2
    assert f"{bags}: the bags are too alike" in refused.stderr
    for extra, words in (
        (["--coupled"], "two forms of problem"),
        (["--integer"], "--bags does not go with --integer"),
    ):
        assert words in CliRunner().invoke(main, [*call, *extra]).stderr
    assert (
        "--rows are read by --bags"
        in CliRunner().invoke(main, ["allocate", str(bags), "--rows", str(records)]).stderr
    )
