"""Between the laws and the tables: rows of `filtering/laws` and `filtering/plan`, and what a pool is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

LAW_SCHEMA: dict[str, Any] = {
    "law": pl.String,
    "pool": pl.String,
    "b": pl.Float64,
    "tau": pl.Float64,
    "b_lo": pl.Float64,
    "b_hi": pl.Float64,
    "tau_lo": pl.Float64,
    "tau_hi": pl.Float64,
    "floor": pl.Float64,
    "anchor": pl.Float64,
    "rmse": pl.Float64,
    "log_score": pl.Float64,
    "mixture_rule": pl.String,
}
PLAN_SCHEMA: dict[str, Any] = {
    "budget": pl.Int64,
    "rank": pl.Int64,
    "pools": pl.String,
    "weights": pl.List(pl.Float64),
    "passes": pl.List(pl.Float64),
    "predicted": pl.Float64,
    "lo80": pl.Float64,
    "hi80": pl.Float64,
    "lo90": pl.Float64,
    "hi90": pl.Float64,
    "p_best": pl.Float64,
    "regret": pl.Float64,
    "chosen": pl.Boolean,
    "published": pl.Boolean,
    "reason": pl.String,
    "mixture_rule": pl.String,
}
ANALYSIS_SCHEMA: dict[str, Any] = {
    "budget": pl.Int64,
    "answer": pl.String,
    "worths": pl.String,
    "unit_size": pl.Float64,  # of a mean record, in the unit of budgets
}
LEAST_WORTH, MOST_WORTH = 0.05, 4.0


class Answers(Protocol):
    """Fitted laws that can be asked: `assets.filtering.analyse.Study`, or a stand-in for tests."""

    def answer(self, *, predict: pl.DataFrame) -> dict[str, Any]:
        """Predict points."""
        ...


class GivenCurvesError(ValueError):
    """The table of curves that the recipe names can't be read."""


def read_given_curves(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Read curves that a person measured, in the columns of `filtering/curves`.

    Raises
    ------
    GivenCurvesError
        Naming the file and the remedy.
    """
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        ".csv": pl.read_csv,
        ".parquet": pl.read_parquet,
    }
    try:
        frame = pl.read_delta(str(path)) if path.is_dir() else readers[path.suffix](path)
    except (KeyError, OSError, pl.exceptions.PolarsError) as error:
        message = f"filtering.curves: {path} can't be read ({error}); give CSV, Parquet or Delta, or `proxy`"
        raise GivenCurvesError(message) from error
    for column in ("pool", "pool_unique", "samples_seen", "metric_value"):
        if column not in frame.columns:
            message = f"filtering.curves: {path} has no column {column}; it has {frame.columns}"
            raise GivenCurvesError(message)
    defaults: dict[str, Any] = {
        "kind": pl.when(pl.col("pool").cast(pl.String).str.contains("+", literal=True))
        .then(pl.lit("mixture"))
        .otherwise(pl.lit("pool")),
        "unique": pl.min_horizontal("samples_seen", "pool_unique"),
        "metric_name": pl.lit("metric"),
        "direction": pl.lit("lower"),
        "annealed": pl.lit(value=True),
        "seed": pl.lit(0),
        "run_id": pl.format("given-{}", pl.int_range(pl.len())),
    }
    made = frame.with_columns(**{k: v for k, v in defaults.items() if k not in frame.columns})
    missing = {k: pl.lit(None) for k in schema if k not in made.columns}
    return made.with_columns(**missing).select(*[pl.col(k).cast(t) for k, t in schema.items()])


def law_rows(answer: Mapping[str, Any] | None) -> pl.DataFrame:
    """Flatten fitted laws to a row a law and pool."""
    rows: list[dict[str, Any]] = []
    verdict = (answer or {}).get("mixture_check", {}).get("verdict")
    for law, fitted in (answer or {"laws": {}})["laws"].items():
        shared = fitted.get("shared", {})
        for pool, values in fitted.get("pools", {}).items():
            b_lo, b_hi = values.get("b_interval") or (None, None)
            tau_lo, tau_hi = values.get("tau_interval") or (None, None)
            rows.append(
                {
                    "law": law,
                    "pool": pool,
                    "b": values.get("b"),
                    "tau": values.get("tau"),
                    "b_lo": b_lo,
                    "b_hi": b_hi,
                    "tau_lo": tau_lo,
                    "tau_hi": tau_hi,
                    "floor": shared.get("floor"),
                    "anchor": values.get("anchor", shared.get("anchor")),
                    "rmse": fitted.get("rmse"),
                    "log_score": fitted.get("log_score"),
                    "mixture_rule": verdict,
                }
            )
    return pl.DataFrame(rows, schema=LAW_SCHEMA, orient="row").sort("law", "pool")


def plan_rows(
    answers: Sequence[Mapping[str, Any]],
    budgets: Sequence[int | None],
    sizes: Mapping[str, int],
    *,
    reason: str | None,
    publish: int,
) -> pl.DataFrame:
    """Flatten the plans of every budget; the first of each is chosen, that of `publish` is followed.

    Where there is no law or no budget, the plan is to show every record of every pool once, and `reason` says why.
    """
    rows: list[dict[str, Any]] = []
    for index, budget in enumerate(budgets):
        plans = answers[index]["plans"] if answers else []
        verdict = answers[index].get("mixture_check", {}).get("verdict") if answers else None
        for rank, plan in enumerate(plans):
            lo80, hi80 = plan["interval80"]
            lo90, hi90 = plan["interval90"]
            rows.append(
                {
                    "budget": budget,
                    "rank": rank,
                    "pools": "+".join(plan["pools"]),
                    "weights": plan["weights"],
                    "passes": plan["passes"],
                    "predicted": plan["predicted"],
                    "lo80": lo80,
                    "hi80": hi80,
                    "lo90": lo90,
                    "hi90": hi90,
                    "p_best": plan["p_best"],
                    "regret": plan["regret"],
                    "chosen": rank == 0,
                    "published": rank == 0 and index == publish,
                    "reason": "ties go to fewer repeats" if plan.get("tie") else None,
                    "mixture_rule": verdict if len(plan["pools"]) > 1 else "one pool",
                }
            )
        if not plans:
            total = sum(sizes.values()) or 1
            rows.append(
                {
                    "budget": budget,
                    "rank": 0,
                    "pools": "+".join(sizes),
                    "weights": [size / total for size in sizes.values()],
                    "passes": [1.0] * len(sizes),
                    "chosen": True,
                    "published": index == publish,
                    "reason": reason or "no budget is stated: every record is shown once",
                }
            )
    return pl.DataFrame(rows, schema=PLAN_SCHEMA, orient="row")


def mixture_table(answer: Mapping[str, Any]) -> str:
    """Write how the mixture rule did on held-out mixtures, as Markdown."""
    check = answer.get("mixture_check")
    if check is None:
        return "no law"
    head = f"**{check['verdict']}**"
    if not check["mixtures"]:
        return head
    lines = [
        "| mixture | samples | passes | predicted | bounds | measured | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in check["mixtures"]:
        bounds = f"{row['lo']:.4g} to {row['hi']:.4g}"
        lines.append(
            f"| {'+'.join(row['pools'])} | {row['samples_seen']:.6g} | {row['passes']:.3g} | "
            f"{row['predicted']:.4g} | {bounds} | {row['measured']:.4g} | {row['runs']} |"
        )
    return "\n".join([head, "", *lines])


def pool_worths(study: Answers, sizes: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """Say what a sample of each pool is worth in samples of pool 0, and how fast repeats wear off.

    Worth is an exchange rate at equal predicted error: pool q's n fresh samples reach the error
    that pool 0 reaches with
    worth * n. It holds near n = the smallest pool's size, where it is computed; between 0.05 and 4.

    Returns
    -------
    dict
        By pool: `worth`, and `tau` (passes until a repeat is worth half) of the saturation law,
        else of any law that has one.
    """
    reference = min(sizes, key=lambda name: (int(name), name))
    samples = float(min(sizes.values()))
    grid = samples * np.geomspace(1 / 32, 32, 41)
    points = [(reference, max(n, sizes[reference]), n) for n in grid]
    points += [(pool, float(max(size, samples)), samples) for pool, size in sizes.items()]
    asked = pl.DataFrame(
        points,
        schema={"pool": pl.String, "pool_unique": pl.Float64, "samples_seen": pl.Float64},
        orient="row",
    )
    answer = study.answer(predict=asked)
    predicted = np.array([row["predicted"] for row in answer["predictions"]])
    curve, errors = predicted[: len(grid)], predicted[len(grid) :]
    if answer["provenance"]["direction"] == "higher":
        curve, errors = -curve, -errors
    falling = np.minimum.accumulate(curve)
    # interpolation wants rising abscissae: error falls with samples, so both are turned round
    equal = np.exp(np.interp(errors, falling[::-1], np.log(grid)[::-1]))
    taus = _half_lives(answer)
    return {
        pool: {
            "worth": float(np.clip(equal[i] / samples, LEAST_WORTH, MOST_WORTH)),
            "tau": taus.get(pool, 5.0),
        }
        for i, pool in enumerate(sizes)
    }


def pool_bands(
    study: Answers, curves: pl.DataFrame, sizes: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Predict each pool's own curve on fresh records, from the smallest run to four times the largest."""
    seen = curves["samples_seen"].cast(pl.Float64).drop_nulls().to_numpy()
    grid = np.geomspace(max(seen.min(), 1.0), 4.0 * max(seen.max(), 1.0), 24)
    points = [(pool, float(max(n, size)), n) for pool, size in sizes.items() for n in grid]
    asked = pl.DataFrame(
        points,
        schema={"pool": pl.String, "pool_unique": pl.Float64, "samples_seen": pl.Float64},
        orient="row",
    )
    answer = study.answer(predict=asked)
    return [
        {
            "pool": point[0],
            "samples": point[2],
            "predicted": row["predicted"],
            "lo80": row["lo80"],
            "hi80": row["hi80"],
        }
        for point, row in zip(points, answer["predictions"], strict=True)
    ]


def _half_lives(answer: Mapping[str, Any]) -> dict[str, float]:
    laws = answer["laws"]
    for name in ("saturation", "utility", *laws):
        found = {p: v.get("tau") for p, v in laws.get(name, {}).get("pools", {}).items()}
        if found and all(v is not None for v in found.values()):
            return {p: float(v) for p, v in found.items() if v is not None}
    return {}
