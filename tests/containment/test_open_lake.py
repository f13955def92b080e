"""The shared open lake: every row of its containment truth, no other, at 1e-6."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest

from assets.containment.content import contained_rows, hash_projections
from assets.containment.generic import evidence_bits, needs_evidence, trivial_reason
from assets.containment.schema_graph import schema_edges

LAKE = Path(__file__).resolve().parents[2].parent / "shared" / "lake"


def read(path: Path) -> pa.Table | None:
    """Read a table by the truth's rules: cells as strings, empty is null, the first line names."""
    if path.suffix == ".json":
        records = json.loads(path.read_text(errors="replace"))
        flat = isinstance(records, list) and all(isinstance(record, dict) for record in records)
        if not flat or not records:
            return None
        names = list(dict.fromkeys(key for record in records for key in record))
        cells = [[as_text(record.get(name)) for name in names] for record in records]
    else:
        text = path.read_bytes().decode(errors="replace").removeprefix("\ufeff")
        csv.field_size_limit(2**31 - 1)
        if path.suffix == ".tsv":
            reader = (line.split("\t") for line in text.replace("\r\n", "\n").split("\n") if line)
        else:
            if "\r" in text.replace("\r\n", ""):
                return None  # lines that end in CR only
            reader = (row for row in csv.reader(text.splitlines(keepends=True)) if row)
        names, *cells = list(reader) or [[]]
        if not cells or len(set(names)) < len(names):
            return None
    width = len(names)
    columns = [[row[i] if i < len(row) else "" for row in cells] for i in range(width)]
    return pa.table([pa.array(own, pa.string()) for own in columns], names=names)


def as_text(value) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@pytest.mark.slow
@pytest.mark.skipif(not (LAKE / "containment_truth.csv").exists(), reason="needs ../shared/lake")
def test_every_row_of_the_truth_and_no_other():
    with (LAKE / "containment_truth.csv").open(newline="") as file:
        truth = {
            (row["child"], row["parent"]): float(row["containment_fraction"])
            for row in csv.DictReader(file)
        }
    tables = {}
    for folder in ("tables", "multilingual", "labelled"):
        for path in sorted((LAKE / folder).rglob("*")):
            if path.suffix in (".csv", ".tsv", ".json"):
                table = read(path)
                if table is not None:
                    tables[path.relative_to(LAKE).as_posix()] = table
    pairs = schema_edges(
        {name: dict.fromkeys(own.column_names, "") for name, own in tables.items()}
    )
    families = defaultdict(list)
    for child, parent in pairs:
        families[tuple(sorted(tables[child].column_names))].append((child, parent))
    needs = defaultdict(list)
    for columns, own in families.items():
        for name in {name for pair in own for name in pair}:
            needs[name].append(columns)
    hashes = defaultdict(dict)
    for name, sets in needs.items():
        for columns, rows in zip(sets, hash_projections([tables[name]], sets, "text"), strict=True):
            hashes[columns][name] = rows
    found = {}
    for columns, own in families.items():
        for row in contained_rows(hashes[columns], own).iter_rows(named=True):
            if (row["containment"] or 0) >= 0.5 and not trivial(tables[row["child"]], row):
                found[row["child"], row["parent"]] = row["containment"]
    assert len(tables) > 900  # those with a repeated column name are in no pair of the truth
    assert found.keys() - truth.keys() == set()
    assert truth.keys() - found.keys() == set()
    assert all(abs(found[pair] - truth[pair]) <= 1e-6 for pair in truth)


def trivial(table: pa.Table, row) -> bool:
    bits = None
    if needs_evidence(row["child_distinct"], table.num_columns):
        bits = evidence_bits(table, table.column_names)
    return trivial_reason(row["child_distinct"], table.num_columns, bits) is not None
