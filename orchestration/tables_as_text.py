"""Small frames as Markdown tables."""

from __future__ import annotations

import polars as pl

MOST_ROWS = 40


def markdown(frame: pl.DataFrame, *, most_rows: int = MOST_ROWS) -> str:
    """Write a small frame as a Markdown table of at most `most_rows` rows, and say how many more there are."""
    if frame.is_empty():
        return "none"
    lines = [f"| {' | '.join(frame.columns)} |", "|---" * frame.width + "|"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in frame.head(most_rows).iter_rows()]
    if frame.height > most_rows:
        lines.append(f"\nand {frame.height - most_rows:,} more rows in the table itself")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return str(value).replace("|", "\\|").replace("\n", " ")
