"""Score one set of records in memory with every scorer of the registry, as `sluice score` would."""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.scoring.protocol import (
    Needs,
    ScoreBatch,
    ScoreContext,
    ScoringError,
    WholeScorer,
    fit,
)
from assets.scoring.registry import NEEDS_MODEL, SCORERS, create
from assets.scoring.whole_records import WholeRecords


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of n records.

    Attributes
    ----------
    values
        float64, shape (n,), larger better; NaN where it does not apply.
    two_sided
        Its authors leave open which end is better: it has a setting `keep`.
    seconds
        CPU seconds.
    """

    values: NDArray[np.float64]
    two_sided: bool
    seconds: float


def scored(
    train: ScoreBatch,
    target: ScoreBatch,
    context: ScoreContext,
    *,
    among: Iterable[str] = SCORERS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[dict[str, Scored], dict[str, str]]:
    """Return the scores of the train records by scorer, and why the others have none.

    Parameters
    ----------
    train, target
        Records of the two roles.
    context
        Seed and device.
    among
        Names of scorers.
    settings
        By scorer; the defaults where there is none.
    """
    have = Needs.TARGET | Needs.RANK
    for need, column in (
        (Needs.TEXT, train.text),
        (Needs.EMBEDDING, train.embedding),
        (Needs.LABEL, train.label),
        (Needs.GROUP, train.cohort),
    ):
        have |= need if column is not None else Needs.NONE
    found: dict[str, Scored] = {}
    left_out: dict[str, str] = {}
    for name in among:
        if name in NEEDS_MODEL:
            left_out[name] = f"needs a model or examples of its own ({NEEDS_MODEL[name]})"
            continue
        scorer = create(name, (settings or {}).get(name))
        lacking = [flag.name.lower() for flag in scorer.needs & ~have if flag.name]
        if lacking:
            left_out[name] = f"needs {', '.join(lacking)}"
            continue
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if isinstance(scorer, WholeScorer):
                    gathered = WholeRecords()
                    with_target = Needs.TARGET in scorer.needs
                    for batch in (train, target) if with_target else (train,):
                        gathered.add(batch)
                    batch, rank = gathered.batch(with_target=with_target)
                    column, _ = scorer.score_all(batch, rank, context)
                else:
                    state = fit(scorer, [train, target], context)
                    column = scorer.score(train, state)
        except ScoringError as error:
            left_out[name] = str(error)
            continue
        values = column.values[: len(train)]
        found[name] = Scored(
            values if column.direction == "high" else -values,
            hasattr(scorer, "keep"),
            time.process_time() - started,
        )
    return found, left_out


def flat(results: Mapping[str, Any]) -> str:
    """Return results as JSON, each list of plain values on one line."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    one_line = re.sub(
        r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: "[" + re.sub(r"\s*\n\s*", " ", m[1]) + "]", text
    )
    return one_line + "\n"
