"""What the UI shows beside numbers: a figure or table for what people look at, small, of what was committed."""

from __future__ import annotations

import base64
import re
import struct

import dagster as dg
import polars as pl
import pytest

from orchestration.column_lineage import LINEAGE
from orchestration.figures import FIGURES, MOST_BYTES
from orchestration.stages import BY_TABLE, MODULES
from orchestration.tables_as_text import MOST_ROWS, markdown
from tests.conftest import RunLake
from tests.lakes import MARKER

INFO = {table: info for module in MODULES for table, info in module.INFO.items()}
PLOTTED = {
    "containment/edges",
    "containment/retention",
    "deduplication/duplicates",
    "scoring/scores",
    "filtering/pools",
    "filtering/curves",
    "filtering/laws",
    "filtering/plan",
    "allocation/group_curves",
    "allocation/plan",
    "allocation/report",
    "publication/ledger",
}


def materialized(run_lake: RunLake, table: str) -> dg.AssetMaterialization:
    with (
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DAGSTER_HOME", str(run_lake.home))
        with dg.DagsterInstance.get() as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(table.split("/")))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


@pytest.mark.parametrize("table", sorted(FIGURES))
def test_each_table_shows_what_it_should(run_lake: RunLake, table: str) -> None:
    shown = {
        name: value.md_str
        for name, value in materialized(run_lake, table).metadata.items()
        if isinstance(value, dg.MarkdownMetadataValue)
    }
    assert shown
    images = [re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", md) for md in shown.values()]
    found = [base64.b64decode(data) for some in images for data in some]
    assert bool(found) == (table in PLOTTED)
    for png in found:
        assert png.startswith(b"\x89PNG")
        assert len(png) <= MOST_BYTES
        width, _height = struct.unpack(">II", png[16:24])
        assert width <= 1000, "the dialog of the UI cuts wider images off"
    for name, text in shown.items():
        assert MARKER not in text, name


@pytest.mark.parametrize("table", sorted(BY_TABLE))
def test_each_table_shows_its_rows_place_and_data_version(run_lake: RunLake, table: str) -> None:
    made = materialized(run_lake, table)
    place = made.metadata["dagster/uri"].value
    version = made.metadata["delta/version"].value
    rows = pl.scan_delta(str(place), version=version).select(pl.len()).collect().item()
    assert made.metadata["dagster/row_count"].value == rows
    assert made.tags is not None
    assert len(made.tags["dagster/data_version"]) == 32
    lineage = made.metadata.get("dagster/column_lineage")
    assert (lineage is not None) == (table in LINEAGE)


def test_lineage_names_columns_that_there_are_of_tables_upstream() -> None:
    order = list(BY_TABLE)
    for table, columns in LINEAGE.items():
        assert set(columns) <= set(INFO[table].columns), table
        for column, places in columns.items():
            assert places, (table, column)
            for place in places:
                upstream, name = place.rsplit(".", maxsplit=1)
                assert name in INFO[upstream].columns, (table, column, place)
                assert order.index(upstream) < order.index(table), (table, column, place)


def test_every_column_to_train_on_has_its_lineage() -> None:
    without = set(INFO["publication/training_set"].columns) - set(
        LINEAGE["publication/training_set"]
    )
    assert without == {"weight"}, "the one column that no table upstream holds"


def test_a_markdown_table_is_short_and_says_what_it_leaves_out() -> None:
    frame = pl.DataFrame(
        {"name": ["a|b", "c\nd"] + ["e"] * MOST_ROWS, "x": [1234.5, None] + [1.0] * MOST_ROWS}
    )
    lines = markdown(frame).splitlines()
    assert lines[:4] == ["| name | x |", "|---|---|", "| a\\|b | 1,234 |", "| c d |  |"]
    assert lines[-1] == "and 2 more rows in the table itself"
    assert sum(line.startswith("| ") for line in lines) == MOST_ROWS + 1
    assert markdown(frame.clear()) == "none"


def test_the_largest_savings_are_a_table_of_at_most_ten(run_lake: RunLake) -> None:
    shown = materialized(run_lake, "containment/edges").metadata["largest_savings"].value
    lines = str(shown).splitlines()
    assert lines[0] == "| table | rows | bytes | kind | held_by |"
    sizes = [int(line.split("|")[3].replace(",", "")) for line in lines[2:]]
    assert 1 <= len(sizes) <= 10
    assert sizes == sorted(sizes, reverse=True)
