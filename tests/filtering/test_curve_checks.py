from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.filtering.analyse import analyse
from assets.filtering.curves import CurveError, read_curves
from assets.filtering.diagnostics import diagnose
from tests.filtering.released import SIZE, curves

GOOD = curves(pools=range(2), sizes=(SIZE, SIZE / 4), epochs=(0.5, 1, 2, 4, 8), sd=0.002, seed=1)


def at(row, column, value):
    """The good table with one value changed."""
    values = GOOD[column].to_list()
    values[row] = value
    if isinstance(value, str) and GOOD.schema[column] != pl.String:
        values = [str(x) for x in values]
    return GOOD.with_columns(pl.Series(column, values))


def extra(column, value, *, row=3, usual=None):
    """The good table with a further column, ``usual`` but in one row."""
    values = [usual] * GOOD.height
    values[row] = value
    return GOOD.with_columns(pl.Series(column, values, dtype=pl.Float64))


def words(column, value, *, row=3, usual="true"):
    """The good table with a column of words, ``usual`` but in one row."""
    values = [usual] * GOOD.height
    values[row] = value
    return GOOD.with_columns(pl.Series(column, values))


@pytest.mark.parametrize("value", [-5.0, 0.0, float("nan"), float("inf"), None, 1e300, 1e-300])
@pytest.mark.parametrize("column", ["samples_seen", "pool_unique"])
def test_a_sample_count_that_no_run_can_have_is_refused(column, value):
    with pytest.raises(CurveError, match=rf"row 3 \(pool 'top10'\): {column} is not a positive"):
        read_curves(at(3, column, value))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (at(3, "samples_seen", "many"), "row 3: samples_seen is 'many', which is not a number"),
        (at(4, "metric_value", "54%"), "row 4: metric_value is '54%', which is not a number"),
        (at(4, "pool_unique", "1,000"), "row 4: pool_unique is '1,000', which is not a number"),
        (at(2, "metric_value", 1e300), "row 2 .*metric_value is above 1e\\+12"),
        (at(2, "pool", None), "row 2 .*no pool"),
        (at(2, "pool", "  "), "row 2 .*no pool"),
        (extra("se", -1.0), "row 3 .*se is negative"),
        (extra("se", float("nan")), "row 3 .*se is negative or not finite"),
        (extra("se", 1e300), "row 3 .*se is negative or not finite, or above"),
        (extra("weight", -1.0), "row 3 .*weight is negative"),
        (extra("weight", float("inf")), "row 3 .*weight is negative or not finite"),
        (GOOD.with_columns(weight=pl.lit(0.0)), "every weight is zero"),
        (extra("model_size", 0.0, usual=1e6), "row 3 .*model_size is not a positive"),
        (extra("model_size", -1.0, usual=1e6), "row 3 .*model_size is not a positive"),
        (extra("model_size", float("inf"), usual=1e6), "row 3 .*model_size is not a positive"),
        (extra("chance_level", 0.8, usual=0.9), "'chance_level' has more than one value"),
        (extra("chance_level", float("nan"), usual=0.9), "row 3 .*chance_level is negative or not"),
        (extra("chance_level", -0.1, usual=0.9), "row 3 .*chance_level is negative"),
        (extra("annealed", 2.0, usual=1.0), "row 3 .*annealed is neither true nor false"),
        (extra("annealed", 0.5, usual=1.0), "row 3 .*annealed is neither"),
        (extra("annealed", -1.0, usual=0.0), "row 3 .*annealed is neither"),
        (extra("annealed", float("nan"), usual=1.0), "row 3 .*annealed is neither"),
        (words("annealed", "cosine"), "row 3 .*annealed is neither"),
        (words("annealed", "2"), "row 3 .*annealed is neither"),
    ],
)
def test_a_bad_value_is_refused_with_its_row(table, words):
    with pytest.raises(CurveError, match=words):
        read_curves(table)


@pytest.mark.parametrize("value", [0.0, None, 1e-300, 1e-9, 1e6])
@pytest.mark.parametrize("everywhere", [True, False])
def test_odd_standard_errors_and_weights_fit_without_warnings(value, everywhere):
    for column in ("se", "weight"):
        usual = value if everywhere else 0.002
        if column == "weight" and value == 0.0 and everywhere:
            continue
        read = read_curves(extra(column, value, usual=usual))
        assert np.isfinite(read.weight).all()
        assert read.weight.mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("yes", "no"),
    [(1.0, 0.0), ("1", "0"), ("1.0", "0.0"), ("True", " FALSE "), (True, False), (1, 0)],
)
def test_annealed_is_read_from_words_and_numbers(yes, no):
    values = [no if i % 3 == 0 else yes for i in range(GOOD.height)]
    read = read_curves(GOOD.with_columns(pl.Series("annealed", values)))
    np.testing.assert_array_equal(read.annealed, read.row % 3 != 0)


@pytest.mark.parametrize("kind", [pl.String, pl.Float64, pl.Boolean, pl.Int64])
def test_an_evaluation_that_does_not_say_is_taken_as_annealed(kind):
    column = pl.Series("annealed", [None] * 4 + [0] * 16, dtype=pl.Int64).cast(kind)
    read = read_curves(GOOD.with_columns(column))
    assert int(read.annealed.sum()) == 4


def test_a_mixture_of_a_pool_without_curves_is_named_with_row_and_remedy():
    more = GOOD.head(4).with_columns(pool=pl.lit("top10+nope"))
    told = [
        n for n in diagnose(read_curves(pl.concat([GOOD, more]))).notices if "mixture" in n.code
    ]
    assert [n.code for n in told] == ["unknown_mixture_member"]
    assert "'nope' has no curves (first: row 20)" in told[0].message
    assert "add curves of 'nope'" in told[0].remedy
    known = GOOD.head(4).with_columns(pool=pl.lit("top10+top20"))
    for table in (GOOD, pl.concat([GOOD, known]), GOOD.with_columns(pool=pl.lit("c++"))):
        assert "unknown_mixture_member" not in {
            n.code for n in diagnose(read_curves(table)).notices
        }


@pytest.mark.parametrize(
    "wrong",
    [
        {"chance_level": pl.lit(0.1)},
        {"chance_level": pl.lit(10.0), "direction": pl.lit("higher")},  # a share beside per cent
    ],
)
def test_curves_that_no_evaluation_lifts_above_chance_are_fitted_and_said_to_be(wrong):
    """Models that are still worse than chance are a finding, not a mistake in the table."""
    told = {n.code: n for n in diagnose(read_curves(GOOD.with_columns(**wrong))).notices}
    assert "check direction and chance_level" in told["above_chance"].remedy
    assert "only_unusable" in told


def test_a_pool_that_never_leaves_warm_up_is_kept_and_said_to_be():
    flat = GOOD.filter(pl.col("pool") == "top20").with_columns(metric_value=pl.lit(0.985))
    table = pl.concat([GOOD.filter(pl.col("pool") == "top10"), flat])
    read = read_curves(table.with_columns(chance_level=pl.lit(0.99)))
    found = diagnose(read)
    told = {n.code: n for n in found.notices}
    assert "top20" in told["only_unusable"].message
    assert "top10" not in told["only_unusable"].message
    assert found.keep[read.pool == read.pools.index("top20")].all()


def test_empty_lines_at_the_end_and_blanks_around_names_do_not_count():
    lines = pl.DataFrame({name: [None, None] for name in GOOD.columns}, schema=GOOD.schema)
    blanks = GOOD.with_columns(
        pool=pl.when(pl.int_range(pl.len()) == 2).then(pl.lit(" top10 ")).otherwise("pool")
    )
    plain = read_curves(GOOD)
    for table in (pl.concat([GOOD, lines]), blanks):
        read = read_curves(table)
        assert read.pools == plain.pools
        np.testing.assert_array_equal(read.error, plain.error)
    with pytest.raises(CurveError, match=r"row 1 .*no pool"):
        read_curves(pl.concat([GOOD.head(1), lines, GOOD.tail(3)]))


def test_rows_that_stand_twice_are_named_and_widen():
    twice = pl.concat([GOOD, GOOD.head(1)])
    found = diagnose(read_curves(twice))
    told = {n.code: n for n in found.notices}
    assert "row 20" in told["duplicated_rows"].message or "row 0" in told["duplicated_rows"].message
    assert found.inflate == pytest.approx(1.25 * diagnose(read_curves(GOOD)).inflate)
    # two seeds may measure the same
    seeds = pl.concat([GOOD.with_columns(seed=pl.lit(s)) for s in (0, 1)])
    assert "duplicated_rows" not in {n.code for n in diagnose(read_curves(seeds)).notices}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"samples_seen": [1e300]}, "row 0: samples_seen is 1e\\+300"),
        ({"samples_seen": ["soon"]}, "row 0: samples_seen is 'soon'"),
        ({"samples_seen": [1e8], "pool_unique": [0.0]}, "row 0: pool_unique"),
        ({"samples_seen": [1e8], "model_size": [-1.0]}, "row 0: model_size"),
        ({"samples_seen": [1e8], "model_size": ["big"]}, "row 0: model_size is 'big'"),
        ({"samples_seen": [1e8], "pool": ["top10+"]}, "row 0: pool '' has no curves"),
        (
            {"samples_seen": [1e8], "pool": ["top10+nope"]},
            "row 0: pool 'nope' has no curves; known",
        ),
        ({"samples_seen": [1e8], "pool": [None]}, "row 0: pool 'None' has no curves"),
    ],
)
@pytest.mark.parametrize("law", ["utility", "average"])
def test_bad_points_are_refused_with_their_row(columns, words, law):
    with pytest.raises(CurveError, match=words):
        analyse(GOOD, law=law, bootstraps=2, predict=pl.DataFrame({"pool": ["top10"]} | columns))


def test_an_unknown_model_size_of_a_point_is_no_size():
    point = {"pool": ["top10"] * 2, "samples_seen": [1e8] * 2, "model_size": [None, float("nan")]}
    found = analyse(GOOD, law="utility", bootstraps=5, predict=pl.DataFrame(point))["predictions"]
    assert found[0]["predicted"] == found[1]["predicted"]
    assert found[0]["lo80"] == found[1]["lo80"]


def odd_tables():
    one = GOOD.filter(pl.col("pool") == "top10")
    huge = GOOD.with_columns(pl.col("samples_seen", "pool_unique") * 1e20)
    return {
        "one row": GOOD.head(1),
        "one pool": one,
        "two rows": one.head(2),
        "one value": GOOD.with_columns(metric_value=pl.lit(0.5)),
        "no error left": GOOD.with_columns(metric_value=pl.lit(0.0)),
        "identical pools": pl.concat([one, one.with_columns(pool=pl.lit("copy"))]),
        "one count": GOOD.with_columns(samples_seen=pl.lit(1e7)),
        "huge counts": huge,
        "tiny counts": GOOD.with_columns(pl.col("samples_seen", "pool_unique") * 1e-12),
        "huge errors": GOOD.with_columns(metric_value=pl.col("metric_value") * 1e11),
        "tiny errors": GOOD.with_columns(metric_value=pl.col("metric_value") * 1e-30),
        "higher is better": GOOD.with_columns(
            metric_value=1.0 / (1.0 + pl.col("metric_value")), direction=pl.lit("higher")
        ),
        "random errors": GOOD.with_columns(
            metric_value=pl.Series(np.random.default_rng(0).uniform(size=GOOD.height))
        ),
        "hundreds of passes": GOOD.with_columns(pool_unique=pl.col("pool_unique") * 1e-2),
        "name with a quote": GOOD.with_columns(pool=pl.col("pool") + pl.lit(" '\u00e9\n")),
    }


# a numpy warning is an error in these tests
@pytest.mark.parametrize("law", ["utility", pytest.param("average", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list(odd_tables()))
def test_odd_tables_are_answered_with_finite_ordered_numbers(name, law):
    table = odd_tables()[name]
    pool = table["pool"][0].strip()
    point = pl.DataFrame({"pool": [pool], "samples_seen": [2.0 * table["samples_seen"].max()]})
    budget = float(table["samples_seen"].max())
    answer = analyse(table, law=law, bootstraps=4, predict=point, budget=budget)
    found = answer["predictions"][0]
    numbers = [found[key] for key in ("lo90", "lo80", "predicted", "hi80", "hi90")]
    assert np.isfinite(numbers).all()
    assert numbers == sorted(numbers)
    assert all(w["code"] and w["message"] and w["remedy"] for w in answer["warnings"])
