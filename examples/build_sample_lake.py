"""Build the sample lake from what is installed, with the redundancy that real lakes gather.

``python -m examples.build_sample_lake DEST [--megabytes 60]``. Needs no network. Two builds in one
environment are byte for byte the same. The pieces: documentation (docstrings, READMEs, guides,
licences, code, data dumps), translations in languages of very unequal size, scikit-learn's bundled
tables, an evaluation set of which two thirds also occur in the documentation, a target set of good
prose, and four broken files for quarantine.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import orjson
import polars as pl

from examples.bundled_tables import write_bundled_tables
from examples.documentation_tables import (
    Done,
    gather,
    text_frame,
    write_documentation,
    write_evaluation_and_target,
)
from examples.installed_files import MissingDistributionError
from examples.lake_files import write_bytes, write_csv, write_jsonl, write_parquet
from examples.lake_summary import Summary
from examples.message_catalogues import translations
from examples.text_parts import Text

FULL_BYTES = 60_000_000
SMALLEST_BYTES = 6_000_000
_MARK = ".sample_lake"  # hidden files are no tables

# Locale -> language. Spanish has five catalogues, several have two (variants of a language are near
# twins), Amharic has a handful of messages: the groups are as uneven as they really are.
TRANSLATIONS = {
    "romance.jsonl": {
        "es": "es", "es_AR": "es", "es_CO": "es", "es_MX": "es", "es_VE": "es", "fr": "fr",
        "pt": "pt", "pt_BR": "pt",
    },
    "germanic.csv": {"de": "de", "nb": "no", "nn": "no"},
    "slavic.jsonl.gz": {"ru": "ru", "sr": "sr", "sr_Latn": "sr"},
    "asian.csv.zst": {"zh_Hans": "zh", "zh_Hant": "zh", "hi": "hi"},
    "semitic.parquet": {"ar": "ar", "ar_DZ": "ar", "am": "am"},
    "bantu.tsv": {"sw": "sw"},
}  # fmt: skip


class LakeSizeError(ValueError):
    """The lake can't be built within the stated size."""


class DestinationError(ValueError):
    """The destination holds something that is not a sample lake."""


def build(
    dest: Path, *, target_bytes: int = FULL_BYTES, workers: int = 1, allow_missing: bool = False
) -> Summary:
    """Build the lake in `dest`: new, empty, or an earlier sample lake, which is replaced.

    Parameters
    ----------
    dest
        The lake's folder.
    target_bytes
        The most bytes that the lake may take on disk. At 60 MB all is taken; below that each text
        source is sampled by a hash, so that a smaller lake is about a part of a larger one. The
        bundled tables (2 MB) are always whole.
    workers
        Processes that parse source; more than one needs a caller that new processes can import. No
        result depends on it.
    allow_missing
        Leave out what a missing distribution would give instead of raising.

    Returns
    -------
    Summary
        Counts, and which table is contained in which.

    Raises
    ------
    MissingDistributionError, LakeSizeError, DestinationError
        See there; the message says what to do.
    """
    if target_bytes < SMALLEST_BYTES:
        message = f"target_bytes is {target_bytes:,}; give at least {SMALLEST_BYTES:,} (tables)"
        raise LakeSizeError(message)
    _check_destination(dest)
    share = min(1.0, target_bytes / FULL_BYTES)
    summary = Summary(str(dest))
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        if workers > 1
        else nullcontext() as pool
    ):
        texts = gather(share, summary, pool.submit if pool else Done, allow_missing=allow_missing)
    _clear(dest)  # only now: what is missing must not cost the earlier lake
    write_evaluation_and_target(dest, texts, share, summary)
    write_documentation(dest / "documentation", texts, summary)
    _write_translations(dest / "multilingual", summary, allow_missing=allow_missing)
    summary.contained += write_bundled_tables(dest)
    _write_broken(dest / "broken", texts["code"])
    _finish(dest, summary)
    if summary.bytes > target_bytes:
        message = (
            f"{dest} takes {summary.bytes:,} bytes, more than the {target_bytes:,} allowed; "
            "raise target_bytes, or lower the caps in examples/documentation_tables.py"
        )
        raise LakeSizeError(message)
    return summary


def _write_translations(folder: Path, summary: Summary, *, allow_missing: bool) -> None:
    for name, locales in TRANSLATIONS.items():
        try:
            records = translations(locales)
        except MissingDistributionError:
            if not allow_missing:
                raise
            return
        frame = pl.DataFrame(
            records, schema=["id", "language", "locale", "source", "text"], orient="row"
        )
        path = folder / name
        if ".jsonl" in name:
            write_jsonl(frame, path)
        elif ".parquet" in name:
            write_parquet(frame, path)
        else:
            write_csv(frame, path, separator="\t" if ".tsv" in name else ",")
        counts = frame.group_by("language").len().sort("language")
        summary.languages |= dict(counts.iter_rows())
        summary.text_records += frame.height
        summary.text_bytes += int(frame["text"].str.len_bytes().sum())


def _write_broken(folder: Path, records: list[Text]) -> None:
    """Write what every lake has a little of; the good rows of these files should survive."""
    frame = text_frame(records[-40:])
    write_parquet(frame, folder / "truncated.parquet")
    whole = (folder / "truncated.parquet").read_bytes()
    (folder / "truncated.parquet").write_bytes(whole[: len(whole) * 2 // 3])
    lines = [orjson.dumps(row) for row in frame[:20].to_dicts()]
    lines[9] = lines[9][: len(lines[9]) // 2]  # a writer that was stopped, and another that went on
    write_bytes(folder / "broken_line.jsonl", b"\n".join(lines) + b"\n")
    rows = ["id,title,text"]
    rows += [
        f'{t.package}-{i},"{t.title}","{" ".join(t.text.split())[:900].replace(chr(34), chr(39))}"'
        for i, t in enumerate(records[:12])
    ]
    rows[4] += ",one field too many"
    rows[8] = rows[8].split(",")[0]
    write_bytes(folder / "ragged.csv", ("\n".join(rows) + "\n").encode())
    write_bytes(folder / "empty.csv", b"")


def _check_destination(dest: Path) -> None:
    taken = dest.exists() and (not dest.is_dir() or any(dest.iterdir()))
    if taken and not (dest / _MARK).exists():
        message = f"{dest} exists and is no sample lake; name a new folder, or empty this one"
        raise DestinationError(message)


def _clear(dest: Path) -> None:
    if dest.is_dir():
        shutil.rmtree(dest)
    dest.mkdir(parents=True)
    text = "built by examples/build_sample_lake.py; replaced by the next build\n"
    (dest / _MARK).write_text(text, encoding="utf-8", newline="")


def _finish(lake: Path, summary: Summary) -> None:
    files = [
        path for path in sorted(lake.rglob("*")) if path.is_file() and not path.name.startswith(".")
    ]
    summary.files = len(files)
    summary.bytes = sum(path.stat().st_size for path in files)
    summary.tables = len({_table_of(path.relative_to(lake).parts) for path in files})


def _table_of(parts: Sequence[str]) -> tuple[str, ...]:
    """Fold the folders that are one table: Delta, hive, and the Parquet folders of one schema."""
    for depth, part in enumerate(parts):
        if part == "_delta_log" or "=" in part or part.startswith("part-"):
            return tuple(parts[:depth])
    return tuple(parts[:2]) if parts[1] == "scientific" else tuple(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description="Build the sample lake from installed packages; needs no network."
    )
    parser.add_argument(
        "dest", type=Path, help="a new folder, or an earlier sample lake, which is replaced"
    )
    parser.add_argument(
        "--megabytes",
        type=float,
        default=60.0,
        help="the most that it may take on disk (default 60)",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out what is not installed"
    )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that parse source (default 2)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        summary = build(
            options.dest,
            target_bytes=int(options.megabytes * 1e6),
            workers=options.workers,
            allow_missing=options.allow_missing,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2).decode())
        return 0
    languages = ", ".join(
        f"{k} {v}" for k, v in sorted(summary.languages.items(), key=lambda item: -item[1])
    )
    print(
        f"{summary.destination}: {summary.tables} tables in {summary.files} files, "
        f"{summary.bytes / 1e6:.1f} MB"
    )
    print(
        f"text: {summary.text_records:,} records, {summary.text_bytes / 1e6:.1f} MB; "
        f"translations: {languages or 'none'}"
    )
    print(
        f"evaluation: {summary.evaluation}; contained tables: {len(summary.contained)}; "
        f"{time.monotonic() - began:.1f} s"
    )
    if summary.missing:
        print(f"left out, because not installed: {', '.join(summary.missing)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
