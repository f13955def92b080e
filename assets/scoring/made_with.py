"""What a fitted state was made with besides the records: where that is the same, the state may be kept.

It is kept beside the state as JSON, so that a release can be asked what its scores were made with, and a run can
say which setting made it fit a scorer anew. A change of one scorer's settings leaves the others as they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assets.scoring.protocol import AnyScorer, Needs


@dataclass(frozen=True)
class Surroundings:
    """What scorers of one run have in common.

    Attributes
    ----------
    code
        Version of the stage's code.
    seed, sample
        Of the run.
    embedder
        Identity of the space that vectors live in.
    target
        Identity of the target's contents.
    language, cohort
        Columns that say a record's language, and the group that it is valued with; None where there is none.
    """

    code: str
    seed: int
    sample: float | None
    embedder: str
    target: str
    language: str | None
    cohort: str | None


def made_with(scorer: AnyScorer, around: Surroundings) -> str:
    """Return what a scorer's state depends on, as JSON with sorted keys.

    A scorer whose settings are not all plain values, or don't all change its scores, has `identity`, which returns
    those that count.
    """
    own = getattr(scorer, "identity", None)
    settings = own() if own is not None else _settings(scorer)
    found: dict[str, Any] = {
        "code": around.code,
        "version": scorer.version,
        "seed": around.seed,
        "sample": around.sample,
        "language column": around.language,
        **{f"setting {name}": value for name, value in settings.items()},
    }
    if Needs.EMBEDDING in scorer.needs:
        found["embedder"] = around.embedder
    if Needs.TARGET in scorer.needs:
        found["target"] = around.target
    if reads_groups(scorer):
        found["group column"] = around.cohort
    return json.dumps(found, sort_keys=True)


def reads_groups(scorer: AnyScorer | type[AnyScorer]) -> bool:
    """Tell whether a scorer looks at the groups that records are valued with."""
    return Needs.GROUP in scorer.needs or bool(getattr(scorer, "grouped", False))


def _settings(scorer: AnyScorer) -> dict[str, Any]:
    given: Any = scorer
    return {f.name: getattr(given, f.name) for f in dataclasses.fields(given)}


def changed_keys(before: str, now: str) -> tuple[str, ...]:
    """Name what differs between two `made_with`."""
    then, here = json.loads(before), json.loads(now)
    return tuple(sorted(k for k in then.keys() | here.keys() if then.get(k) != here.get(k)))


def why_not_kept(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[set[str], list[str]]:
    """Tell which states from before can't be those of now, and why.

    Parameters
    ----------
    before, now
        `made_with` by scorer.

    Returns
    -------
    changed
        Scorers of now that must be fitted.
    reasons
        Sentences; those of scorers that are not there any more are among them.
    """
    keys = {n: changed_keys(before[n], now[n]) for n in sorted(now) if n in before}
    keys = {n: k for n, k in keys.items() if k}
    new = sorted(set(now) - set(before))
    if not before:
        reasons = ["it is not known what the states of the last release were made with"]
    elif len(keys) == len(now) and len(set(keys.values())) == 1:
        reasons = [f"the {' and the '.join(next(iter(keys.values())))} changed"]
    else:
        reasons = [f"{n}'s {' and '.join(k)} changed" for n, k in keys.items()]
        reasons += [f"{n} is new" for n in new]
        reasons += [f"{n} is gone" for n in sorted(set(before) - set(now))]
    return {*keys, *new}, reasons
