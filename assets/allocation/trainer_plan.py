"""What a trainer follows: per group records, passes, probability, loss weight, bound, interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from assets.allocation.errors import AllocationError
from assets.allocation.export import as_csv, blend_list, interleave

SCHEMA = {
    "group": pl.String,
    "pool": pl.String,
    "samples": pl.Float64,
    "records": pl.Float64,
    "passes": pl.Float64,
    "sampling_prob": pl.Float64,
    "row_weight": pl.Float64,
    "loss_weight": pl.Float64,
    "bound": pl.String,
    "marginal_value": pl.Float64,
    "records_lo80": pl.Float64,
    "records_hi80": pl.Float64,
}


def trainer_plan(
    answer: Mapping[str, Any],
    loss_weights: Mapping[str, float] | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> pl.DataFrame:
    """Return one row a group and pool of an answer of `allocate`.

    Parameters
    ----------
    answer
        With `allocation`.
    loss_weights
        Per group, default 1: sampling already carries the plan, so both together count it twice.
    intervals
        80 % interval of each group's records, where the curves have draws.

    Returns
    -------
    DataFrame
        `SCHEMA`; sampling_prob sums to 1, row_weight = sampling_prob / records is what a weighted
        sampler gives each row of the cell.
    """
    total = sum(e["samples"] for e in answer["allocation"])
    if not total > 0:
        msg = "the plan draws nothing, so there is nothing to sample from"
        raise AllocationError(msg)
    rows = []
    for entry in answer["allocation"]:
        cells = entry.get("pools") or [entry | {"name": None}]
        lo, hi = (intervals or {}).get(entry["group"], (None, None))
        for cell in cells:
            share = cell["samples"] / total
            rows.append(
                {
                    "group": entry["group"],
                    "pool": cell["name"],
                    "samples": float(cell["samples"]),
                    "records": float(cell["records"]),
                    "passes": float(cell["passes"]),
                    "sampling_prob": share,
                    "row_weight": share / cell["records"] if cell["records"] else 0.0,
                    "loss_weight": float((loss_weights or {}).get(entry["group"], 1.0)),
                    "bound": entry["bound"],
                    "marginal_value": entry["marginal_value"],
                    "records_lo80": lo,
                    "records_hi80": hi,
                }
            )
    return pl.DataFrame(rows, schema=SCHEMA)


def write_trainer_files(
    plan: pl.DataFrame,
    folder: Path,
    schedule: Sequence[Mapping[str, Any]] = (),
    *,
    policy: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write `plan.csv`, `interleave.json`, `sampler.json`, `blend.txt`, `schedule.json` and `policy.json`.

    `interleave.json` holds the arguments of Hugging Face `interleave_datasets`; `sampler.json` the
    weight of each row of a cell for a weighted sampler of torch; `blend.txt` alternating weights
    and paths; `schedule.json` the phases of `schedule` (one phase with the plan's probabilities if
    none is given); `policy.json` what was chosen, by whom and when.
    """
    totals = plan.group_by("group", maintain_order=True).agg(pl.col("sampling_prob").sum())
    phases = list(schedule) or [
        {"start": 0.0, "probabilities": dict(totals.select("group", "sampling_prob").iter_rows())}
    ]
    cells = plan.select("group", "pool", "row_weight").to_dicts()
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "plan.csv": as_csv(plan),
        "interleave.json": json.dumps(interleave(plan), indent=2) + "\n",
        "sampler.json": json.dumps({"weight_of_a_row": cells}, indent=2) + "\n",
        "blend.txt": "\n".join(blend_list(plan)) + "\n",
        "schedule.json": json.dumps(phases, indent=2) + "\n",
    }
    if policy is not None:
        texts["policy.json"] = json.dumps(policy, indent=2) + "\n"
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
