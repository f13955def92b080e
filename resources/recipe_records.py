"""Sections of a recipe that say which rows become records, and which are held out."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from resources.recipe_base import Section, Share

Role = Literal["train", "evaluation", "target", "ignore"]


class GroupSource(Section):
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


class ReadSettings(Section):
    """How the files of a rule are read; None means: found out from the file."""

    delimiter: str | None = None
    quote: str | None = None
    encoding: str | None = None
    text: Literal["file", "line"] = "file"


class RecordRule(Section):
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


class Holdout(Section):
    """Whole clusters of twins, chosen by content; once held out, always."""

    share: Share = 0.02
