"""What ingestion landed and later stages read: damage names the file and what to do, not only what a library says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from assets.ingestion.access import RegisteredTable, read_table
from assets.ingestion.discover import discover
from assets.ingestion.model import POSITION_COLUMN, ReadOptions, SourceError
from assets.ingestion.register import register
from resources.staged_table import StagedTable


def landed(folder: Path) -> RegisteredTable:
    """Land a table of a hundred rows; returns it as later stages see it."""
    (folder / "lake").mkdir()
    rows = "".join(f"{number},text {number}\n" for number in range(100))
    (folder / "lake" / "a.csv").write_text("n,t\n" + rows)
    (source,) = discover(folder / "lake").sources
    place = folder / "landed"
    found = register(
        source,
        ReadOptions(),
        open_sink=lambda schema: StagedTable(place, schema),
        reject=lambda _: None,
    )
    assert found.sink is not None
    version = found.sink.commit({})
    return RegisteredTable(
        table="a.csv",
        format="csv",
        data_uri=str(place),
        data_version=version,
        version="v",
        fingerprint="f",
        rows=100,
        bytes=1,
        types={"n": "int64", "t": "string"},
    )


def positions(table: RegisteredTable) -> list[int]:
    batches = read_table(table, {}, batch_rows=7)
    return pa.concat_tables(batches).column(POSITION_COLUMN).to_pylist()


def damaged(place: Path) -> Path:
    (file,) = place.glob("*.parquet")
    return file


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def scrambled(file: Path) -> None:
    """Keep the footer, so that the file opens and a page of it does not decompress."""
    octets = bytearray(file.read_bytes())
    octets[4:200] = bytes(196)
    file.write_bytes(octets)


@pytest.mark.parametrize("damage", [cut, scrambled, Path.unlink])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage) -> None:
    table = landed(tmp_path)
    assert positions(table) == [*range(100)]
    file = damaged(tmp_path / "landed")
    damage(file)
    with pytest.raises(SourceError, match="damaged or gone") as told:
        positions(table)
    assert str(file) in str(told.value)
    assert "another `output`" in str(told.value)


def test_a_table_that_is_gone_is_named_with_the_remedy(tmp_path: Path) -> None:
    table = landed(tmp_path)
    shutil.rmtree(tmp_path / "landed")
    with pytest.raises(SourceError, match=r"landed of a\.csv can't be read") as told:
        positions(table)
    assert str(tmp_path / "landed") in str(told.value)
    assert "another `output`" in str(told.value)
