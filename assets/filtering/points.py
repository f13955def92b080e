"""Predict points that are asked for: a pool or a mixture at a sample count."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from assets.filtering.curve_checks import LEAST, MOST, CurveError
from assets.filtering.curve_mixtures import parse_shares
from assets.filtering.ensemble import Ensemble
from assets.filtering.notices import Diagnosis
from assets.filtering.predict import Setting, achieved, interval, sample_points
from assets.filtering.reach import diagnose_reach, diagnose_sizes


def predict_points(
    ensemble: Ensemble, points: pl.DataFrame, setting: Setting, diagnosis: Diagnosis
) -> list[dict[str, Any]]:
    """Return each point with its predicted metric and 80 and 90 % intervals, in the order given."""
    curves = ensemble.curves
    if "samples_seen" not in points.columns or not {"pool", "pools"} & set(points.columns):
        message = f"points: need samples_seen and pool or pools (have {', '.join(points.columns)})"
        raise CurveError(message)
    count = points.height
    weights, unique = np.zeros((count, len(curves.pools))), np.ones((count, len(curves.pools)))
    samples = np.empty(count)
    sizes: list[float | None] = []
    for i, row in enumerate(points.iter_rows(named=True)):
        samples[i] = _positive(row["samples_seen"], f"points, row {i}: samples_seen")
        name = row.get("pools") or row.get("pool")
        # a pool may itself be called 'a+b'
        members = (
            [name] if name in curves.pools else [part.strip() for part in str(name).split("+")]
        )
        unknown = [part for part in members if part not in curves.pools]
        if unknown:
            known = ", ".join(curves.pools)
            message = f"points, row {i}: pool {unknown[0]!r} has no curves; known pools: {known}"
            raise CurveError(message)
        at = np.array([curves.pools.index(part) for part in members])
        own = ensemble.available[at].copy()
        if row.get("pool_unique") is not None:
            total = _positive(row["pool_unique"], f"points, row {i}: pool_unique")
            # for a mixture pool_unique is the unique data of all its pools
            own = own * total / own.sum()
        shares = parse_shares(row.get("weights"), len(at), own, f"points, row {i}")
        np.add.at(weights[i], at, shares)
        unique[i, at] = own
        size = row.get("model_size")
        if size is None or size != size:  # not a number: unknown
            sizes.append(setting.model_size)
        else:
            sizes.append(_positive(size, f"points, row {i}: model_size"))
    out: list[dict[str, Any]] = []
    predicted = np.empty(count)
    intervals = np.empty((count, 4))
    for size in dict.fromkeys(sizes):
        rows = np.array([i for i in range(count) if sizes[i] == size])
        part = (samples[rows], weights[rows], unique[rows])
        predicted[rows] = ensemble.predict(*part, model_size=size)
        draws = sample_points(ensemble, *part, setting, model_size=size)
        measured = achieved(draws, ensemble, seed=setting.seed)
        intervals[rows, :2] = interval(ensemble, measured, 0.8, predicted[rows])
        intervals[rows, 2:] = interval(ensemble, measured, 0.9, predicted[rows])
    if count:
        passes = np.where(weights > 0, weights * samples[:, None] / unique, 0.0).max(axis=1)
        diagnose_reach(curves, samples, passes, "a point", diagnosis)
        diagnose_sizes(curves, weights, unique, passes, diagnosis)
    for i, row in enumerate(points.iter_rows(named=True)):
        lo80, hi80, lo90, hi90 = (float(x) for x in intervals[i])
        out.append(
            {k: v for k, v in row.items() if v is not None}
            | {
                "predicted": float(curves.to_metric(predicted[i])),
                "lo80": lo80,
                "hi80": hi80,
                "lo90": lo90,
                "hi90": hi90,
            }
        )
    return out


def _positive(value: Any, where: str) -> float:  # noqa: ANN401 - a cell, of whatever type
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not LEAST <= number <= MOST:
        message = f"{where} is {value!r}, which is not a positive number ({LEAST:g} to {MOST:g}); correct it"
        raise CurveError(message)
    return number
