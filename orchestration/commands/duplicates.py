"""`sluice duplicates`: duplicates in any files with a text column, an index of them, and what it holds already."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.arguments.paths import DataPath

if TYPE_CHECKING:
    from assets.deduplication.file_texts import FileTexts

_FILE = DataPath()
_FOLDER = DataPath(file_okay=False)
_OUT = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, type=_FILE, metavar="FILE...")
@click.option("--text", required=True, metavar="COL", help="The column with the text.")
@click.option(
    "--id", "id_column", metavar="COL", help="Identifies records; path#position without it."
)
@click.option(
    "--similarity", type=click.FloatRange(0, 1, min_open=True), default=0.8, show_default=True
)
@click.option("--shingle", metavar="word:N|char:N", help="word:5, or the index's own.")
@click.option(
    "--measure",
    type=click.Choice(["jaccard", "containment"]),
    default="jaccard",
    show_default=True,
    help="containment: a short text inside a long one.",
)
@click.option(
    "--normalise",
    metavar="STEP+STEP",
    help="What counts as the same text: none (the default), bom, line_endings, whitespace, nfc, nfkc, case.",
)
@click.option(
    "--mode", type=click.Choice(["star", "components"]), default="star", show_default=True
)
@click.option(
    "--survivor",
    default="longest",
    show_default=True,
    metavar="WISH,...",
    help="Which is kept: source (files as named), longest, max:COL, min:COL; then the content's hash.",
)
@click.option("--exhaustive", is_flag=True, help="Miss no pair; slower.")
@click.option(
    "--out", type=_OUT, help="Write the clusters (or, with --query, the answers) here, as Parquet."
)
@click.option("--pairs", type=_OUT, help="Write every verified pair here, as Parquet.")
@click.option(
    "--index", type=_OUT, help="Write an index of the files here, a Delta table, or add to it."
)
@click.option(
    "--query", multiple=True, type=_FILE, metavar="FILE", help="Ask for these records ..."
)
@click.option("--against", type=_FOLDER, metavar="INDEX", help="... whether the index holds them.")
@click.option(
    "--spans",
    type=click.IntRange(min=1),
    metavar="K",
    help="Find spans of K tokens or more that texts share, instead of whole duplicates.",
)
@click.option("--spans-out", type=_OUT, help="Write the spans with their offsets here, as Parquet.")
@click.option(
    "--remove-spans",
    type=_OUT,
    metavar="OUT",
    help="Write the texts here without the spans that another record keeps, as Parquet.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for machines.")
def duplicates(
    files: tuple[Path, ...],
    *,
    text: str,
    id_column: str | None,
    similarity: float,
    shingle: str | None,
    measure: str,
    normalise: str | None,
    mode: str,
    survivor: str,
    exhaustive: bool,
    out: Path | None,
    pairs: Path | None,
    index: Path | None,
    query: tuple[Path, ...],
    against: Path | None,
    spans: int | None,
    spans_out: Path | None,
    remove_spans: Path | None,
    as_json: bool,
) -> None:
    """Find duplicates among the records of any files, or ask an index for them."""
    if bool(query) != (against is not None):
        message = "--query FILE and --against INDEX go together"
        raise click.UsageError(message)
    if bool(files) == bool(query):
        message = "give FILE... to compare files with one another, or --query FILE --against INDEX"
        raise click.UsageError(message)
    if spans is None and (spans_out is not None or remove_spans is not None):
        message = "--spans-out and --remove-spans need --spans K"
        raise click.UsageError(message)
    if spans is not None and query:
        message = "--spans compares FILE... with one another, so it has no --query"
        raise click.UsageError(message)
    if spans is not None:
        texts = _texts(files, text, id_column, normalise)
        _tell(_spans(texts, spans, _wishes(survivor), spans_out, remove_spans), as_json=as_json)
        return
    if against is not None:
        told = _ask(
            _texts(query, text, id_column, normalise),
            against,
            shingle,
            normalise,
            {"similarity": similarity, "measure": measure, "exhaustive": exhaustive},
            out,
            pairs,
        )
        _tell(told, as_json=as_json)
        return
    if index is not None:
        texts = _texts(files, text, id_column, normalise)
        _tell(_write_index(texts, index, shingle, similarity), as_json=as_json)
        if out is None and pairs is None:
            return
    from assets.deduplication.files import duplicates_of_files, file_source

    found = duplicates_of_files(
        [source for file in files for source in file_source(file)],
        text,
        similarity,
        shingle or "word:5",
        id_column=id_column,
        mode=mode,
        measure=measure,
        normalise=normalise or "none",
        order=_wishes(survivor),
        exhaustive=exhaustive,
    )
    if out is not None:
        found.clusters.write_parquet(out)
    if pairs is not None:
        found.pairs().write_parquet(pairs)
    clusters = found.clusters
    dropped = int((clusters["id"] != clusters["keeper"]).sum())
    told = {
        "records": found.records,
        "set_aside": found.rejected,
        "clusters": clusters["cluster"].n_unique(),
        "dropped": dropped,
        "pairs_verified": found.near.candidates,
        "large_buckets": found.near.large_buckets,
        "expected_miss_at_threshold": found.near.expected_miss,
        "largest": found.report.to_dicts(),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(
        f"{found.records:,} records, {told['clusters']:,} clusters, {dropped:,} records that another stands for; "
        f"{found.rejected:,} set aside"
    )
    for row in found.report.head(10).iter_rows(named=True):
        told_of = f"weakest pair {row['weakest']:.3f}, diameter {row['diameter']}"
        click.echo(f"  {row['size']:>8,} records, {told_of}  {row['cluster']}")


def _texts(
    files: Sequence[Path], text: str, id_column: str | None, normalise: str | None
) -> FileTexts:
    from assets.deduplication.file_texts import FileTexts
    from assets.deduplication.files import file_source

    sources = [source for file in files for source in file_source(file)]
    return FileTexts(sources, text, id_column, normalise or "none")


def _wishes(survivor: str) -> list[str]:
    return [wish.strip() for wish in survivor.split(",") if wish.strip()]


def _write_index(
    texts: FileTexts, folder: Path, shingle: str | None, similarity: float
) -> dict[str, Any]:
    from assets.deduplication.index import index_scheme, write_index
    from assets.deduplication.minhash import choose_bands
    from assets.deduplication.scheme import Scheme

    bands, rows = choose_bands(similarity)
    there = index_scheme(folder)
    scheme = Scheme(shingle or "word:5", texts.normalise, bands * rows, 1)
    if there is not None and shingle is None:
        scheme = there
    count = write_index(folder, texts, scheme)
    return {
        "index": str(folder),
        "records_added": count,
        "set_aside": texts.rejected,
        "scheme": str(scheme),
    }


def _spans(
    texts: FileTexts, tokens: int, order: list[str], out: Path | None, without: Path | None
) -> dict[str, Any]:
    from assets.deduplication.file_spans import spans_of_files, write_without_spans

    found = spans_of_files(texts, tokens, order=order)
    told = {
        "records": found.records,
        "set_aside": texts.rejected,
        "distinct_texts": found.distinct,
        "spans": found.spans.height,
        "records_with_a_span": found.spans["id"].n_unique(),
        "longest_in_tokens": found.spans["tokens"].max() or 0,
        "removable_characters": int((found.cuts["end"] - found.cuts["start"]).sum()),
    }
    if out is not None:
        found.spans.write_parquet(out)
    if without is not None:
        told["characters_removed"] = write_without_spans(without, texts, found.cuts)
    return told


def _ask(
    texts: FileTexts,
    folder: Path,
    shingle: str | None,
    normalise: str | None,
    settings: dict[str, Any],
    out: Path | None,
    pairs: Path | None,
) -> dict[str, Any]:
    from assets.deduplication.errors import IndexSchemeError
    from assets.deduplication.index import IndexReader
    from assets.deduplication.index_query import query_index

    reader = IndexReader(folder)
    asked = (shingle or reader.scheme.shingle, normalise or reader.scheme.normalise)
    if asked != (reader.scheme.shingle, reader.scheme.normalise):
        message = (
            f"{folder} holds {reader.scheme.shingle} of texts normalised by {reader.scheme.normalise}, "
            f"and {asked[0]} by {asked[1]} was asked for; leave --shingle and --normalise out"
        )
        raise IndexSchemeError(message)
    texts = type(texts)(
        texts.sources, texts.text, texts.id_column, reader.scheme.normalise, texts.options
    )
    found = query_index(reader, texts, all_pairs=pairs is not None, **settings)
    if out is not None:
        found.answers.write_parquet(out)
    if pairs is not None:
        found.pairs.write_parquet(pairs)
    there = found.answers.drop_nulls("match")
    return {
        "records": found.answers.height,
        "set_aside": texts.rejected,
        "already_there": there.height,
        "of_these_alike_in_full": int((there["similarity"] == 1.0).sum()),
        "expected_miss_at_threshold": found.expected_miss,
        "index": str(folder),
        "scheme": str(reader.scheme),
    }


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        shown = f"{value:,}" if isinstance(value, int) else value
        click.echo(f"{name.replace('_', ' '):>28}: {shown}")
