"""Identities of records: `record_id` says which row it is, `content_id` what a model would learn from it.

Both are 32 hex digits of a keyed 128-bit BLAKE2b. The key and the person string name the purpose
and the encoding's version, so
ids of different kinds or versions can't be mixed up. Equal rows of one table are told apart by
their occurrence number among equal rows, which doesn't depend on which of them comes first: they are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from assets.kernels.canonical import SCHEME, encode_cells, encode_rows
from assets.kernels.occurrences import KEY_BYTES, Occurrences

_RECORD = b"sluice record"
_CONTENT = b"sluice content"
_ROW = b"sluice row"


def keyed_digests(values: pa.Array, purpose: bytes, prefix: bytes = b"") -> list[str]:
    """Hash byte strings to 32 hex digits each, keyed by purpose and encoding version; about 1 microsecond a value."""
    base = hashlib.blake2b(prefix, digest_size=16, key=purpose, person=SCHEME.encode())
    out = []
    for value in values.to_pylist():
        digest = base.copy()
        digest.update(value or b"")
        out.append(digest.hexdigest())
    return out


class RecordIds:
    """Number the records of one table, batch by batch.

    Parameters
    ----------
    table
        The table's name (its path relative to the lake).
    id_column
        The column that identifies a record, or None: the whole typed row does, with its occurrence
        number among equal rows.

    Notes
    -----
    Keeps 16 bytes and a counter for every distinct row of the table (40 to 80 bytes).
    Ids survive reordering, re-chunking and re-ingestion, because nothing of position or layout enters.

    Attributes
    ----------
    repeated
        The first value of `id_column` that came twice, or None. Such ids are numbered by arrival,
        which order can change: the caller refuses them.
    """

    def __init__(self, table: str, id_column: str | None = None) -> None:
        self.table = table
        self.id_column = id_column
        self.repeated: object = None
        self._seen = Occurrences()
        name = table.encode()
        self._prefix = (
            len(name).to_bytes(8, "big") + name + (b"c" if id_column is not None else b"r")
        )

    def add(
        self, rows: pa.Table | pa.RecordBatch, columns: Sequence[str] | None = None
    ) -> list[str]:
        """Return the record ids of the next rows.

        Parameters
        ----------
        rows
            The typed rows.
        columns
            The columns of the source (positions and other helpers left out); all by default.
        """
        if self.id_column is not None:
            encoded = encode_cells(rows.column(self.id_column))
        else:
            encoded = encode_rows(rows, columns)
        values = encoded.to_pylist()
        keys = [
            hashlib.blake2b(value, digest_size=KEY_BYTES, key=_ROW).digest() for value in values
        ]
        numbers = self._seen.add(b"".join(keys)).tolist()
        base = hashlib.blake2b(self._prefix, digest_size=16, key=_RECORD, person=SCHEME.encode())
        out = []
        for row, (value, number) in enumerate(zip(values, numbers, strict=True)):
            if number and self.id_column is not None and self.repeated is None:
                self.repeated = rows.column(self.id_column)[row].as_py()
            digest = base.copy()
            digest.update(value)
            digest.update(number.to_bytes(8, "big"))
            out.append(digest.hexdigest())
        return out


def content_ids(kind: str, values: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Identify what is learned from: text, a list of features, or a uri; label and groups don't enter.

    Parameters
    ----------
    kind
        `text`, `features` or `uri`; part of the identity.
    values
        One value a record; null gives null.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    digests = keyed_digests(encode_cells(array), _CONTENT, kind.encode() + b":")
    valid = array.is_valid().to_pylist()
    return [digest if ok else None for digest, ok in zip(digests, valid, strict=True)]
