"""Tiny lakes, the same bytes every time, with all that real lakes gather; a run on one takes seconds.

`build` writes the lake and returns what is in it, counted as it was written: tests hold results against
that, not against what our own readers say.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

MARKER = "zqmarkerword"
"""Occurs in every text of the lake; nobody else writes it, so logs can be searched for it."""

SYLLABLES = {
    "en": [
        "an",
        "er",
        "in",
        "or",
        "st",
        "th",
        "ing",
        "ed",
        "co",
        "de",
        "re",
        "al",
        "me",
        "ton",
        "lis",
        "ver",
    ],
    "sw": [
        "ka",
        "ni",
        "wa",
        "ma",
        "ku",
        "tu",
        "zi",
        "ba",
        "ngo",
        "mwa",
        "she",
        "pi",
        "la",
        "ji",
        "so",
        "na",
    ],
    "am": ["ሀ", "ለ", "መ", "ሰ", "ረ", "ቀ", "በ", "ተ", "ነ", "አ", "ከ", "ወ", "ዘ", "የ", "ደ", "ገ"],
}
SIZES = {"en": 180, "sw": 60, "am": 24}


@dataclass(frozen=True)
class Lake:
    """A lake and what was put into it.

    Attributes
    ----------
    folder
        Holds `lake/` and `recipe.yaml`; the recipe writes to `out/`.
    rows
        Rows by table as written, broken ones included; None where a file can't be read at all.
    contained
        Child to parent, for tables all of whose rows another one holds under the same rule.
    aside
        (table, position) of what must be quarantined.
    protected
        Texts of evaluation and target records.
    """

    folder: Path
    recipe: Path
    rows: dict[str, int | None]
    contained: dict[str, str]
    aside: set[tuple[str, int | None]]
    protected: list[str]

    @property
    def root(self) -> Path:
        return self.folder / "lake"

    @property
    def output(self) -> Path:
        return self.folder / "out"


def words(language: str, seed: int, count: int) -> str:
    """Return a text of `count` words: as good as never near another seed's."""
    draw = random.Random(f"{language}/{seed}")
    made = ["".join(draw.choices(SYLLABLES[language], k=draw.randint(2, 4))) for _ in range(count)]
    return " ".join([*made[:3], MARKER, *made[3:]])


def edited(text: str, at: int = -1) -> str:
    """Return a near twin: one word replaced (Jaccard of 5-word shingles stays above 0.8 from some 30 words on)."""
    parts = text.split(" ")
    parts[at] = "otherwise"
    return " ".join(parts)


def texts(language: str, count: int, start: int = 0) -> list[str]:
    """Return texts of 40 to 64 words; none is a near twin of another."""
    return [words(language, seed, 40 + seed % 25) for seed in range(start, start + count)]


def recipe(**changes: Any) -> dict[str, Any]:
    """Return the recipe that fits the whole lake, with some keys changed (None takes a key out)."""
    plain: dict[str, Any] = {
        "lake": "lake",
        "output": "out",
        "records": [
            {"tables": "evaluation/*", "role": "evaluation", "text": "text"},
            {"tables": "target/*", "role": "target", "text": "text", "read": {"text": "line"}},
            {
                "tables": "texts/*",
                "text": "text",
                "groups": {"language": {"column": "language"}},
                "keep": ["source"],
            },
            {
                "tables": "numbers/*",
                "features": ["a", "b", "c"],
                "label": "kind",
                "groups": {"language": {"value": "numbers"}},
            },
            {"tables": "archive/*", "role": "ignore"},
        ],
        "holdout": {"share": 0.1},
        "max_quarantine": 0.2,
        "filtering": {
            "pools": 2,
            "budgets": [{"samples": 160}, {"samples": 400}],
            "proxy": {"seconds": 0.2, "seeds": 1, "records_per_pool": 40},
        },
        "allocation": {
            "by": "language",
            "objective": "max_min",
            "level": "skill",
            "floors": {"am": 6},
            "policy": {"owner": "someone@example.org", "reason": "the tests need one"},
        },
        "limits": {"workers": 1},
    }
    plain.update(changes)
    return {key: value for key, value in plain.items() if value is not None}


def write_recipe(path: Path, **changes: Any) -> Path:
    """Write `recipe(**changes)` to a file."""
    path.write_text(yaml.safe_dump(recipe(**changes), sort_keys=False), encoding="utf-8")
    return path


def build(folder: Path, *, backwards: bool = False) -> Lake:
    """Write the lake (some 460 rows in 15 tables); `backwards` creates the same files in the opposite order."""
    rows: dict[str, int | None] = {}
    steps: list[Callable[[], None]] = []

    def add(table: str, count: int | None, write: Callable[[Path], None]) -> None:
        path = folder / "lake" / table
        path.parent.mkdir(parents=True, exist_ok=True)
        rows[table] = count
        steps.append(lambda: write(path))

    english, swahili, amharic = (texts(code, size) for code, size in SIZES.items())
    first = [_row(t, "en", f"doc-{i}") for i, t in enumerate(english[:120])]
    first += [_row(english[7], "en", "copy"), _row(edited(english[8]), "en", "edit")]
    second = [_row(t, "en", f"page-{i}") for i, t in enumerate(english[120:])]
    second += [_row(edited(english[121]), "en", "edit"), _row(" \t", "en", "blank")]
    add("texts/english.jsonl", len(first), _jsonl(first))
    add("texts/pages.csv", len(second), _csv(second, crlf=True))
    spoken = [_row(t, "sw", f"s-{i}") for i, t in enumerate([*swahili, edited(swahili[3])])]
    add("texts/swahili.parquet", len(spoken), lambda p: pl.DataFrame(spoken).write_parquet(p))
    written = [_row(t, "am", f"a-{i}") for i, t in enumerate(amharic)]
    add("texts/amharic.jsonl.gz", len(written), _jsonl(written, zipped=True))

    # copies in other formats, all their rows held by a table of the same rule
    add("texts/extract.parquet", 40, lambda p: pl.DataFrame(first[20:60]).write_parquet(p))
    add("texts/older", 30, lambda p: pl.DataFrame(spoken[:30]).write_delta(str(p)))
    # a copy that no rule reads into records, and a projection of it
    add("archive/copy.tsv", len(first), _csv(first, delimiter="\t"))
    add("archive/sources.csv", 80, _csv([{"source": r["source"]} for r in first[:80]]))

    judged = [english[0], edited(english[1]), *texts("en", 6, start=900)]
    add("evaluation/questions.jsonl", len(judged), _jsonl([{"text": t} for t in judged]))
    wished = [english[2], *texts("en", 11, start=950)]
    add("target/good.txt", len(wished), lambda p: _write(p, "".join(f"{t}\n" for t in wished)))

    draw = random.Random(5)
    measured = [
        {"a": i, "b": round(draw.gauss(i % 3, 0.8), 6), "c": i * i % 11, "kind": f"k{i % 3}"}
        for i in range(48)
    ]
    add("numbers/measured.csv", len(measured), _csv(measured))

    # what can't be read: a cut line, a row with too many cells, no Parquet at all, nothing at all
    good = [_row(t, "en", "log") for t in texts("en", 3, start=800)]
    cut = "".join(json.dumps(r) + "\n" for r in good[:2]) + '{"text": "cut o\n'
    add("texts/log.jsonl", 4, lambda p: _write(p, cut + json.dumps(good[2]) + "\n"))
    add("texts/no.parquet", None, lambda p: _write(p, "this is no parquet file"))
    add("texts/nothing.csv", None, lambda p: _write(p, ""))

    for step in reversed(steps) if backwards else steps:
        step()
    return Lake(
        folder,
        write_recipe(folder / "recipe.yaml"),
        rows,
        contained={
            "texts/extract.parquet": "texts/english.jsonl",
            "texts/older": "texts/swahili.parquet",
        },
        aside={("texts/log.jsonl", 2), ("texts/no.parquet", None), ("texts/nothing.csv", None)},
        protected=[*judged, *wished],
    )


def build_small(folder: Path, count: int = 24) -> Path:
    """Write one table of `count` English texts and the recipe of three keys for it; return the recipe."""
    path = folder / "lake" / "notes.jsonl"
    path.parent.mkdir(parents=True)
    _jsonl([{"text": t} for t in texts("en", count)])(path)
    least = {"lake": "lake", "output": "out", "records": [{"tables": "*", "text": "text"}]}
    target = folder / "recipe.yaml"
    target.write_text(yaml.safe_dump(least), encoding="utf-8")
    return target


def _row(text: str, language: str, source: str) -> dict[str, str]:
    return {"text": text, "language": language, "source": source}


def _write(path: Path, content: str) -> None:
    path.write_bytes(content.encode())


def _jsonl(rows: list[dict[str, str]], *, zipped: bool = False) -> Callable[[Path], None]:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    packed = gzip.compress(content, mtime=0) if zipped else content
    return lambda path: path.write_bytes(packed) and None


def _csv(
    rows: list[dict[str, Any]], *, delimiter: str = ",", crlf: bool = False
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            ends = "\r\n" if crlf else "\n"
            out = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator=ends)
            out.writeheader()
            out.writerows(rows)

    return write
