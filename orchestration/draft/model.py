"""What is seen of a table, what a rule says of it, and why: the terms of a draft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from orchestration.draft.columns import ColumnFacts

Role = Literal["train", "evaluation", "ignore"]


@dataclass(frozen=True)
class TableFacts:
    """What was seen of a table.

    Attributes
    ----------
    table, format, bytes
        As discovery tells them.
    columns
        Facts by column, in the table's order.
    rows
        Rows looked at.
    read
        Settings of the recipe's `read` that the file needs.
    judging
        Files of a table of several files whose own names speak of an evaluation set, and how many files there are.
    fault
        Why nothing could be seen, or None.
    """

    table: str
    format: str
    bytes: int
    columns: tuple[ColumnFacts, ...] = ()
    rows: int = 0
    read: tuple[tuple[str, str], ...] = ()
    judging: tuple[tuple[str, ...], int] = ((), 0)
    fault: str | None = None


@dataclass(frozen=True)
class Body:
    """What a rule says of its tables: tables with one body can share a rule.

    `groups` holds (name, `column` or `path`, value).
    """

    role: Role
    text: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    uri: str | None = None
    label: str | None = None
    groups: tuple[tuple[str, str, str], ...] = ()
    read: tuple[tuple[str, str], ...] = ()


IGNORED = Body("ignore")


@dataclass(frozen=True)
class Guess:
    """A table's body, and why.

    Attributes
    ----------
    why
        One sentence a choice; what differs between tables of one kind stands in brackets.
    suggestions
        (line of YAML, why): what could be said too, and was not, because it needs somebody who knows.
    sure
        Whether names say it, too. A guess that only the first rows suggest counts where no other table has more.
    """

    body: Body
    why: tuple[str, ...] = ()
    suggestions: tuple[tuple[str, str], ...] = ()
    sure: bool = True
