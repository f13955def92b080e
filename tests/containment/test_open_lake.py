"""The shared open lake: every row of its containment truth, no other, at 1e-6."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from assets.containment.folder import search_folder

LAKE = Path(__file__).resolve().parents[2].parent / "shared" / "lake"
FOLDERS, SUFFIXES = ("tables", "multilingual", "labelled"), ("csv", "tsv", "json")


def in_truth(table: str) -> bool:
    """Tell whether the truth looked at a table: it did not at Parquet, JSON lines and plain text."""
    return table.split("/")[0] in FOLDERS and table.rsplit(".", 1)[-1] in SUFFIXES


@pytest.mark.slow
@pytest.mark.skipif(not (LAKE / "containment_truth.csv").exists(), reason="needs ../shared/lake")
def test_every_row_of_the_truth_and_no_other():
    with (LAKE / "containment_truth.csv").open(newline="") as file:
        truth = {
            (row["child"], row["parent"]): float(row["containment_fraction"])
            for row in csv.DictReader(file)
        }
    search = search_folder(LAKE, equality="text", min_containment=0.5, workers=2)
    found = {
        (child, parent): share
        for child, parent, share in search.edges.select("child", "parent", "containment").rows()
        if in_truth(child) and in_truth(parent)
    }
    assert found.keys() - truth.keys() == set()
    assert truth.keys() - found.keys() == set()
    assert all(abs(found[pair] - truth[pair]) <= 1e-6 for pair in truth)
    read = {row["stage"]: row["bytes_read"] for row in search.stages.iter_rows(named=True)}
    stored = sum(size for name, size in search.bytes.items() if name.endswith(".parquet"))
    assert read["tables"] == sum(search.bytes.values()) - stored  # each file was read once
    assert read["tables"] + read["content"] <= sum(search.bytes.values())
