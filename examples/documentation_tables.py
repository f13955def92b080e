"""Gather the documentation of installed packages, set evaluation apart, write it as tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from packaging.utils import canonicalize_name

from examples import installed_text
from examples.installed_files import (
    MissingDistributionError,
    dependency_closure,
    installed,
    list_files,
)
from examples.lake_files import (
    write_bytes,
    write_csv,
    write_delta,
    write_json,
    write_jsonl,
    write_lines,
    write_parquet,
)
from examples.lake_summary import Contained, Summary
from examples.source_text import docstrings, functions
from examples.text_parts import Text

# The direct dependencies of the project, and Django for its translations: READMEs, licences and
# guides are taken from these and from what they need, so that development tools make no difference.
ROOTS = (
    "click", "dagster", "dagster-dg-cli", "dagster-webserver", "datasketch", "deltalake", "django",
    "matplotlib", "numba", "numpy", "orjson", "polars", "pyarrow", "pydantic", "pyyaml", "rich",
    "scikit-learn", "scipy", "torch", "xxhash", "zstandard",
)  # fmt: skip

# Docstrings by distribution: bytes of text at full size. The caps keep one large distribution from
# being half of the lake.
DOCSTRING_BYTES = {
    "numpy": 1_600_000, "scipy": 3_500_000, "scikit-learn": 3_000_000, "torch": 2_400_000,
    "polars": 1_800_000, "dagster": 900_000, "sympy": 2_600_000, "networkx": 1_900_000,
    "matplotlib": 1_300_000, "sqlalchemy": 2_100_000, "django": 300_000,
}  # fmt: skip

CODE_BYTES = {
    "networkx": 500_000,
    "click": 330_000,
    "rich": 400_000,
    "jinja2": 330_000,
    "joblib": 260_000,
}


class Done:
    """What `Executor.submit` gives, computed when asked for, in this process."""

    def __init__(self, call: Callable[..., list[Text]], /, *args: object, **kwargs: object) -> None:
        self.result = partial(call, *args, **kwargs)


def gather(
    share: float, summary: Summary, submit: Callable[..., Any], *, allow_missing: bool
) -> dict[str, list[Text]]:
    """Return the texts of all sources by table, sampled down to `share`.

    `submit` runs a call and gives something with a `result()`: `Executor.submit`, or `Done` for
    this process. Distributions that are not installed are added to `summary.missing` when
    `allow_missing`, else they raise `MissingDistributionError`.
    """
    roots = []
    for name in ROOTS:
        try:
            installed(name)
            roots.append(name)
        except MissingDistributionError:
            if not allow_missing:
                raise
            summary.missing.append(name)
    distributions = dependency_closure(roots)
    known = {str(canonicalize_name(item.name)) for item in distributions}
    parsed = {
        name: submit(docstrings, name, most_bytes=int(size * share))
        for name, size in sorted(DOCSTRING_BYTES.items(), key=lambda item: -item[1])
        if name in known
    }
    code = [
        submit(functions, name, most_bytes=int(size * share))
        for name, size in CODE_BYTES.items()
        if name in known
    ]
    files = list_files(distributions)
    texts: dict[str, list[Text]] = {}
    guides = installed_text.guides(files)
    texts["readmes"] = _sample(installed_text.readmes(distributions), share)
    texts["licences"] = _sample(installed_text.licences(files), share)
    texts["guides"] = [text for text in guides if text.kind == "guide"]
    texts["data"] = _sample([text for text in guides if text.kind == "data"], share)
    texts |= {name: parsed[name].result() for name in DOCSTRING_BYTES if name in parsed}
    texts["code"] = [record for future in code for record in future.result()]
    return texts


def write_evaluation_and_target(
    lake: Path, texts: dict[str, list[Text]], share: float, summary: Summary
) -> None:
    """Write the evaluation and target sets; take target and unseen texts out of `texts`.

    Of the evaluation set a third stays in `texts` word for word, and a third as it was before a
    small edit: the contamination that deduplication should find.
    """
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
    write_jsonl(text_frame(evaluation), lake / "evaluation" / "documentation.jsonl")
    write_jsonl(text_frame(sorted(target)), lake / "target" / "prose.jsonl")
    summary.evaluation = {use: len(picked[use]) for use in ("verbatim", "edited", "unseen")}
    summary.records |= {"evaluation": len(evaluation), "target": len(target)}


def _edit(text: Text) -> str:
    # what a rendered page adds and loses: a heading at the top, the last line
    lines = text.text.rstrip().split("\n")
    return (
        "\n".join([text.title, *lines[:-1]])
        if len(lines[-1].split()) * 12 < len(text.text.split())
        else "\n".join([text.title, *lines])
    )


def _is_prose(text: str) -> bool:
    if len(text.split()) < 80 or text.count(". ") + text.count(".\n") < 4:
        return False
    return sum(c.isalpha() or c == " " for c in text) >= 0.85 * len(text)


def write_documentation(folder: Path, texts: dict[str, list[Text]], summary: Summary) -> None:
    """Write documentation, its old exports and plain text; add counts to `summary`."""
    frames = {name: text_frame(records) for name, records in texts.items()}
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
    _write_archive(folder.parent / "archive", frames, summary)
    # plain text: a record a line, and a record a file
    write_lines(
        [t.text for t in texts["readmes"][:400]], folder.parent / "plain" / "readme_lines.txt.gz"
    )
    for name in ("numpy", "scipy", "click", "rich"):
        parts = [t.text for t in texts["licences"] if t.package.lower() == name]
        if parts:
            write_bytes(
                folder.parent / "plain" / "files" / f"{name}_licence.txt",
                "\n\n".join(parts).encode(),
            )
    summary.text_records += sum(frame.height for frame in frames.values())
    summary.text_bytes += sum(int(frame["text"].str.len_bytes().sum()) for frame in frames.values())


def _write_archive(archive: Path, frames: dict[str, pl.DataFrame], summary: Summary) -> None:
    """Write what somebody once exported and nobody deleted."""
    numpy = frames["numpy"]
    write_jsonl(numpy[: numpy.height * 7 // 10], archive / "numpy_old.jsonl.gz")
    write_csv(frames["networkx"], archive / "networkx_export.csv")
    write_parquet(
        frames["licences"].filter(pl.col("text").str.contains("Apache")),
        archive / "apache_licences.parquet",
    )
    write_parquet(frames["networkx"].drop("text"), archive / "networkx_titles.parquet")
    summary.contained += [
        Contained("archive/numpy_old.jsonl.gz", ("documentation/scientific",), "older version"),
        Contained("archive/networkx_export.csv", ("documentation/networkx.parquet",), "copy"),
        Contained(
            "archive/apache_licences.parquet", ("documentation/licences.csv.zst",), "extract"
        ),
        Contained(
            "archive/networkx_titles.parquet", ("documentation/networkx.parquet",), "projection"
        ),
    ]


def _sample(records: list[Text], share: float) -> list[Text]:
    return [record for record in records if _hash("sample", record.id) < share * 2.0**64]


def _hash(salt: str, identity: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(f"{salt}\0{identity}".encode(), digest_size=8).digest(), "big"
    )


def text_frame(records: Sequence[Text]) -> pl.DataFrame:
    """Return records as a frame of strings."""
    return pl.DataFrame(records, schema=dict.fromkeys(Text._fields, pl.String), orient="row")
