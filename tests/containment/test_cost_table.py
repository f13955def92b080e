"""What a cost table states, and what is said of one that can't be used."""

from __future__ import annotations

import math

import pytest

from assets.containment.cost_table import COLUMNS, parse_cost_table
from assets.containment.retention_costs import RetentionInputError

GOOD = """table,storage_per_gb,accesses,pinned,max_latency_seconds
raw/legal/*,,,yes,
raw/*, 0.004 ,0.1,no,3600
"a,b.csv",,2,,inf

*,0.02,1,,
"""


def test_the_first_row_that_states_an_input_counts():
    table = parse_cost_table(GOOD, "costs.csv")
    assert table.stated("raw/legal/x.csv") == {
        "storage_per_gb": 0.004, "accesses": 0.1, "max_latency_seconds": 3600.0,
    }  # fmt: skip
    assert table.stated("a,b.csv") == {
        "storage_per_gb": 0.02, "accesses": 2.0, "max_latency_seconds": math.inf,
    }  # fmt: skip
    assert table.stated("else") == {"storage_per_gb": 0.02, "accesses": 1.0}
    assert [table.pinned(name) for name in ("raw/legal/x.csv", "raw/y", "else")] == [
        True, False, False,
    ]  # fmt: skip


def test_a_mark_of_byte_order_and_windows_line_ends_are_no_content():
    table = parse_cost_table("\ufefftable,accesses\r\nx,3\r\n", "costs.csv")
    assert table.stated("x") == {"accesses": 3.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["line 1: there is no column 'table' (it has nothing)", "storage_per_gb"]),
        ("table;accesses\nx;1\n", ["line 1: there is no column 'table'", "with commas"]),
        ("table,acceses\nx,1\n", ["line 1: unknown column 'acceses'; did you mean 'accesses'?"]),
        ("table,accesses,accesses\n", ["column 'accesses' stands twice"]),
        ("table,accesses\nx,-1\n", ["line 2, column accesses: '-1'; give a number that is not"]),
        ("table,accesses\nx,often\n", ["line 2, column accesses: 'often'; give a number"]),
        ("table,accesses\nx,nan\n", ["line 2, column accesses: 'nan'"]),
        ("table,storage_per_gb\nx,inf\n", ["line 2, column storage_per_gb: 'inf'"]),
        ("table,read_gb_per_second\nx,0\n", ["a speed must be above 0"]),
        ("table,pinned\nx,maybe\n", ["line 2, column pinned: 'maybe'; write yes or no"]),
        ("table,accesses\n,1\n", ["line 2, column table: is empty"]),
        ("table,accesses\nx,1\n\nx,2\n", ["line 4, column table: 'x' stands in line 2 too"]),
        ("table,accesses\nx,1,2\n", ["line 2: has 3 cells, the header 2"]),
        ("table,accesses\nx,a\ny,b\n", ["line 2, column accesses", "line 3, column accesses"]),
    ],
)
def test_every_fault_names_file_line_column_and_remedy(text, told):
    with pytest.raises(RetentionInputError) as error:
        parse_cost_table(text, "costs.csv")
    assert str(error.value).startswith("costs.csv, line ")
    assert all(part in str(error.value) for part in told)


def test_a_row_about_no_table_is_told_with_the_nearest_name():
    table = parse_cost_table("table,pinned\nraw/lega.csv,yes\n*,no\n", "costs.csv")
    (fault,) = table.unmatched(["raw/legal.csv", "other.csv"])
    assert "costs.csv, line 2, column table: 'raw/lega.csv' matches no table" in fault
    assert "did you mean 'raw/legal.csv'?" in fault
    assert table.unmatched(["raw/lega.csv"]) == []


def test_all_inputs_can_be_stated():
    header = ",".join(COLUMNS)
    row = ",".join(["x", *["2"] * (len(COLUMNS) - 2), "yes"])
    table = parse_cost_table(f"{header}\n{row}\n", "costs.csv")
    assert set(table.stated("x")) == set(COLUMNS) - {"table", "pinned"}
