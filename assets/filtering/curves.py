"""Read training curves into arrays, and refuse what no law can use, naming row and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.filtering.decay import Array

REQUIRED = ("pool", "pool_unique", "samples_seen", "metric_value")
OPTIONAL = (
    "metric_name",
    "direction",
    "chance_level",
    "seed",
    "run_id",
    "model_size",
    "annealed",
    "se",
    "weight",
    "weights",
    "purpose",
)

#: the ``purpose`` of a mixture that is kept out of every fit
VALIDATION = "validation"
#: samples and metrics beyond these are slips, and numbers near the ends of floating point
LEAST, MOST, MOST_METRIC = 1e-6, 1e30, 1e12
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class CurveError(ValueError):
    """A table of curves that cannot be used, with the row and what to do about it."""


@dataclass(frozen=True)
class MixtureRow:
    """One evaluation of a run on several pools."""

    members: tuple[int, ...]
    shares: tuple[float, ...]
    uniques: tuple[float, ...]
    samples: float
    error: float
    run: str


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


def _refuse(frame: pl.DataFrame, bad: pl.Expr, what: str, remedy: str) -> None:
    rows = frame.with_row_index("_row").filter(bad)
    if rows.height:
        row = int(rows["_row"][0])
        pool = rows["pool"][0] if "pool" in rows.columns else None
        more = f" (and {rows.height - 1} more)" if rows.height > 1 else ""
        message = f"curves, row {row} (pool {pool!r}){more}: {what}; {remedy}"
        raise CurveError(message)


def _one_value(frame: pl.DataFrame, column: str, default: object) -> object:
    if column not in frame.columns:
        return default
    values = frame[column].drop_nulls().unique().sort().to_list()
    if len(values) > 1:
        row = frame.with_row_index("_row").filter(pl.col(column) != values[0])["_row"][0]
        message = (
            f"curves, row {row}: column {column!r} has more than one value ({values[0]!r}, "
            f"{values[1]!r}); fit one metric at a time: filter the table first"
        )
        raise CurveError(message)
    return values[0] if values else default


def _prepare(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        message = (
            f"curves: column {missing[0]!r} is missing (have {', '.join(frame.columns)}); "
            f"required: "
            f"{', '.join(REQUIRED)}"
        )
        raise CurveError(message)
    if not frame.height:
        message = "curves: the table has no rows; give at least 4 evaluations a pool"
        raise CurveError(message)
    for name in (
        "pool_unique",
        "samples_seen",
        "metric_value",
        "se",
        "weight",
        "model_size",
        "chance_level",
    ):
        if name in frame.columns:
            try:
                frame = frame.with_columns(pl.col(name).cast(pl.Float64))
            except pl.exceptions.PolarsError as error:
                message = f"curves: column {name!r} is not numeric ({error}); give plain numbers"
                raise CurveError(message) from error
    frame = frame.with_columns(pl.col("pool").cast(pl.String))
    _refuse(
        frame,
        pl.col("pool").is_null() | (pl.col("pool") == ""),
        "no pool",
        "name the pool of each row",
    )
    for name in ("pool_unique", "samples_seen"):
        _refuse(
            frame,
            pl.col(name).is_null() | ~pl.col(name).is_between(LEAST, MOST),
            f"{name} is not a positive number of samples ({LEAST:g} to {MOST:g})",
            "give the number of unique samples of the pool"
            if name == "pool_unique"
            else "give samples drawn so far, repeats included",
        )
    _refuse(
        frame,
        pl.col("metric_value").is_null() | ~pl.col("metric_value").is_finite(),
        "metric_value is missing or not finite",
        "drop the row or give the value",
    )
    _refuse(
        frame,
        pl.col("metric_value") > MOST_METRIC,
        f"metric_value is above {MOST_METRIC:g}",
        "check the column; an error or loss in other units is smaller",
    )
    _refuse(
        frame,
        pl.col("metric_value") < 0,
        "metric_value is negative",
        "laws need an error or loss that falls to a floor of at least 0: give for example 1 - metric",
    )
    if frame.schema.get("annealed") == pl.String:
        frame = frame.with_columns(
            pl.col("annealed")
            .str.strip_chars()
            .str.to_lowercase()
            .replace_strict(TRUTH, default=None)
        )
        _refuse(
            frame,
            pl.col("annealed").is_null(),
            "annealed is neither true nor false",
            "write true where the learning rate had come down at the evaluation, else false",
        )
    for name in ("se", "weight"):
        if name in frame.columns:
            _refuse(
                frame,
                (pl.col(name) < 0) | pl.col(name).is_nan() | pl.col(name).is_infinite(),
                f"{name} is negative or not finite",
                "leave it empty where it is unknown",
            )
    return frame


def _mixture_members(name: str, pools: set[str]) -> tuple[str, ...] | None:
    parts = tuple(part.strip() for part in name.split("+"))
    return parts if len(parts) > 1 and all(part in pools for part in parts) else None


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
    frame = _prepare(frame)
    metric = str(_one_value(frame, "metric_name", "error"))
    direction = str(_one_value(frame, "direction", "lower"))
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
    # a number, since `_prepare` has cast the column
    chance = cast("float | None", _one_value(frame, "chance_level", None))
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
    mixed = {name: parts for name in names if (parts := _mixture_members(name, names)) is not None}
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
        mixtures=_mixtures(together.filter(~validates), mixed, number, sizes, ceiling),
        held_out=_mixtures(together.filter(validates), mixed, number, sizes, ceiling),
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
    return np.asarray(2.0 * middle**2 / (np.where(known, se, middle) ** 2 + middle**2))


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


def parse_shares(text: str | None, count: int, fallback: Array, where: str) -> Array:
    """Return shares that sum to one from ``0.5+0.5``; without text from ``fallback`` sizes."""
    if text is None or not str(text).strip():
        return np.asarray(fallback / fallback.sum())
    try:
        shares = np.array([float(part) for part in str(text).split("+")])
    except ValueError as error:
        message = f"{where}: weights {text!r} are not numbers joined by '+'"
        raise CurveError(message) from error
    if (
        len(shares) != count
        or (shares < 0).any()
        or not np.isfinite(shares).all()
        or shares.sum() <= 0
    ):
        message = (
            f"{where}: weights {text!r} do not give one non-negative share to each of {count} pools"
        )
        raise CurveError(message)
    return np.asarray(shares / shares.sum())


def _mixtures(
    rows: pl.DataFrame,
    mixed: dict[str, tuple[str, ...]],
    number: dict[str, int],
    sizes: Array,
    ceiling: float,
) -> tuple[MixtureRow, ...]:
    out = []
    for row in rows.sort("pool", "samples_seen", "run_id", "metric_value").iter_rows(named=True):
        members = np.array([number[name] for name in mixed[row["pool"]]])
        total = row["pool_unique"]
        shares = parse_shares(
            row["weights"], len(members), sizes[members], f"curves, row {row['_row']}"
        )
        whole = abs(total - sizes[members].sum()) <= 1e-6 * total
        # a part of each pool was drawn unless the unique count says that the pools were used whole
        uniques = sizes[members] if whole else np.maximum(shares * total, 1e-12)
        value = row["metric_value"]
        out.append(
            MixtureRow(
                tuple(int(m) for m in members),
                tuple(float(s) for s in shares),
                tuple(float(u) for u in uniques),
                float(row["samples_seen"]),
                float(ceiling - value if ceiling else value),
                str(row["run_id"]),
            )
        )
    return tuple(out)
