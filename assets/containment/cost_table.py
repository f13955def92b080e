"""Read the cost table that a recipe names: prices, access rates, limits and pins by pattern of table."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from assets.containment.retention_costs import INPUTS, RetentionInputError, problem_of

COLUMNS = ("table", *INPUTS, "pinned")

_TRUTHS = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class CostRow:
    """One line of a cost table.

    Attributes
    ----------
    line
        Its line in the file, the header being the first.
    pattern
        Tables that it is about, as in a record rule: ``*`` also crosses ``/``.
    values
        What it states, by input.
    pinned
        Whether the tables must be kept; None if it does not say.
    """

    line: int
    pattern: str
    values: dict[str, float]
    pinned: bool | None


@dataclass(frozen=True)
class CostTable:
    """A cost table; for each input the first row that matches a table and states it counts."""

    origin: str
    rows: tuple[CostRow, ...]

    def stated(self, table: str) -> dict[str, float]:
        """Return what is stated of a table, by input."""
        found: dict[str, float] = {}
        for row in self._about(table):
            found = {**row.values, **found}
        return found

    def pinned(self, table: str) -> bool:
        """Tell whether a table must be kept."""
        return next((row.pinned for row in self._about(table) if row.pinned is not None), False)

    def unmatched(self, tables: Sequence[str]) -> list[str]:
        """Describe the rows that are about no table, each with the nearest name there is."""
        faults = []
        for row in self.rows:
            if not any(fnmatchcase(table, row.pattern) for table in tables):
                near = difflib.get_close_matches(row.pattern, tables, n=1, cutoff=0.3)
                hint = f"did you mean {near[0]!r}?" if near else "take the row out"
                faults.append(
                    f"{self.origin}, line {row.line}, column table: {row.pattern!r} matches no "
                    f"table of the lake; {hint}"
                )
        return faults

    def _about(self, table: str) -> list[CostRow]:
        return [row for row in self.rows if fnmatchcase(table, row.pattern)]


def parse_cost_table(text: str, origin: str) -> CostTable:
    """Read a cost table.

    Parameters
    ----------
    text : str
        CSV with a header: table (a pattern) and any of `COLUMNS`. An empty cell states nothing;
        max_latency_seconds may be ``inf``, pinned is yes or no.
    origin : str
        What errors call the file.

    Returns
    -------
    CostTable
        Its rows in the order of the file.

    Raises
    ------
    RetentionInputError
        Naming the file, the line and the column of every fault, and the remedy.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    header = [name.strip() for name in next(reader, [])]
    faults = _header_faults(header)
    rows: list[CostRow] = []
    seen: dict[str, int] = {}
    for cells in () if faults else reader:
        if not any(cell.strip() for cell in cells):
            continue
        line = reader.line_num
        if len(cells) > len(header):
            faults.append(f"line {line}: has {len(cells)} cells, the header {len(header)}")
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        pattern = row["table"]
        if not pattern:
            faults.append(f"line {line}, column table: is empty; name a table, or * for all")
        elif pattern in seen:
            faults.append(
                f"line {line}, column table: {pattern!r} stands in line {seen[pattern]} too; "
                "put both into one row"
            )
        seen[pattern] = line
        values, pinned, own = _cells(row, line)
        faults += own
        rows.append(CostRow(line, pattern, values, pinned))
    if faults:
        raise RetentionInputError("\n".join(f"{origin}, {fault}" for fault in faults))
    return CostTable(origin, tuple(rows))


def _header_faults(header: Sequence[str]) -> list[str]:
    if "table" not in header:
        known = ", ".join(COLUMNS)
        return [
            f"line 1: there is no column 'table' (it has {', '.join(header) or 'nothing'}); "
            f"write CSV, with commas, whose header names table and any of {known}"
        ]
    faults = []
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COLUMNS)}"
            faults.append(f"line 1: unknown column {name!r}; {hint}")
        elif header.count(name) > 1 and f"line 1: column {name!r} stands twice" not in faults:
            faults.append(f"line 1: column {name!r} stands twice")
    return faults


def _cells(row: dict[str, str], line: int) -> tuple[dict[str, float], bool | None, list[str]]:
    values: dict[str, float] = {}
    faults = []
    for name in INPUTS:
        cell = row.get(name, "")
        if not cell:
            continue
        try:
            values[name] = float(cell)
            problem = problem_of(name, values[name])
        except ValueError:
            problem = "give a number, with a point for decimals"
        if problem is not None:
            faults.append(f"line {line}, column {name}: {cell!r}; {problem}, or leave it empty")
    told = row.get("pinned", "")
    pinned = _TRUTHS.get(told.lower())
    if told and pinned is None:
        faults.append(f"line {line}, column pinned: {told!r}; write yes or no, or leave it empty")
    return values, pinned, faults
