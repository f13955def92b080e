"""Take the earlier versions of a lake's Delta tables as tables of their own."""

from __future__ import annotations

from dataclasses import replace

from assets.ingestion.delta_files import open_delta
from assets.ingestion.model import Discovery, Source, SourceError, Unreadable


def with_versions(found: Discovery) -> Discovery:
    """Add a table TABLE@VERSION for each version of a Delta table before the present one.

    Parameters
    ----------
    found : Discovery
        A lake, with each Delta table at its present version.

    Returns
    -------
    Discovery
        With every version that the log's entries name. One that the log can no longer restore, or
        whose name another table has, is set apart with the reason.

    Notes
    -----
    Cost: each version's log is read. Data files are not looked at: those that were vacuumed are
    missed only where rows must be read.
    """
    sources, unreadable = list(found.sources), list(found.unreadable)
    taken = {source.table for source in sources}
    for source in found.sources:
        for version in _earlier(source):
            name = f"{source.table}@{version}"
            if name in taken:
                reason = f"version {version} of {source.table} can't be listed: the name is taken"
                unreadable.append(Unreadable(name, source.path, reason))
                continue
            try:
                metadata = open_delta(source.path, version).metadata()
            except SourceError as error:
                unreadable.append(Unreadable(name, source.path, error.reason))
                continue
            columns = tuple(metadata.partition_columns)
            sources.append(
                replace(
                    source,
                    table=name,
                    version=version,
                    table_id=str(metadata.id),
                    partition_columns=columns,
                )
            )
    return Discovery(
        tuple(sorted(sources, key=lambda source: source.table)),
        tuple(sorted(unreadable, key=lambda entry: entry.table)),
        found.footers,
    )


def _earlier(source: Source) -> list[int]:
    if source.format != "delta" or source.version is None:
        return []
    entries = (source.path / "_delta_log").glob("*.json")
    found = sorted(int(entry.stem) for entry in entries if entry.stem.isdigit())
    return [version for version in found if version < source.version]
