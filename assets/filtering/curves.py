"""Read training curves into arrays, and refuse what no law can use, naming row and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.filtering.curve_checks import CurveError, one_value, prepare
from assets.filtering.curve_mixtures import MixtureRow, mixture_members, read_mixtures
from assets.filtering.decay import Array

#: the ``purpose`` of a mixture that is kept out of every fit
VALIDATION = "validation"


@dataclass(frozen=True)
class Curves:
    """Hold evaluations as arrays of one length, ordered by content.

    ``error`` is the metric turned so that lower is better (``ceiling`` - value where higher is
    better). ``weight`` is relative precision, mean one. ``run`` numbers the clusters of dependent
    evaluations. ``mixtures`` weigh mixture assumptions; those ``held_out`` (``purpose`` is
    validation) only check the rule.
    """

    pools: tuple[str, ...]
    pool: npt.NDArray[np.int64]
    samples: Array
    unique: Array
    error: Array
    weight: Array
    run: npt.NDArray[np.int64]
    run_names: tuple[str, ...]
    model_size: Array
    annealed: npt.NDArray[np.bool_]
    se: Array
    row: npt.NDArray[np.int64]
    pool_sizes: Array
    mixtures: tuple[MixtureRow, ...]
    held_out: tuple[MixtureRow, ...]
    metric_name: str
    direction: str
    chance_error: float | None
    ceiling: float

    def __len__(self) -> int:
        return int(self.samples.shape[0])

    @property
    def passes(self) -> Array:
        """Return samples seen over unique samples, per evaluation."""
        return np.asarray(self.samples / self.unique)

    def take(self, keep: npt.NDArray[np.bool_]) -> Curves:
        """Return the evaluations where ``keep`` is true; pools keep their numbers."""
        fields = (
            "pool",
            "samples",
            "unique",
            "error",
            "weight",
            "run",
            "model_size",
            "annealed",
            "se",
            "row",
        )
        values = dict(self.__dict__)
        values.update({name: values[name][keep] for name in fields})
        return Curves(**values)

    def to_metric(self, error: Array) -> Array:
        """Turn errors back into the metric's own direction."""
        return np.asarray(self.ceiling - error if self.direction == "higher" else error)


def read_curves(frame: pl.DataFrame) -> Curves:
    """Check a table of evaluations and turn it into arrays.

    Parameters
    ----------
    frame
        Columns pool, pool_unique, samples_seen, metric_value; optional: metric_name, direction
        (lower, higher), chance_level, seed, run_id, model_size, annealed, se, weight. A pool named
        ``a+b`` whose parts are pools themselves is a mixture (``weights``: shares joined by ``+``,
        else by size); mixtures weigh mixture assumptions and are not fitted; those whose ``purpose``
        is ``validation`` only check the mixture rule.

    Returns
    -------
    Curves
        Sorted by pool, size, model, samples, run, value: independent of the order of rows.

    Raises
    ------
    CurveError
        Missing column, empty table, non-positive or non-finite number, two metrics or directions,
        several pools with one name: the message names the row and the remedy.
    """
    frame = prepare(frame)
    metric = str(one_value(frame, "metric_name", "error"))
    direction = str(one_value(frame, "direction", "lower"))
    direction = {
        "lower": "lower",
        "min": "lower",
        "minimize": "lower",
        "higher": "higher",
        "max": "higher",
        "maximize": "higher",
    }.get(direction.lower(), direction)
    if direction not in {"lower", "higher"}:
        message = (
            f"curves: direction {direction!r} is not known; use 'lower' or 'higher' (is better)"
        )
        raise CurveError(message)
    # a number, since `prepare` has cast the column
    chance = cast("float | None", one_value(frame, "chance_level", None))
    top = float(frame["metric_value"].to_numpy().max())
    ceiling = (1.0 if top <= 1.0 else 100.0) if direction == "higher" else 0.0
    if direction == "higher" and top > 100.0:
        message = (
            f"curves: metric {metric!r} is better when higher and reaches {top}; laws need an "
            f"error that "
            "falls to a floor: give 1 - metric, or a loss"
        )
        raise CurveError(message)
    names = set(frame["pool"].unique().to_list())
    mixed = {name: parts for name in names if (parts := mixture_members(name, names)) is not None}
    if len(names - set(mixed)) == 0:
        message = "curves: no single pool among the rows; give curves of each pool alone"
        raise CurveError(message)
    pools = tuple(sorted(names - set(mixed)))
    number = {name: i for i, name in enumerate(pools)}
    rows = _with_defaults(frame)
    if "run_id" in frame.columns:
        _refuse_contradictions(rows)
    plain = rows.filter(pl.col("pool").is_in(pools)).sort(
        "pool",
        "pool_unique",
        "model_size",
        "samples_seen",
        "run_id",
        "metric_value",
        nulls_last=True,
    )
    index = np.array([number[name] for name in plain["pool"].to_list()], dtype=np.int64)
    unique = plain["pool_unique"].to_numpy().astype(float)
    sizes = np.array([unique[index == i].max() for i in range(len(pools))])
    value = plain["metric_value"].to_numpy().astype(float)
    together = rows.filter(~pl.col("pool").is_in(pools))
    validates = pl.col("purpose").fill_null("") == VALIDATION
    # a run trains on one pool, so equal ids in two pools are two runs
    runs = [f"{pool}|{run}" for pool, run in zip(plain["pool"], plain["run_id"], strict=True)]
    run_names = tuple(sorted(set(runs)))
    run_number = {name: i for i, name in enumerate(run_names)}
    se = plain["se"].fill_null(float("nan")).to_numpy().astype(float)
    weight = plain["weight"].to_numpy().astype(float) * _precision(se)
    if not (weight > 0).any():
        message = "curves: every weight is zero; leave the column out or give positive weights"
        raise CurveError(message)
    return Curves(
        pools=pools,
        pool=index,
        samples=plain["samples_seen"].to_numpy().astype(float),
        unique=unique,
        error=ceiling - value if direction == "higher" else value,
        weight=weight / weight.mean(),
        run=np.array([run_number[name] for name in runs], dtype=np.int64),
        run_names=run_names,
        model_size=plain["model_size"].fill_null(float("nan")).to_numpy().astype(float),
        annealed=plain["annealed"].to_numpy().astype(bool),
        se=se,
        row=plain["_row"].to_numpy().astype(np.int64),
        pool_sizes=sizes,
        mixtures=read_mixtures(together.filter(~validates), mixed, number, sizes, ceiling),
        held_out=read_mixtures(together.filter(validates), mixed, number, sizes, ceiling),
        metric_name=metric,
        direction=direction,
        chance_error=None
        if chance is None
        else (ceiling - chance if direction == "higher" else chance),
        ceiling=ceiling,
    )


def _refuse_contradictions(rows: pl.DataFrame) -> None:
    sizes = rows.group_by("pool", "run_id").agg(pl.col("pool_unique").n_unique().alias("sizes"))
    bad = sizes.filter((pl.col("sizes") > 1) & ~pl.col("pool").str.contains("+", literal=True))
    if bad.height:
        pool, run = bad.sort("pool", "run_id").row(0)[:2]
        row = rows.filter((pl.col("pool") == pool) & (pl.col("run_id") == run))["_row"][-1]
        message = (
            f"curves, row {row}: run {run!r} of pool {pool!r} has two values of pool_unique; "
            f"one run sees one "
            "pool: correct the size, or give each run its own run_id"
        )
        raise CurveError(message)


def _precision(se: Array) -> Array:
    """Return relative precision from standard errors; unknown ones count like the median."""
    known = np.isfinite(se) & (se > 0)
    if not known.any():
        return np.ones_like(se)
    middle = float(np.median(se[known]))
    # half of the variance is granted to what the standard error does not see (seed, schedule)
    ratio = np.minimum(np.where(known, se, middle) / middle, 1e100)
    return np.asarray(2.0 / (ratio**2 + 1.0))


def _with_defaults(frame: pl.DataFrame) -> pl.DataFrame:
    rows = frame.with_row_index("_row")
    has = set(frame.columns)
    seed = pl.col("seed").cast(pl.String).fill_null("") if "seed" in has else pl.lit("")
    size = pl.col("model_size").cast(pl.String).fill_null("") if "model_size" in has else pl.lit("")
    fallback = pl.concat_str(
        [pl.col("pool"), pl.col("pool_unique").cast(pl.String), size, seed], separator="|"
    )
    run = fallback
    if "run_id" in has:
        run = pl.coalesce(pl.col("run_id").cast(pl.String), fallback)
    empty = pl.lit(None, dtype=pl.Float64)
    return rows.with_columns(
        run.alias("run_id"),
        (pl.col("se") if "se" in has else empty).alias("se"),
        (pl.col("weight").fill_null(1.0) if "weight" in has else pl.lit(1.0)).alias("weight"),
        (pl.col("model_size") if "model_size" in has else empty).alias("model_size"),
        (
            pl.col("annealed").cast(pl.Boolean).fill_null(value=True)
            if "annealed" in has
            else pl.lit(value=True)
        ).alias("annealed"),
        (
            pl.col("weights").cast(pl.String) if "weights" in has else pl.lit(None, dtype=pl.String)
        ).alias("weights"),
        (
            pl.col("purpose").cast(pl.String) if "purpose" in has else pl.lit(None, dtype=pl.String)
        ).alias("purpose"),
    )
