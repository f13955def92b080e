"""Write the rows of a text file again, byte for byte.

From the rows a file is *predicted*, in the manner that fits its beginning best (quotes, line ends, order
of keys); what the prediction misses is a *patch*: the file compressed by zstd with the prediction as its
dictionary. A perfect prediction needs none. So restored text is always the same bytes, and how alike
parent and child are written only decides how large the patch is.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import zstandard

from assets.ingestion.model import Compression, Format, ReadOptions

Manner = Mapping[str, Any]

_SAMPLE_ROWS = 1000
_LEVEL = 9
_MOST_WINDOW = 1 << 31


def manner_of(kind: Format, rows: pa.Table, content: bytes, options: ReadOptions) -> dict[str, Any]:
    """Choose the manner in which a file is written, by its beginning.

    Parameters
    ----------
    kind
        csv, tsv, json, jsonl or text.
    rows
        Its rows as they will be taken from the parents, the file's own columns in order.
    content
        The file, decompressed.
    options
        How it is read.

    Returns
    -------
    dict
        Plain data for `predict`.
    """
    first = rows.slice(0, _SAMPLE_ROWS)
    candidates = list(_manners(kind, content, options))

    def cost(manner: Manner) -> int:
        guess = predict(first, manner)
        if rows.num_rows > first.num_rows:
            guess = guess[: max(len(guess) - 64, 0)]
        return len(make_patch(guess, content[: len(guess)]) or b"")

    return min(candidates, key=cost) if len(candidates) > 1 else candidates[0]


def predict(rows: pa.Table, manner: Manner) -> bytes:
    """Write rows in a manner."""
    kind = manner["kind"]
    if kind in ("csv", "tsv"):
        body = _csv(rows, manner)
    elif kind == "text":
        body = manner["end"].join(v or "" for v in rows.column(0).to_pylist())
    else:
        body = _json(rows, manner)
    try:
        text: bytes = (manner["head"] + body + manner["tail"]).encode(manner["encoding"])
    except UnicodeEncodeError:
        text = (manner["head"] + body + manner["tail"]).encode("utf-8")
    return text


def make_patch(prediction: bytes, content: bytes) -> bytes | None:
    """Return what makes `content` of `prediction`; None if nothing is missing."""
    if prediction == content:
        return None
    if not prediction:
        return zstandard.ZstdCompressor(level=_LEVEL).compress(content)
    window = min(max((len(prediction) + len(content)).bit_length(), 10), 31)
    settings = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, source_size=len(content), dict_size=len(prediction), window_log=window
    )
    words = _dictionary(prediction)
    return zstandard.ZstdCompressor(dict_data=words, compression_params=settings).compress(content)


def apply_patch(prediction: bytes, patch: bytes | None) -> bytes:
    """Undo `make_patch`."""
    if patch is None:
        return prediction
    if not prediction:
        return zstandard.ZstdDecompressor().decompress(patch)
    words = _dictionary(prediction)
    return zstandard.ZstdDecompressor(dict_data=words, max_window_size=_MOST_WINDOW).decompress(
        patch
    )


def _dictionary(content: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def packing_of(kind: Compression, packed: bytes, content: bytes) -> dict[str, Any]:
    """Find the settings that compress `content` to the very bytes of `packed`, if usual ones do.

    Returns
    -------
    dict
        Plain data for `pack`; `same` says whether the bytes are the same.
    """
    if kind == "none":
        return {"kind": kind, "same": True}
    levels = [3, 1, 19, 6, 9, 10, 15] if kind == "zstd" else [6, 9, 1, 2, 3, 4, 5, 7, 8]
    head = packed[: _gzip_header(packed)].hex() if kind == "gzip" else None
    for level in levels:
        told = {"kind": kind, "level": level, "head": head, "same": True}
        if pack(content, told) == packed:
            return told
    return {"kind": kind, "level": levels[0], "head": None, "same": False}


def _gzip_header(packed: bytes) -> int:
    """Return the length of the first member's header (RFC 1952)."""
    flags, at = packed[3], 10
    if flags & 4:
        at += 2 + int.from_bytes(packed[at : at + 2], "little")
    for flag in (8, 16):  # name, comment
        if flags & flag:
            at = packed.index(b"\0", at) + 1
    return at + (2 if flags & 2 else 0)


def pack(content: bytes, told: Mapping[str, Any]) -> bytes:
    """Compress as `packing_of` found."""
    if told["kind"] == "none":
        return content
    if told["kind"] == "zstd":
        return zstandard.ZstdCompressor(level=told["level"]).compress(content)
    if told["head"] is None:
        return gzip.compress(content, told["level"], mtime=0)
    raw = zlib.compressobj(told["level"], zlib.DEFLATED, -zlib.MAX_WBITS)
    sizes = zlib.crc32(content).to_bytes(4, "little") + (len(content) % (1 << 32)).to_bytes(
        4, "little"
    )
    return bytes.fromhex(told["head"]) + raw.compress(content) + raw.flush() + sizes


def _manners(kind: Format, content: bytes, options: ReadOptions) -> Iterator[dict[str, Any]]:
    encoding = options.encoding or "utf-8"
    mark = "\ufeff" if content.startswith(b"\xef\xbb\xbf") else ""
    end = "\r\n" if b"\r\n" in content[:65536] else "\n"
    last = end if content.endswith(end.encode()) else ""
    common = {"kind": kind, "encoding": encoding, "end": end, "tail": last}
    if kind in ("csv", "tsv"):
        header = content[:65536].split(b"\n", 1)[0] + b"\n"
        head = header.decode("utf-8", "replace")
        settings = {"delimiter": options.delimiter_for(kind), "quote": options.quote or '"'}
        for style in ("necessary", "never", "always", "non_numeric"):
            yield {**common, "head": head, "tail": "", **settings, "style": style}
    elif kind == "text":
        yield {**common, "head": mark}
    else:
        list_head, list_tail = ("[", "]" + last) if kind == "json" else ("", last)
        for ascii_only in (False, True):
            for separators in ((", ", ": "), (",", ":")):
                for omit in (False, True):
                    for between in _betweens(kind, end, separators[0]):
                        yield {
                            **common,
                            "head": mark + list_head + between[0],
                            "between": between[1],
                            "tail": between[2] + list_tail,
                            "ascii": ascii_only,
                            "separators": separators,
                            "omit": omit,
                        }


def _betweens(kind: Format, end: str, comma: str) -> list[tuple[str, str, str]]:
    """List what may stand before, between and after the objects."""
    if kind == "jsonl":
        return [("", end, "")]
    return [("", comma, ""), (end, "," + end, end), (end + "  ", "," + end + "  ", end)]


def _csv(rows: pa.Table, manner: Manner) -> str:
    frame = pl.DataFrame(rows)
    # an empty cell is written as nothing; as a string it would be quoted
    frame = frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))
    written: str = frame.write_csv(
        include_header=False,
        separator=manner["delimiter"],
        quote_char=manner["quote"],
        line_terminator=manner["end"],
        quote_style=manner["style"],
    )
    return written


def _json(rows: pa.Table, manner: Manner) -> str:
    separators = (manner["separators"][0], manner["separators"][1])
    lines = []
    for row in rows.to_pylist():
        told = {k: v for k, v in row.items() if v is not None} if manner["omit"] else row
        lines.append(
            json.dumps(told, ensure_ascii=manner["ascii"], separators=separators, default=str)
        )
    joined: str = manner["between"].join(lines)
    return joined
