"""Build the sample lake: real text and tables from what is installed, with the redundancy that real lakes gather.

``python -m examples.build_sample_lake DEST [--megabytes 60]``. Needs no network. Two builds in one environment are byte for byte the
same. The pieces: documentation (docstrings, READMEs, guides, licences, code, data dumps), translations in languages of very unequal
size, scikit-learn's bundled tables, an evaluation set of which two thirds also occur in the documentation, a target set of good
prose, and four broken files for quarantine.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from packaging.utils import canonicalize_name

from examples import installed_text as source
from examples.bundled_tables import Contained, write_bundled_tables
from examples.installed_text import Text
from examples.lake_files import (
    write_bytes,
    write_csv,
    write_delta,
    write_json,
    write_jsonl,
    write_lines,
    write_parquet,
)
from examples.message_catalogues import translations

FULL_BYTES = 60_000_000
SMALLEST_BYTES = 6_000_000

# The direct dependencies of the project, and Django for its translations: READMEs, licences and guides are taken from these and
# from what they need, so that development tools make no difference.
ROOTS = (
    "click", "dagster", "dagster-dg-cli", "dagster-webserver", "datasketch", "deltalake", "django", "matplotlib", "numba", "numpy",
    "orjson", "polars", "pyarrow", "pydantic", "pyyaml", "rich", "scikit-learn", "scipy", "torch", "xxhash", "zstandard",
)  # fmt: skip

# Docstrings by distribution: bytes of text at full size. The caps keep one large distribution from being half of the lake.
DOCSTRING_BYTES = {
    "numpy": 1_600_000, "scipy": 3_500_000, "scikit-learn": 3_000_000, "torch": 2_400_000, "polars": 1_800_000,
    "dagster": 900_000, "sympy": 2_600_000, "networkx": 1_900_000, "matplotlib": 1_300_000, "sqlalchemy": 2_100_000,
    "django": 300_000,
}  # fmt: skip
CODE_BYTES = {"networkx": 500_000, "click": 330_000, "rich": 400_000, "jinja2": 330_000, "joblib": 260_000}

# Locale -> language. Spanish has five catalogues, several have two (variants of a language are near twins), Amharic has a handful
# of messages: the groups are as uneven as they really are.
TRANSLATIONS = {
    "romance.jsonl": {
        "es": "es", "es_AR": "es", "es_CO": "es", "es_MX": "es", "es_VE": "es", "fr": "fr", "pt": "pt", "pt_BR": "pt",
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


@dataclass
class Summary:
    """What was built."""

    destination: str
    files: int = 0
    bytes: int = 0
    tables: int = 0
    text_records: int = 0
    text_bytes: int = 0
    records: dict[str, int] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    evaluation: dict[str, int] = field(default_factory=dict)
    contained: list[Contained] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def build(
    dest: Path, *, target_bytes: int = FULL_BYTES, workers: int = 1, allow_missing: bool = False
) -> Summary:
    """Build the lake in `dest`, which must be new, empty or an earlier sample lake (that one is replaced).

    Parameters
    ----------
    dest
        The lake's folder.
    target_bytes
        The most bytes that the lake may take on disk. At 60 MB all is taken; below that each text source is sampled by
        a hash, so that a smaller lake is about a part of a larger one. The bundled tables (2 MB) are always whole.
    workers
        Processes that parse source; more than one needs a caller that new processes can import. No result depends on it.
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
        message = f"target_bytes is {target_bytes:,}; the bundled tables alone need room: give at least {SMALLEST_BYTES:,}"
        raise LakeSizeError(message)
    _make_room(dest)
    share = min(1.0, target_bytes / FULL_BYTES)
    summary = Summary(str(dest))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else nullcontext() as pool:
        texts = _gather(share, summary, pool.submit if pool else _Done, allow_missing=allow_missing)
    _write_evaluation_and_target(dest, texts, share, summary)
    _write_documentation(dest / "documentation", texts, summary)
    _write_translations(dest / "multilingual", summary, allow_missing=allow_missing)
    summary.contained += write_bundled_tables(dest)
    _write_broken(dest / "broken", texts["code"])
    _finish(dest, summary)
    if summary.bytes > target_bytes:
        message = f"{dest} takes {summary.bytes:,} bytes, more than the {target_bytes:,} allowed; lower FULL_BYTES' quotas"
        raise LakeSizeError(message)
    return summary


class _Done:
    """What `Executor.submit` gives, computed when asked for, in this process."""

    def __init__(self, call: Callable[..., list[Text]], /, *args: object, **kwargs: object) -> None:
        self.result = partial(call, *args, **kwargs)


def _gather(share: float, summary: Summary, submit: Callable[..., Any], *, allow_missing: bool) -> dict[str, list[Text]]:
    roots = []
    for name in ROOTS:
        try:
            source.installed(name)
            roots.append(name)
        except source.MissingDistributionError:
            if not allow_missing:
                raise
            summary.missing.append(name)
    distributions = source.dependency_closure(roots)
    known = {str(canonicalize_name(item.name)) for item in distributions}
    parsed = {
        name: submit(source.docstrings, name, most_bytes=int(size * share))
        for name, size in sorted(DOCSTRING_BYTES.items(), key=lambda item: -item[1])
        if name in known
    }
    functions = [
        submit(source.functions, name, most_bytes=int(size * share)) for name, size in CODE_BYTES.items() if name in known
    ]
    files = source.list_files(distributions)
    texts: dict[str, list[Text]] = {}
    guides = source.guides(files)
    texts["readmes"] = _sample(source.readmes(distributions), share)
    texts["licences"] = _sample(source.licences(files), share)
    texts["guides"] = [text for text in guides if text.kind == "guide"]
    texts["data"] = _sample([text for text in guides if text.kind == "data"], share)
    texts |= {name: parsed[name].result() for name in DOCSTRING_BYTES if name in parsed}
    texts["code"] = [record for future in functions for record in future.result()]
    return texts


def _write_evaluation_and_target(lake: Path, texts: dict[str, list[Text]], share: float, summary: Summary) -> None:
    """Set documentation apart: target prose and unseen evaluation texts leave the training tables, contaminated ones stay."""
    wanted = max(20, int(120 * share))
    picked: dict[str, list[Text]] = {"verbatim": [], "edited": [], "unseen": [], "target": []}
    for name in (name for name in DOCSTRING_BYTES if name in texts):
        quota = -(-wanted // len(DOCSTRING_BYTES))
        ordered = sorted(texts[name], key=lambda t: _hash("set apart", t.id))
        prose = list(islice((t for t in ordered if _is_prose(t.text)), 6 * quota))
        for use in picked:
            amount = 3 * quota if use == "target" else quota
            chosen, prose = prose[:amount], prose[amount:]
            picked[use] += chosen
        gone = {t.id for use in ("unseen", "target") for t in picked[use]}
        texts[name] = [t for t in texts[name] if t.id not in gone]
    target = picked["target"] + [t for t in texts["guides"] if _is_prose(t.text)][:40]
    gone = {t.id for t in target}
    texts["guides"] = [t for t in texts["guides"] if t.id not in gone]
    edited = [t._replace(id=f"{t.id}:page", text=_edit(t)) for t in picked["edited"]]
    evaluation = [*picked["verbatim"], *edited, *picked["unseen"]]
    evaluation.sort(key=lambda t: _hash("evaluation order", t.id))
    write_jsonl(_frame(evaluation), lake / "evaluation" / "documentation.jsonl")
    write_jsonl(_frame(sorted(target)), lake / "target" / "prose.jsonl")
    summary.evaluation = {use: len(picked[use]) for use in ("verbatim", "edited", "unseen")}
    summary.records |= {"evaluation": len(evaluation), "target": len(target)}


def _edit(text: Text) -> str:
    # what a rendered page adds and loses: a heading at the top, the last line
    lines = text.text.rstrip().split("\n")
    return "\n".join([text.title, *lines[:-1]]) if len(lines[-1].split()) * 12 < len(text.text.split()) else "\n".join([text.title, *lines])


def _is_prose(text: str) -> bool:
    if len(text.split()) < 80 or text.count(". ") + text.count(".\n") < 4:
        return False
    return sum(c.isalpha() or c == " " for c in text) >= 0.85 * len(text)


def _write_documentation(folder: Path, texts: dict[str, list[Text]], summary: Summary) -> None:
    frames = {name: _frame(records) for name, records in texts.items()}
    summary.records |= {name: frame.height for name, frame in frames.items()}
    for name in ("numpy", "scipy", "scikit-learn"):  # one schema: the folder is one table
        write_parquet(frames[name], folder / "scientific" / f"{name}.parquet")
    write_jsonl(frames["torch"], folder / "torch.jsonl.zst")
    polars = frames["polars"]
    write_delta([polars[: polars.height // 2], polars[polars.height // 2 :]], folder / "polars")
    write_csv(frames["dagster"], folder / "dagster.csv.gz")
    write_jsonl(frames["sympy"], folder / "sympy.jsonl.gz")
    write_parquet(frames["networkx"], folder / "networkx.parquet")
    write_csv(frames["matplotlib"], folder / "matplotlib.tsv", separator="\t")
    write_jsonl(frames["sqlalchemy"], folder / "sqlalchemy.jsonl")
    if "django" in frames:
        write_json(frames["django"], folder / "django.json")
    write_jsonl(frames["readmes"], folder / "readmes.jsonl")
    write_csv(frames["licences"], folder / "licences.csv.zst")
    write_parquet(frames["guides"], folder / "guides.parquet")
    write_jsonl(frames["code"], folder / "functions.jsonl.gz")
    write_csv(frames["data"], folder / "data_files.csv.gz")
    # what somebody once exported and nobody deleted
    archive = folder.parent / "archive"
    numpy = frames["numpy"]
    write_jsonl(numpy[: numpy.height * 7 // 10], archive / "numpy_old.jsonl.gz")
    write_csv(frames["networkx"], archive / "networkx_export.csv")
    write_parquet(frames["licences"].filter(pl.col("text").str.contains("Apache")), archive / "apache_licences.parquet")
    write_parquet(frames["networkx"].drop("text"), archive / "networkx_titles.parquet")
    summary.contained += [
        Contained("archive/numpy_old.jsonl.gz", ("documentation/scientific",), "older version"),
        Contained("archive/networkx_export.csv", ("documentation/networkx.parquet",), "copy"),
        Contained("archive/apache_licences.parquet", ("documentation/licences.csv.zst",), "extract"),
        Contained("archive/networkx_titles.parquet", ("documentation/networkx.parquet",), "projection"),
    ]
    # plain text: a record a line, and a record a file
    write_lines([t.text for t in texts["readmes"][:400]], folder.parent / "plain" / "readme_lines.txt.gz")
    for name in ("numpy", "scipy", "click", "rich"):
        parts = [t.text for t in texts["licences"] if t.package.lower() == name]
        if parts:
            write_bytes(folder.parent / "plain" / "files" / f"{name}_licence.txt", "\n\n".join(parts).encode())
    summary.text_records += sum(frame.height for frame in frames.values())
    summary.text_bytes += sum(int(frame["text"].str.len_bytes().sum()) for frame in frames.values())


def _write_translations(folder: Path, summary: Summary, *, allow_missing: bool) -> None:
    for name, locales in TRANSLATIONS.items():
        try:
            records = translations(locales)
        except source.MissingDistributionError:
            if not allow_missing:
                raise
            return
        frame = pl.DataFrame(records, schema=["id", "language", "locale", "source", "text"], orient="row")
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
    """Write what every lake has a little of; the good rows in these files are real and should survive."""
    frame = _frame(records[-40:])
    write_parquet(frame, folder / "truncated.parquet")
    whole = (folder / "truncated.parquet").read_bytes()
    (folder / "truncated.parquet").write_bytes(whole[: len(whole) * 2 // 3])
    lines = [orjson.dumps(row) for row in frame[:20].to_dicts()]
    lines[9] = lines[9][: len(lines[9]) // 2]  # a writer that was stopped, and another that went on
    write_bytes(folder / "broken_line.jsonl", b"\n".join(lines) + b"\n")
    rows = ["id,title,text"]
    rows += [f'{t.package}-{i},"{t.title}","{" ".join(t.text.split())[:900].replace(chr(34), chr(39))}"' for i, t in enumerate(records[:12])]
    rows[4] += ",one field too many"
    rows[8] = rows[8].split(",")[0]
    write_bytes(folder / "ragged.csv", ("\n".join(rows) + "\n").encode())
    write_bytes(folder / "empty.csv", b"")


def _make_room(dest: Path) -> None:
    mark = dest / ".sample_lake"
    if dest.is_dir() and mark.exists():
        shutil.rmtree(dest)
    elif dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        message = f"{dest} exists and is no sample lake; name a new folder, or empty this one yourself"
        raise DestinationError(message)
    dest.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(b"built by examples/build_sample_lake.py; replaced by the next build\n")


def _finish(lake: Path, summary: Summary) -> None:
    files = [path for path in sorted(lake.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    summary.files = len(files)
    summary.bytes = sum(path.stat().st_size for path in files)
    summary.tables = len({_table_of(path.relative_to(lake).parts) for path in files})


def _table_of(parts: Sequence[str]) -> tuple[str, ...]:
    """Fold the folders that are one table: Delta, hive, and the Parquet folders of one schema."""
    for depth, part in enumerate(parts):
        if part == "_delta_log" or "=" in part or part.startswith("part-"):
            return tuple(parts[:depth])
    return tuple(parts[:2]) if parts[1] == "scientific" else tuple(parts)


def _sample(records: list[Text], share: float) -> list[Text]:
    return [record for record in records if _hash("sample", record.id) < share * 2.0**64]


def _hash(salt: str, identity: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{salt}\0{identity}".encode(), digest_size=8).digest(), "big")


def _frame(records: Sequence[Text]) -> pl.DataFrame:
    return pl.DataFrame(records, schema=dict.fromkeys(Text._fields, pl.String), orient="row")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Build the sample lake from installed packages; needs no network.")
    parser.add_argument("dest", type=Path, help="a new folder, or an earlier sample lake, which is replaced")
    parser.add_argument("--megabytes", type=float, default=60.0, help="the most that it may take on disk (default 60)")
    parser.add_argument("--allow-missing", action="store_true", help="leave out what is not installed")
    parser.add_argument("--workers", type=int, default=2, help="processes that parse source (default 2)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        summary = build(options.dest, target_bytes=int(options.megabytes * 1e6), workers=options.workers, allow_missing=options.allow_missing)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2).decode())
        return 0
    languages = ", ".join(f"{k} {v}" for k, v in sorted(summary.languages.items(), key=lambda item: -item[1]))
    print(f"{summary.destination}: {summary.tables} tables in {summary.files} files, {summary.bytes / 1e6:.1f} MB")
    print(f"text: {summary.text_records:,} records, {summary.text_bytes / 1e6:.1f} MB; translations: {languages or 'none'}")
    print(f"evaluation: {summary.evaluation}; contained tables: {len(summary.contained)}; {time.monotonic() - began:.1f} s")
    if summary.missing:
        print(f"left out, because not installed: {', '.join(summary.missing)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
