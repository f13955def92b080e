"""Search the tables of any folder for containment: no recipe, and nothing is written into it."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from assets.containment.described_cache import DescribedCache
from assets.containment.edges import PairCounter
from assets.containment.folder_tables import UNREADABLE, FolderTables
from assets.containment.hash_parts import PartStore
from assets.containment.hash_store import HashStore, Progress
from assets.containment.pair_ledger import PairLedger
from assets.containment.paper import paper_edges
from assets.containment.paper_content import PaperSettings
from assets.containment.renamed import renamed_edges
from assets.containment.room import Room
from assets.containment.sampling import Sampling
from assets.containment.search import find_edges
from assets.containment.source_tables import Cells
from assets.containment.table_versions import with_versions
from assets.containment.union_search import find_unions
from assets.containment.unions import UNION_SCHEMA
from assets.ingestion.discover import discover
from assets.ingestion.model import MIB
from assets.kernels.cell_hash import Equality

PROGRAM_BYTES = 416 * MIB
_LEAST_BYTES = 64 * MIB
_FOOTERS = "\0footers"  # no table's name


@dataclass(frozen=True)
class FolderSearch:
    """What a search of a folder found.

    Attributes
    ----------
    edges
        As in `containment/edges`, without versions.
    stages
        What each stage took in and let out, read, and took in seconds.
    bytes
        Size on disk by readable table; an earlier version of a table counts nothing, since removing
        it is a matter of the table's own log.
    unreadable
        Why a name in the folder was not compared, by table.
    retired
        What became of a retired table, by table; it is not compared.
    set_aside
        Records that a reader rejected, by table, of the tables that were read whole.
    notes
        What was changed to make a file a table, by table.
    rows_read
        Rows of all tables that were read whole.
    coincidences
        Edges left out since their rows carry too little information.
    unions
        As of `find_unions`; empty unless they were asked for.
    """

    edges: pl.DataFrame
    stages: pl.DataFrame
    bytes: dict[str, int]
    unreadable: dict[str, str]
    retired: dict[str, str]
    set_aside: dict[str, int]
    notes: dict[str, list[str]]
    rows_read: int
    coincidences: int
    unions: pl.DataFrame

    @property
    def set_aside_share(self) -> float:
        """The share of what was looked at that was set aside; an unreadable table counts as one row."""
        aside = sum(self.set_aside.values()) + len(self.unreadable)
        total = self.rows_read + aside
        return aside / total if total else 0.0


def search_folder(
    lake: Path,
    *,
    equality: Equality = "value",
    min_containment: float = 0.9,
    min_rows: int = 1,
    workers: int = 1,
    memory_bytes: int = 2048 * MIB,
    cache: Path | None = None,
    renamed: bool = False,
    versions: bool = False,
    unions: bool = False,
    sampling: Sampling | None = None,
    paper: PaperSettings | None = None,
    progress: Progress | None = None,
) -> FolderSearch:
    """Search a folder.

    Parameters
    ----------
    lake
        The folder; it is only read.
    equality, min_containment, min_rows, workers, progress
        As in `find_edges`.
    memory_bytes
        About what the process may take in all. Hashes beyond their share go to files.
    cache
        Where hashes are kept for the next search; without it files go to a temporary folder that is
        removed at the end.
    renamed
        Look for children whose columns have other names in the parent, too.
    versions
        Take each earlier version of a Delta table that can still be opened as a table of its own,
        named TABLE@VERSION.
    unions
        Look for tables that two or three others hold together, too.
    sampling
        Estimate from a sample of each child, see `find_edges`.
    paper
        Search as R2D2 is published instead, see `paper_edges`; `min_containment` has no part in it.

    Returns
    -------
    FolderSearch
        The same for any number of workers and any memory.

    Raises
    ------
    SourceError
        If the lake is no readable folder.

    Notes
    -----
    Cost: each table is read once, and a second time if it is not small and its types must be
    inferred (CSV under `value` and `typed`; under `text` only tables of edges whose types differ).
    A large table whose column names fit no other's is not read beyond its start.
    """
    told = progress or (lambda message, done, total: None)
    spare = max(memory_bytes - PROGRAM_BYTES, _LEAST_BYTES)
    start = time.perf_counter()
    kept = DescribedCache(cache) if cache else None
    opened_before = (kept.load(_FOOTERS, str(lake.resolve())) if kept else None) or {}
    found = discover(lake, footers=opened_before)
    if kept and dict(found.footers) != opened_before:
        kept.save(_FOOTERS, str(lake.resolve()), dict(found.footers))
    present = {source.table for source in found.sources}
    if versions:
        found = with_versions(found)
    earlier = {source.table for source in found.sources} - present
    folder = FolderTables(found, equality, Room(spare // 4), workers)
    before = folder.restore(kept) if kept else {}
    described = folder.describe(told, every=renamed, by_file=min_containment >= 1.0)
    opened = {
        "stage": "tables",
        "candidates_in": len(found.sources) + len(found.unreadable),
        "candidates_out": len(described),
        "tables": len(described),
        "rows": sum(table.rows or 0 for table in folder.tables.values()),
        "bytes_read": sum(table.take_bytes_read() for table in folder.tables.values()),
        "seconds": round(time.perf_counter() - start, 3),
    }
    with ExitStack() as stack:
        place = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))

        def store(kind: Equality, cells: Cells, share: int) -> HashStore:
            return PartStore(
                described,
                folder.reader(cells),
                kind,
                place,
                memory_bytes=0 if cache else share,
                keep=cache is not None,
                workers=workers,
                tolerate=UNREADABLE,
                parts=folder.parts(cells),
                cost=lambda table: folder.tables[table].take_bytes_read(),
            )

        by_text = equality == "text"
        hashes = store(equality, "text" if by_text else "typed", spare // 4)
        if paper is not None:
            result = paper_edges(described, hashes, paper, min_rows=min_rows, progress=progress)
        else:
            result = find_edges(
                described,
                hashes,
                by_value=store("value", "typed", spare // 8) if by_text else None,
                proofs=folder.proofs(),
                ledger=PairLedger(cache, f"{lake.resolve()}:{equality}") if cache else None,
                sampling=sampling,
                min_containment=min_containment,
                min_rows=min_rows,
                workers=workers,
                count_bytes=spare // 3 if cache else spare // 4,  # with a cache no hashes are held
                progress=progress,
            )
        edges, stages = result.edges, result.stages
        covered = find_unions(result, described) if unions else pl.DataFrame(schema=UNION_SCHEMA)
        if renamed:
            others, stage = renamed_edges(
                described,
                PairCounter(hashes, workers, spare // 4),
                min_containment=min_containment,
                min_rows=min_rows,
                progress=progress,
            )
            edges = pl.concat([edges, others]).sort("child", "parent")
            stages = pl.concat([stages, pl.DataFrame([stage])])
    folder.unreadable.update(hashes.failed)
    if kept:
        folder.keep(kept, before)
    readable = {name: table for name, table in folder.tables.items() if name in described}
    return FolderSearch(
        edges,
        pl.concat([pl.DataFrame([opened]), stages]),
        {name: 0 if name in earlier else table.bytes for name, table in readable.items()},
        dict(sorted(folder.unreadable.items())),
        {entry.table: entry.reason for entry in found.retired},
        {name: table.rejected for name, table in readable.items() if table.rejected},
        {name: table.notes for name, table in readable.items() if table.notes},
        sum(table.rows or 0 for table in readable.values()),
        result.coincidences,
        covered,
    )
