"""Note what each stage of a search took in, let out and read."""

from __future__ import annotations

import time

import polars as pl

from assets.containment.hash_store import WorkDone


class StageClock:
    """Gathers one row a stage; a stage lasts from the end of the one before."""

    def __init__(self) -> None:
        self.stages: list[dict[str, object]] = []
        self.since = time.perf_counter()

    def stage(
        self, name: str, candidates_in: int, candidates_out: int, read: WorkDone | None = None
    ) -> None:
        """End a stage."""
        now = time.perf_counter()
        read = read or WorkDone()
        self.stages.append(
            {
                "stage": name,
                "candidates_in": candidates_in,
                "candidates_out": candidates_out,
                "tables": read.tables,
                "rows": read.rows,
                "bytes_read": read.bytes,
                "seconds": round(now - self.since, 3),
            }
        )
        self.since = now

    def frame(self) -> pl.DataFrame:
        """Return stage, candidates_in, candidates_out, tables, rows, bytes_read and seconds."""
        return pl.DataFrame(self.stages)
