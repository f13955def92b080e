"""One partition is replaced, no other changes: whatever was written before, and in whatever files it lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources import delta
from resources.compaction import LEAST_FILES, compact
from resources.delta_partition import commit_partition, partition_commit
from resources.errors import StoreError
from resources.staged_table import StagedTable

SCHEMA = {"round": pl.Int32, "x": pl.Int64}


def stage(uri: Path, number: int, values: list[int]) -> StagedTable:
    frame = pl.DataFrame({"round": [number] * len(values), "x": values}, schema=SCHEMA)
    from resources.delta_types import frame_schema

    staged = StagedTable(uri, frame_schema(frame))
    staged.write(frame)
    staged.close()
    return staged


def write(uri: Path, number: int, values: list[int], *, alone: bool = False) -> int:
    told = {"partition": number, "told": values}
    return commit_partition(stage(uri, number, values), "round", number, told, alone=alone)


def append(uri: Path, number: int, values: list[int], *, alone: bool = False) -> int:
    """A mutant: what the partition held before stays beside it."""
    return stage(uri, number, values).commit({}, mode="append")


def overwrite(uri: Path, number: int, values: list[int], *, alone: bool = False) -> int:
    """A mutant: the other partitions go."""
    return stage(uri, number, values).commit({}, mode="overwrite")


def content(uri: Path) -> dict[int, list[int]]:
    table = delta.open_table(uri)
    assert table is not None
    rows = delta.scan(uri, table.version()).collect()
    found: dict[int, list[int]] = {}
    for number, x in rows.iter_rows():
        found.setdefault(number, []).append(x)
    return {number: sorted(values) for number, values in sorted(found.items())}


Writes = list[tuple[int, list[int], bool]]
WRITES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.lists(st.integers(-5, 5), max_size=4),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=6,
)


def follows(uri: Path, writes: Writes, how: Callable[..., int] = write) -> bool:
    shutil.rmtree(uri, ignore_errors=True)
    model: dict[int, list[int]] = {}
    for number, values, alone in writes:
        how(uri, number, values, alone=alone)
        model = ({} if alone else model) | {number: sorted(values)}
        if content(uri) != {k: v for k, v in sorted(model.items()) if v}:
            return False
    return True


@settings(max_examples=40)
@given(writes=WRITES)
def test_a_table_is_what_was_last_written_to_each_partition(
    writes: Writes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert follows(tmp_path_factory.mktemp("p") / "t", writes)


@pytest.mark.parametrize("mutant", [append, overwrite])
def test_other_ways_to_write_do_not(mutant: Callable[..., int], tmp_path: Path) -> None:
    writes: Writes = [(0, [1], False), (1, [2], False), (1, [3], False)]
    assert follows(tmp_path / "t", writes)
    assert not follows(tmp_path / "t", writes, mutant)


def test_files_of_other_partitions_are_not_touched(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    write(uri, 0, [1, 2])
    table = delta.open_table(uri)
    assert table is not None
    pilot = set(delta.file_names(table))
    write(uri, 1, [3])
    write(uri, 1, [4])
    table = delta.open_table(uri)
    assert table is not None
    assert pilot < set(delta.file_names(table))
    assert content(uri) == {0: [1, 2], 1: [4]}


def test_a_compacted_table_still_has_its_partitions(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    for number in range(LEAST_FILES):
        write(uri, number, [number, -number])
    assert compact(uri, {}) is not None
    write(uri, 3, [30])
    expected = {n: sorted([n, -n]) for n in range(LEAST_FILES)} | {3: [30]}
    assert content(uri) == expected


def test_the_log_tells_who_wrote_a_partition_as_it_stands(tmp_path: Path) -> None:
    uri = tmp_path / "t"
    assert partition_commit(uri, 0) is None
    write(uri, 0, [1])
    write(uri, 1, [2])
    write(uri, 1, [])
    found = partition_commit(uri, 1)
    assert found is not None
    assert found["told"] == []
    assert partition_commit(uri, 2) is None
    write(uri, 0, [5], alone=True)
    assert partition_commit(uri, 1) is None, "it went when the table began anew"
    found = partition_commit(uri, 0)
    assert found is not None
    assert found["told"] == [5]


def test_one_of_two_writers_wins_and_the_other_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = tmp_path / "t"
    write(uri, 0, [1])
    opened = delta.open_table

    def late(place: Path, version: int | None = None) -> object:
        table = opened(place, version)
        if version is None and not late.done:  # type: ignore[attr-defined]
            late.done = True  # type: ignore[attr-defined]
            write(uri, 1, [2])
        return table

    late.done = False  # type: ignore[attr-defined]
    monkeypatch.setattr(delta, "open_table", late)
    with pytest.raises(StoreError, match="not the newest"):
        write(uri, 0, [9])
    monkeypatch.undo()
    assert content(uri) == {0: [1], 1: [2]}
