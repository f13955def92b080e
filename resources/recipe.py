"""The recipe: one YAML file that says which lake, which rows, which methods and whose policy.

Its *shape* is checked here and in the sections' modules (`recipe_records`, `recipe_curation`, `recipe_budget`); its
*names* (columns, tables, scorers) are checked against the lake and the registries
before any work starts (`orchestration.preflight`). `resources.recipe_file` reads one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from resources.recipe_base import Place, Section
from resources.recipe_budget import Allocation, Filtering
from resources.recipe_curation import Containment, Deduplication, Scoring
from resources.recipe_records import Holdout, RecordRule


class Limits(Section):
    """What the machine may spend. Not part of the recipe's hash: it can't change a result."""

    memory: str = "4GB"
    workers: Annotated[int, Field(ge=1)] = 2
    proxy_workers: Annotated[int, Field(ge=1)] | None = None
    device: str = "auto"

    @property
    def memory_bytes(self) -> int:
        """The memory bound in bytes."""
        return parse_bytes(self.memory)

    @field_validator("memory", mode="before")
    @classmethod
    def _plain_bytes(cls, value: object) -> object:
        # YAML reads an unquoted 1000000 as a number
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("memory")
    @classmethod
    def _readable(cls, value: str) -> str:
        if parse_bytes(value) == 0:
            message = "a bound of nothing leaves no room to work; write for example 4GB"
            raise ValueError(message)
        return value


class Recipe(Section):
    """A whole recipe; paths are absolute once loaded by `load_recipe`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] | None = None
    lake: Place
    output: Place
    state: Place | None = None
    records: tuple[RecordRule, ...]
    unit: Literal["records", "tokens"] = "records"
    holdout: Holdout = Field(default_factory=Holdout)
    containment: Containment = Field(default_factory=Containment)
    deduplication: Deduplication = Field(default_factory=Deduplication)
    scoring: Scoring = Field(default_factory=Scoring)
    filtering: Filtering = Field(default_factory=Filtering)
    allocation: Allocation | None = None
    limits: Limits = Field(default_factory=Limits)
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.05
    recalibrate_at: Annotated[float, Field(ge=0, le=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("lake", "output", "state")
    @classmethod
    def _a_folder(cls, value: str | None) -> str | None:
        if value is not None and "://" in value and not value.startswith("file://"):
            message = (
                f"{value.split('://', 1)[0]}:// is not supported in this version; use a folder"
            )
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.records:
            message = "records has no rule; add one that says which tables are read and which column is the text"
            raise ValueError(message)
        if self.allocation is not None:
            readers = [r for r in self.records if r.role == "train"]
            if not any(self.allocation.by in r.groups for r in readers):
                known = sorted({g for r in self.records for g in r.groups})
                message = f"allocation.by is {self.allocation.by!r}, but no training rule sets that group ({known})"
                raise ValueError(message)
            if self.allocation.rounds is not None and not self.filtering.budgets:
                message = "allocation.rounds spends a budget in rounds, and there is none; state filtering.budgets"
                raise ValueError(message)
            if self.allocation.rounds is not None and self.filtering.curves != "proxy":
                message = (
                    "allocation.rounds measures what each round holds, so it needs filtering.curves: proxy, "
                    f"not {self.filtering.curves}"
                )
                raise ValueError(message)
        unit = "samples" if self.unit == "records" else "tokens"
        for index, budget in enumerate(self.filtering.budgets):
            if budget.unit != unit:
                stated = unit if budget.flops is None and budget.gpu_hours is None else "compute"
                with_size = (
                    " with tokens_per_sample" if unit == "samples" else " without tokens_per_sample"
                )
                message = (
                    f"filtering.budgets.{index} must be stated in {stated}"
                    f"{with_size if stated == 'compute' else ''}, because unit is {self.unit}"
                )
                raise ValueError(message)
        return self

    @property
    def state_root(self) -> str:
        """Root of the layer that recipes on the same lake share."""
        return self.state or self.output

    @property
    def group_names(self) -> tuple[str, ...]:
        """Every group that a rule sets, sorted: one column each in the records table."""
        return tuple(sorted({g for rule in self.records for g in rule.groups}))

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Every column that a rule carries along, sorted."""
        return tuple(sorted({k for rule in self.records for k in rule.keep}))

    @property
    def budget(self) -> int | None:
        """The budget that is published, or None: all survivors pass once."""
        return (
            self.filtering.budgets[self.filtering.publish].amount
            if self.filtering.budgets
            else None
        )

    def section(self, *names: str) -> dict[str, Any]:
        """Return the named parts (`filtering`, `filtering.pools`) as plain data, for fingerprints and records.

        `allocation` is without its rounds, which no release depends on: `allocation.rounds` names them.
        """
        data = self.model_dump(mode="json")
        parts: dict[str, Any] = {}
        for name in names:
            value: Any = data
            for key in name.split("."):
                value = None if value is None else value[key]
            parts[name] = _without_rounds(value) if name == "allocation" else value
        return parts

    @property
    def hash(self) -> str:
        """Hash of all that can change a release: all but limits, rounds and the places of lake, output and costs."""
        data = self.model_dump(mode="json", exclude={"limits", "lake", "output", "state"})
        data["allocation"] = _without_rounds(data["allocation"])
        del data["containment"]["costs"]
        if data["allocation"] is not None and data["allocation"]["policy"]["decided"] is None:
            del data["allocation"]["policy"][
                "decided"
            ]  # so that recipes from before it keep their hash
        return hashlib.blake2b(
            json.dumps(data, sort_keys=True).encode(), digest_size=16
        ).hexdigest()


def _without_rounds(allocation: dict[str, Any] | None) -> dict[str, Any] | None:
    return allocation and {key: value for key, value in allocation.items() if key != "rounds"}


def parse_bytes(text: str) -> int:
    """Read a size such as ``4GB``, ``512MiB`` or ``1000000``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kKmMgGtT]?)(i?)[bB]?\s*", text)
    if match is None:
        message = f"{text!r} is no size; write for example 4GB or 512MB"
        raise ValueError(message)
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))
