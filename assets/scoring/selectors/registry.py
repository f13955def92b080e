"""Every selector by name; a new one is one module and one line of `SELECTORS`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, cast

import polars as pl

from assets.scoring.selectors.clustered import KMeansQuality, SemDeDup
from assets.scoring.selectors.facility_location import FacilityLocation
from assets.scoring.selectors.k_center import KCenter
from assets.scoring.selectors.mig import Mig
from assets.scoring.selectors.protocol import SelectionError, Selector
from assets.scoring.selectors.quality_diversity import QualityDiversity
from assets.scoring.selectors.ranked import (
    Gumbel,
    RandomSelection,
    Stratified,
    StratifiedTop,
    Top,
)
from assets.scoring.selectors.round_robin import RoundRobin

SELECTORS: dict[str, type[Any]] = {
    "random": RandomSelection,
    "stratified": Stratified,
    "stratified_top": StratifiedTop,
    "top": Top,
    "gumbel": Gumbel,
    "k_center": KCenter,
    "facility_location": FacilityLocation,
    "quality_diversity": QualityDiversity,
    "kmeans_quality": KMeansQuality,
    "semdedup": SemDeDup,
    "round_robin": RoundRobin,
    "mig": Mig,
}


def create(name: str, settings: Mapping[str, Any] | None = None) -> Selector:
    """Make a selector from its name and settings (those that are None are left at their default).

    Raises
    ------
    SelectionError
        For an unknown method, or a setting that it does not have.
    """
    if name not in SELECTORS:
        close = difflib.get_close_matches(name, SELECTORS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(SELECTORS)}"
        message = f"--method {name!r} is no selector; {hint}"
        raise SelectionError(message)
    kind = SELECTORS[name]
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    known = {field.name for field in dataclasses.fields(kind)}
    for key in given:
        if key not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it has no settings"
            message = f"--{key} means nothing to --method {name}; {takes}"
            raise SelectionError(message)
    return cast("Selector", kind(**given))


def exemptions(kind: type[Any]) -> Mapping[str, str]:
    """Return the properties of the common suite that a method does not have, each with the reason."""
    return cast("Mapping[str, str]", getattr(kind, "exempt", {}))


def describe() -> pl.DataFrame:
    """Return one row a selector: selector, version, needs, cost, source, about, exempt."""
    rows = [
        {
            "selector": name,
            "version": kind.version,
            "needs": ", ".join(f.name.lower() for f in kind.needs if f.name) or "nothing",
            "cost": kind.cost,
            "source": kind.source,
            "about": (kind.__doc__ or "").strip().split("\n", maxsplit=1)[0],
            "exempt": "; ".join(f"{k}: {why}" for k, why in exemptions(kind).items()),
        }
        for name, kind in SELECTORS.items()
    ]
    return pl.DataFrame(rows)
