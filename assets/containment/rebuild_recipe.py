"""Write down how a table is rebuilt from held parents: what it is, which rows, and in which manner it is written."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assets.containment.certificate import Positions
from assets.containment.delta_rebuild import delta_manner
from assets.containment.held_parents import HeldParent
from assets.containment.parquet_rebuild import parquet_manner
from assets.containment.predicates import learn
from assets.containment.rebuild import EXTRA, PATCH, content_of, gather
from assets.containment.row_choice import BITMAP, ORDER, bitmap, pack_order, split
from assets.containment.schema_graph import flat_schema
from assets.containment.text_rebuild import make_patch, manner_of, packing_of, predict
from assets.ingestion.delta_files import open_delta
from assets.ingestion.model import POSITION_COLUMN, ReadOptions, Source
from assets.ingestion.register import stays_in_place
from resources.errors import CheckError
from resources.held import hash_file

MOST_EXTRA_BYTES = 1 << 20
"""Files in a table's folder that are no part of it are kept along up to this size, all together."""


def shape_of(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the flattened names of each column, in order."""
    return {
        name: list(flat_schema(pa.schema([schema.field(name)]), "typed"))
        for name in schema.names
        if name != POSITION_COLUMN
    }


def describe_source(source: Source, folder: Path) -> dict[str, Any]:
    """Describe a table as it is on disk, and copy small files beside its own into a record's folder.

    Raises
    ------
    CheckError
        If there are links, or too many bytes of other files in its folder.
    """
    path = source.path
    if path.is_symlink() or (path.is_dir() and any(p.is_symlink() for p in path.rglob("*"))):
        message = (
            f"{path} is or holds a symbolic link, which a restore would not bring back; replace it"
        )
        raise CheckError(message)
    own = {file.path for file in source.files}
    files = [_described(path, file.path, extra=False) for file in source.files]
    others = [p for p in sorted(path.rglob("*")) if p.is_file() and p not in own]
    if source.format == "delta":
        others = [p for p in others if not _of_delta(p.relative_to(path))]
    size = sum(p.stat().st_size for p in others)
    if size > MOST_EXTRA_BYTES:
        message = (
            f"{path} holds other files than the table's ({others[0].name}, … {size:,} bytes), which would go "
            "with it; move them elsewhere"
        )
        raise CheckError(message)
    for other in others:
        target = folder / EXTRA / other.relative_to(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(other, target)
        files.append(_described(path, other, extra=True))
    told: dict[str, Any] = {
        "table": source.table,
        "kind": "folder" if path.is_dir() else "file",
        "format": source.format,
        "compression": source.compression,
        "text": not stays_in_place(source),
        "files": files,
    }
    if source.format == "delta":
        table = open_delta(path)
        told["delta"] = [str(table.metadata().id), table.version()]
    return told


def _described(root: Path, path: Path, *, extra: bool) -> dict[str, Any]:
    status = path.stat()
    return {
        "relative": "" if path == root else path.relative_to(root).as_posix(),
        "bytes": status.st_size,
        "hash": hash_file(path),
        "mtime_ns": status.st_mtime_ns,
        "extra": extra,
    }


def _of_delta(path: Path) -> bool:
    return (
        path.parts[0] in ("_delta_log", "_change_data")
        or path.suffix in (".parquet", ".crc")
        or path.name.startswith("deletion_vector_")
    )


def choose_rows(
    positions: Positions,
    parents: Sequence[HeldParent],
    total: int,
    folder: Path,
) -> dict[str, Any]:
    """Write down which rows are taken: by a predicate where one is exact, else by a bitmap.

    Parameters
    ----------
    positions
        Of each row, over all parents.
    parents
        In the order of their positions.
    total
        Positions of all parents.
    folder
        The record's, where the bitmap and the order go.
    """
    distinct, order = split(positions)
    told: dict[str, Any] = {
        "kind": "bitmap",
        "rows": int(distinct.size),
        "repeated_rows": int(positions.size - distinct.size),
        "order": order is not None,
    }
    if order is not None:
        (folder / ORDER).write_bytes(pack_order(order))
    predicate = None
    if len(parents) == 1:
        wanted = np.zeros(total, np.bool_)
        wanted[distinct] = True

        def labelled() -> Iterator[tuple[pa.Table, Any]]:
            for batch in parents[0].batches():
                yield batch, wanted[batch.column(POSITION_COLUMN).to_numpy()]

        predicate = learn(labelled, list(parents[0].types))
    if predicate is None:
        (folder / BITMAP).write_bytes(bitmap(distinct, total))
        return told
    kind = "predicate" if predicate else "all"
    return {
        **told,
        "kind": kind,
        "conditions": [one.plain() for one in predicate],
        "text": [str(one) for one in predicate],
    }


def choose_manner(
    source: Source,
    told: Mapping[str, Any],
    shape: Mapping[str, Sequence[str]],
    positions: Positions,
    parents: Sequence[HeldParent],
    options: ReadOptions,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write down how the table's files are written; the patch of a text file goes to `folder`.

    Returns
    -------
    tuple
        The manner, and what it adds to `source`: the promise (for Parquet `rows`, until the trial shows that
        the bytes come out the same) and the hash of a text file's content.
    """
    if source.format == "delta":
        return delta_manner(source), {"promise": "rows"}
    if not told["text"]:
        files = [
            {"relative": file["relative"], **parquet_manner(_at(source.path, file["relative"]))}
            for file in told["files"]
            if not file["extra"]
        ]
        return {"files": files}, {"promise": "rows"}
    content = content_of(source.path, source.compression)
    if source.format == "parquet":  # compressed as a whole: what is in it is not text
        message = f"{source.path} is a compressed Parquet file; decompress it, so that it can be written again"
        raise CheckError(message)
    rows = gather(parents, shape, positions, as_written=True)
    manner = manner_of(source.format, rows, content, options)
    patch = make_patch(predict(rows, manner), content)
    if patch is not None:
        (folder / PATCH).write_bytes(patch)
    packed = b"" if source.compression == "none" else source.path.read_bytes()
    packing = packing_of(source.compression, packed, content)
    more = {
        "promise": "bytes" if packing["same"] else "content",
        "content_hash": hashlib.blake2b(content, digest_size=16).hexdigest(),
    }
    return {"rows": manner, "packing": packing}, more


def _at(root: Path, relative: str) -> Path:
    return root / relative if relative else root


def total_bytes(files: Iterable[Mapping[str, Any]]) -> int:
    """Sum the bytes of described files."""
    return sum(int(file["bytes"]) for file in files)
