"""The recipe: one YAML file that says which lake, which rows, which methods and whose policy.

Its *shape* is checked here; its *names* (columns, tables, scorers) are checked against the lake and the registries
before any work starts (`orchestration.preflight`). `resources.recipe_file` reads one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from resources.compute import Compute

Role = Literal["train", "evaluation", "target", "ignore"]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveCount = Annotated[int, Field(gt=0)]

_URI_WITH_SECRET = re.compile(
    r"^[a-z0-9+.-]+://[^/\s]*:[^/\s]*@"
    r"|[?&;#][^=&;#/\s]*(?:sig|token|secret|key|password|credential)[^=&;#/\s]*=",
    re.IGNORECASE,
)


def holds_credential(value: str) -> bool:
    """Say whether an address holds what belongs into the environment."""
    return _URI_WITH_SECRET.search(value) is not None


def _without_secret(value: str) -> str:
    if holds_credential(value):
        message = (
            "the address holds a credential; take it out and set it in the environment instead"
        )
        raise ValueError(message)
    return value


Place = Annotated[str, AfterValidator(_without_secret)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GroupSource(_Section):
    """Where the value of one group comes from: a fixed value, a column, or a named part of the table's path."""

    value: str | None = None
    column: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(x is not None for x in (self.value, self.column, self.path)) != 1:
            message = "name exactly one of value, column, path"
            raise ValueError(message)
        if self.path is not None:
            try:
                pattern = re.compile(self.path)
            except re.error as error:
                message = f"path is no regular expression: {error}"
                raise ValueError(message) from error
            if "v" not in pattern.groupindex:
                message = "path needs a part named v, for example '(?P<v>\\w+)/'"
                raise ValueError(message)
        return self


class ReadSettings(_Section):
    """How the files of a rule are read; None means: found out from the file."""

    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    text: Literal["file", "line"] = "file"


class RecordRule(_Section):
    """How the rows of the tables that match become records. The first matching rule wins."""

    tables: tuple[str, ...]
    role: Role = "train"
    text: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    uri: str | None = None
    id: str | None = None
    label: str | None = None
    groups: dict[str, GroupSource] = Field(default_factory=dict)
    read: ReadSettings = Field(default_factory=ReadSettings)
    keep: tuple[str, ...] = ()

    @field_validator("tables", "text", "features", "keep", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not self.tables:
            message = "tables names no pattern; write for example tables: 'instructions/*'"
            raise ValueError(message)
        kinds = [bool(self.text), bool(self.features), self.uri is not None]
        if self.role != "ignore" and sum(kinds) != 1:
            message = "name exactly one of text, features, uri: what a record is learned from"
            raise ValueError(message)
        learned = {*self.text, *self.features}
        if self.label is not None and self.label in learned:
            kind = "text" if self.text else "features"
            message = (
                f"the label {self.label!r} is also in {kind}: a model would read the answer; "
                f"take it out of {kind}"
            )
            raise ValueError(message)
        reserved = set(self.groups) & RESERVED_COLUMNS
        if reserved:
            message = f"group name {min(reserved)!r} is a column of the records table; choose another name"
            raise ValueError(message)
        kept = set(self.keep) & (RESERVED_COLUMNS | set(self.groups))
        if kept:
            message = f"keep names {min(kept)!r}, which is already a column of the records table"
            raise ValueError(message)
        return self


RESERVED_COLUMNS = frozenset(
    {
        "record_id",
        "content_id",
        "table",
        "position",
        "role",
        "text",
        "features",
        "uri",
        "label",
        "pool",
        "quality",
        "passes",
        "weight",
        "source_version",
        "rule",
        "tokens",
        "group",
        "held_out",
        "fate",
        "cluster",
        "keeper",
    }
)


class Holdout(_Section):
    """Whole clusters of twins, chosen by content; once held out, always."""

    share: Share = 0.02


class Spans(_Section):
    """Spans of at least so many tokens that two texts share; reported, never removed by a run."""

    tokens: Annotated[int, Field(ge=1, le=10_000)] = 50


class Containment(_Section):
    """Which edges are looked for beyond those of equal column names, and what keeping and rebuilding tables costs."""

    renamed: bool = False
    costs: Place | None = None


class Deduplication(_Section):
    """What counts as a duplicate, and which of the twins stays."""

    similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    shingle: str = "word:5"
    normalise: str = "none"
    survivor: Literal["content", "incumbent"] = "content"
    order: tuple[str, ...] = ("source", "longest")
    mode: Literal["star", "components"] = "star"
    label_conflicts: Literal["keep", "drop_all"] = "keep"
    contamination_tokens: Annotated[int, Field(ge=1, le=1000)] | None = None
    spans: Spans | None = None

    @model_validator(mode="after")
    def _incumbents_need_stars(self) -> Self:
        if self.survivor == "incumbent" and self.mode == "components":
            message = (
                "survivor: incumbent needs mode: star, because a new row can join two components "
                "and then one of the rows that are kept would have to go"
            )
            raise ValueError(message)
        return self


class Encoder(_Section):
    """How a trained encoder reads texts; what is None is taken from the model's own files, or from the device."""

    pooling: Literal["mean", "cls", "last"] | None = None
    max_tokens: Annotated[int, Field(ge=3)] | None = None
    long_texts: Literal["windows", "cut"] = "windows"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    tokenising_processes: Annotated[int, Field(ge=0)] = 1


class Classifier(_Section):
    """Files of good and of bad records, from which `quality_classifier` learns."""

    positives: Annotated[tuple[str, ...], Field(min_length=1)]
    negatives: Annotated[tuple[str, ...], Field(min_length=1)]
    text: str = "text"

    @field_validator("positives", "negatives", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Scoring(_Section):
    """Which scores are computed and how they become one quality."""

    embedder: str = "hashed"
    encoder: Encoder = Field(default_factory=Encoder)
    language_model: str | None = None
    classifier: Classifier | None = None
    dimensions: Annotated[int, Field(ge=8, le=4096)] = 256
    scorers: tuple[str | dict[str, dict[str, Any] | None], ...] = (
        "dsir",
        "prototype",
        "heuristics",
    )
    combine: Literal["borda", "reciprocal_rank", "topsis"] = "borda"


class Budget(_Section):
    """What the training run can afford, in the recipe's unit or as compute; see `resources.compute.Compute`."""

    samples: Annotated[int, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None
    flops: Annotated[float, Field(gt=0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    parameters: Annotated[float, Field(gt=0)] | None = None
    peak: Annotated[float, Field(gt=0)] | None = None
    utilisation: Annotated[float, Field(gt=0, le=1)] | None = None
    tokens_per_sample: Annotated[float, Field(gt=0)] | None = None
    scoring_flops: Annotated[float, Field(ge=0)] | None = None
    scorer_parameters: Annotated[float, Field(gt=0)] | None = None
    scored_tokens: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.converted()[self.unit] < 1:
            message = f"less than one of the {self.unit} is left of it; raise the budget"
            raise ValueError(message)
        return self

    def converted(self) -> dict[str, Any]:
        """Return the budget in every unit that is known, less what scoring cost."""
        return Compute(**self.model_dump()).converted()

    @property
    def unit(self) -> Literal["samples", "tokens"]:
        """What `amount` counts: samples where they are stated or tokens can be turned into them."""
        known = self.samples is not None or self.tokens_per_sample is not None
        return "samples" if known else "tokens"

    @property
    def amount(self) -> int:
        """The budget as a whole number of its unit."""
        return max(int(self.converted()[self.unit]), 1)


class Proxy(_Section):
    """How much the proxy runs may cost.

    Further runs are made where they can change a plan: at most ``further_runs``, of ``further_seconds``
    of work (default: half of ``seconds``), until no plan loses more than ``target_loss`` of the metric
    to another with probability 10 %. ``vocabulary_size`` is cut to
    what keeps the model below 0.3 million parameters.
    """

    kind: Literal["auto", "language_model", "head"] = "auto"
    seconds: Annotated[float, Field(gt=0)] = 60.0
    seeds: Annotated[int, Field(ge=1, le=50)] = 3
    records_per_pool: Annotated[int, Field(ge=8)] = 1500
    further_seconds: Annotated[float, Field(ge=0)] | None = None
    further_runs: Annotated[int, Field(ge=0, le=1000)] = 12
    target_loss: Annotated[float, Field(ge=0)] = 0.005
    vocabulary: Literal["bytes", "bpe"] = "bytes"
    vocabulary_size: Annotated[int, Field(ge=257)] = 1024
    merging: bool = False


class Filtering(_Section):
    """Quality pools, training curves and the budgets that are planned for."""

    pools: Annotated[int, Field(ge=1, le=12)] = 4
    curves: Place = "proxy"
    budgets: tuple[Budget, ...] = ()
    publish: Annotated[int, Field(ge=0)] = 0
    max_passes: Annotated[int, Field(ge=1, le=1000)] = 4
    law: Literal["average", "utility", "saturation", "power"] = "average"
    proxy: Proxy = Field(default_factory=Proxy)

    @model_validator(mode="after")
    def _published_budget_exists(self) -> Self:
        if self.budgets and self.publish >= len(self.budgets):
            message = f"publish is {self.publish}, but there are {len(self.budgets)} budgets (counted from 0)"
            raise ValueError(message)
        return self


class Policy(_Section):
    """Who decided on the objective, why, and when. Recorded with the plan."""

    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    decided: dt.date | None = None


class PlannedDraws(_Section):
    """How many refits of the curves, and whether the plan is made on their mean or the worst of them."""

    count: Annotated[int, Field(ge=20, le=2000)] = 200
    plan: Literal["mean", "worst"] | None = None


class Rounds(_Section):
    """A study that buys records in rounds: a pilot of every group, then rounds that fit and divide again.

    `pilot` and `slice` are shares of the budget, `explore` one of each slice. `value` is what one unit of
    the objective is worth in units of the budget; without it no round is left out.
    """

    count: Annotated[int, Field(ge=1, le=1000)]
    pilot: Annotated[float, Field(gt=0, lt=1)]
    slice: Annotated[float, Field(gt=0, lt=1)] | None = None
    value: Annotated[float, Field(gt=0)] | None = None
    explore: Annotated[float, Field(ge=0, le=1)] = 0.0
    hold_unreachable: bool = False


class Allocation(_Section):
    """The division of the budget between groups. Nothing here has a hidden default."""

    by: str
    objective: Literal["weighted_sum", "isoelastic", "max_min", "leximin"]
    level: Literal["raw", "excess", "skill", "attainable"] | None = None
    aversion: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    weights: (
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
        | Literal["equal", "proportional"]
        | None
    ) = None
    costs: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict
    )
    floors: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    fallback: Literal["proportional", "equal", "alpha_0.3"] = "proportional"
    within: Literal["hash", "best"] = "hash"
    draws: PlannedDraws = Field(default_factory=PlannedDraws)
    rounds: Rounds | None = None
    policy: Policy

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.objective in ("max_min", "leximin") and self.level is None:
            message = (
                f"objective {self.objective} compares groups, so it needs a level: raw, excess, skill or attainable; "
                "there is no default because the choice is a policy"
            )
            raise ValueError(message)
        if self.objective in ("weighted_sum", "isoelastic") and self.weights is None:
            message = (
                f"objective {self.objective} sums over groups, so it needs weights: one a group, or `equal`, or "
                "`proportional`; there is no default because the choice is a policy"
            )
            raise ValueError(message)
        if self.objective == "isoelastic" and self.aversion is None:
            message = "objective isoelastic needs aversion (0 is the plain sum, 1 the logarithm)"
            raise ValueError(message)
        if self.objective != "isoelastic" and self.aversion:
            message = f"objective {self.objective} has no aversion; remove it, or use isoelastic"
            raise ValueError(message)
        if self.objective == "isoelastic" and self.level == "excess":
            message = "level excess is a shortfall and can't go into isoelastic; use raw, skill or attainable"
            raise ValueError(message)
        sums = self.objective in ("weighted_sum", "isoelastic")
        if self.draws.plan is not None and sums != (self.draws.plan == "mean"):
            message = (
                f"draws.plan {self.draws.plan} does not go with {self.objective}; use mean with weighted_sum and "
                "isoelastic, worst with max_min and leximin"
            )
            raise ValueError(message)
        if isinstance(self.weights, dict) and not any(self.weights.values()):
            message = "every weight is 0, so nothing is worth buying; give some group a weight"
            raise ValueError(message)
        return self


class Limits(_Section):
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


class Recipe(_Section):
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
