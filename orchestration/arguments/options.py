"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path

import click

from orchestration.arguments.paths import DataPath

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document for machines."
)
sample_option = click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="A trial on this share of the records, by id, in OUTPUT.sample-SHARE.",
)
wait_option = click.option(
    "--wait",
    "wait_seconds",
    type=float,
    default=0.0,
    help="Seconds to wait for another run to end.",
)
recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
output_option = click.option(
    "--output", type=click.Path(path_type=Path), help="The output root itself, instead of a recipe."
)
files_argument = click.argument("files", nargs=-1, type=DataPath(), metavar="FILE...")
id_option = click.option(
    "--id", "id_column", metavar="COL", help="Identifies records; path#position without it."
)
text_option = click.option("--text", metavar="COL", help="The column with the text.")
label_option = click.option("--label", metavar="COL", help="The column with the label.")
features_option = click.option(
    "--features", metavar="A,B,...", help="Columns of numbers, for records without text."
)
embedding_option = click.option(
    "--embedding", metavar="COL", help="A column of lists of numbers: vectors of yours."
)
dimensions_option = click.option(
    "--dimensions", type=click.IntRange(8, 8192), default=256, show_default=True
)
embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    default="hashed",
    show_default=True,
    help="What makes vectors: hashed, minilm, or an encoder's folder or hub id.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True)
list_option = click.option("--list", "listed", is_flag=True, help="Print every method instead.")
table_out_option = click.option(
    "--out", type=click.Path(path_type=Path), help=".parquet, .csv or .jsonl."
)


def listed_names(names: str | None) -> tuple[str, ...]:
    """Split what was given as ``A,B,...``."""
    return tuple(filter(None, (name.strip() for name in (names or "").split(","))))
