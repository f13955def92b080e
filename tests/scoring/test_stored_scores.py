"""Scores are stored by additions, and read as if they had been written whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from assets.scoring.stored_scores import MOST_ADDITIONS, addition, anew, current, whole

SCHEMA = {"record_id": pl.String, "quality": pl.Float64, "silent": pl.String}


class Table:
    """Files as lists of rows, each written once."""

    def __init__(self) -> None:
        self.files: dict[Path, pl.DataFrame] = {}
        self.written = 0

    def keep(self, file: Path) -> None:
        self.kept.append(file)

    def write(self, data: pl.DataFrame) -> None:
        self.written += data.height
        name = Path(str(len(self.files) + self.written))
        self.files[name] = data
        self.kept.append(name)

    def rows(self) -> pl.LazyFrame:
        return pl.concat([self.files[f] for f in self.stands], how="diagonal").lazy()

    def say(self, frame: pl.DataFrame, *, first: bool = False) -> int:
        before = self.written
        self.kept: list[Path] = []
        added = anew(frame) if first else addition(frame, self.rows(), self.stands)
        added.write_to(self)
        self.stands = self.kept
        return self.written - before


def scores(state: dict[int, float | None]) -> pl.DataFrame:
    rows = [(f"r{i}", q, None if q is not None else "no text") for i, q in state.items()]
    return pl.DataFrame(rows, SCHEMA, orient="row").sort("record_id")


STATES = st.dictionaries(st.integers(0, 12), st.one_of(st.none(), st.floats(0, 1)), max_size=12)


@settings(max_examples=60)
@given(st.lists(STATES, min_size=1, max_size=6))
def test_whatever_changes_the_table_says_what_the_last_run_said(states) -> None:
    table = Table()
    for number, state in enumerate(states):
        table.say(scores(state), first=number == 0)
        said = current(table.rows()).collect().sort("record_id")
        assert_frame_equal(said, scores(state), check_exact=True)


def newest_anywhere(stored: pl.LazyFrame) -> pl.LazyFrame:
    """A wrong reading: what was taken away comes back."""
    return current(stored.filter(~pl.col("gone")))


def first_that_was_written(stored: pl.LazyFrame) -> pl.LazyFrame:
    """A wrong reading: what was changed stays as it was."""
    return stored.filter(since=0).drop("since", "gone")


@pytest.mark.parametrize("wrong", [newest_anywhere, first_that_was_written])
def test_wrong_readings_are_seen(wrong) -> None:
    table = Table()
    table.say(scores(dict.fromkeys(range(9), 0.5)), first=True)
    now = scores({**dict.fromkeys(range(1, 9), 0.5), 3: 0.1})
    table.say(now)
    assert not wrong(table.rows()).collect().sort("record_id").equals(now)


def test_a_run_writes_what_it_changes() -> None:
    table = Table()
    state: dict[int, float | None] = {i: i / 1000 for i in range(1000)}
    assert table.say(scores(state), first=True) == 1000
    state |= {2000 + i: 0.5 for i in range(10)}  # new
    state |= {7: 0.9, 8: None}  # changed
    del state[11], state[12], state[13]  # gone
    assert table.say(scores(state)) == 10 + 2 + 3
    assert table.say(scores(state)) == 0
    state |= {11: 0.3}  # there again
    assert table.say(scores(state)) == 1
    assert_frame_equal(current(table.rows()).collect().sort("record_id"), scores(state))


def test_a_table_of_many_additions_or_of_other_columns_is_written_whole() -> None:
    table = Table()
    state: dict[int, float | None] = dict.fromkeys(range(100), 0.0)
    table.say(scores(state), first=True)
    written = [table.say(scores(state | {i: 1.0})) for i in range(MOST_ADDITIONS + 2)]
    assert written.count(100) == 1
    assert written[MOST_ADDITIONS] == 100
    wider = scores(state).with_columns(dsir=1.0)
    assert addition(wider, table.rows(), []).rows.equals(whole(wider))
    assert table.say(scores(dict.fromkeys(range(100), 0.7))) == 100  # not twice as many rows
    assert len(table.stands) == 1
