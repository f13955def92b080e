"""The document sets of the shared lake whose near duplicates are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl

LAKE = Path(__file__).resolve().parents[2].parent / "shared" / "lake"
FIELDS = {
    "toolformer": ["instruction", "input", "response"],
    "roleplay": ["instruction", "input", "response", "output"],
    "gsm8k": ["question", "answer", "instruction", "input", "output"],
    "t0": ["prompt", "completion"],
}
SETS = [*FIELDS, "udhr", "banking77", "clinc150_full", "afrisenti"]


def documents(name: str) -> tuple[dict[str, str], str]:
    """Return the texts by id, and the shingle setting of the truth."""
    found: dict[str, str] = {}
    if name in FIELDS:
        for path in sorted((LAKE / "instructions" / name).glob("*.jsonl")):
            lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
            for position, line in enumerate(lines):
                row = json.loads(line)
                parts = [row[f] for f in FIELDS[name] if row.get(f)]
                found[f"{path.relative_to(LAKE)}#{position}"] = "\n".join(parts)
        return found, "word:5"
    if name == "udhr":
        for path in sorted((LAKE / "multilingual" / "udhr").glob("*.txt")):
            found[str(path.relative_to(LAKE))] = path.read_bytes().decode(errors="replace")
        return found, "char:5"
    if name == "afrisenti":
        for path in sorted((LAKE / "multilingual" / "afrisenti").rglob("*.tsv")):
            head, *rows = path.read_bytes().decode().replace("\r\n", "\n").split("\n")
            column = head.split("\t").index("tweet")
            for position, row in enumerate(r for r in rows if r.strip()):
                cells = row.split("\t")
                found[f"{path.relative_to(LAKE)}#{position}"] = (
                    cells[column] if len(cells) > column else ""
                )
    else:
        folder = LAKE / "labelled" / name.removesuffix("_full")
        for path in sorted(folder.glob("data_full.csv" if name.endswith("_full") else "*.csv")):
            with path.open(newline="", encoding="utf-8") as file:
                for position, row in enumerate(csv.DictReader(file)):
                    found[f"{path.relative_to(LAKE)}#{position}"] = row["text"]
    sampled = LAKE / f"neardup_docs_{name}.csv"
    if sampled.exists():
        ids = pl.read_csv(sampled)["id"].to_list()
        found = {key: found[key] for key in ids}
    return found, "char:5"
