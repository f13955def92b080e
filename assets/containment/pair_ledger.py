"""Keep what was counted of pairs, so that an unchanged pair is not counted again.

Of each pair the ledger also has the witness, a row of the child that the parent lacked. While the
child stays as it is, looking for that one row in the parent's new version tells whether full
containment is still refuted.
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import xxhash

from assets.containment.content import COUNTED_SCHEMA

Pair = tuple[str, str]

_COUNTED = {**COUNTED_SCHEMA, "witness_row": pl.Int64}
_FIGURES = {n: t for n, t in _COUNTED.items() if n not in ("child", "parent")}
_KEYS = {"child_key": pl.UInt64, "parent_key": pl.UInt64, "parent_name": pl.UInt64}
_LEDGER = {**_KEYS, **_FIGURES}


@dataclass(frozen=True)
class Known:
    """What a ledger knows of some pairs.

    Attributes
    ----------
    counted
        Pairs of which neither table changed, as they were counted (`COUNTED_SCHEMA`), and as
        `witness_row` the row of the witness where it was looked up.
    refuted
        Pairs of which neither table changed, and of which it is only known that the child is not
        wholly contained.
    witnesses
        By pair of an unchanged child and a changed parent, the row hash that the parent lacked.
    """

    counted: pl.DataFrame
    refuted: frozenset[Pair]
    witnesses: dict[Pair, int]


class PairLedger:
    """Counts and witnesses of the pairs of one lake under one equality.

    Parameters
    ----------
    folder
        Where the file is; it may be removed between searches.
    lake
        What tells this lake and equality from others.
    """

    def __init__(self, folder: Path, lake: str) -> None:
        self.file = folder / "pairs" / f"{xxhash.xxh3_128_hexdigest(lake.encode())}.ipc"
        self._old = self._load()
        self._new: list[pl.DataFrame] = []

    def _load(self) -> pl.DataFrame:
        """Read the file; one that is not what was written counts as empty."""
        try:
            digest, content = self.file.read_bytes()[:16], self.file.read_bytes()[16:]
        except FileNotFoundError:
            return pl.DataFrame(schema=_LEDGER)
        if xxhash.xxh3_128_digest(content) != digest:
            return pl.DataFrame(schema=_LEDGER)
        kept = pl.read_ipc(io.BytesIO(content))
        return kept if dict(kept.schema) == _LEDGER else pl.DataFrame(schema=_LEDGER)

    def known(self, pairs: Iterable[Pair], versions: Mapping[str, str]) -> Known:
        """Return what is known of pairs of tables at these versions; it is kept for the next time."""
        names = {"child": pl.String, "parent": pl.String}
        asked = _keyed(pl.DataFrame(list(pairs), schema=names, orient="row"), versions)
        same = asked.join(self._old.drop("parent_name"), on=["child_key", "parent_key"])
        self._new.append(same)
        counted = same.filter(pl.col("common").is_not_null()).select(*_COUNTED)
        refuted = same.filter(pl.col("common").is_null())
        changed = asked.join(same, on=["child", "parent"], how="anti")
        past = self._old.filter(pl.col("witness").is_not_null())
        past = past.drop("parent_key").unique(["child_key", "parent_name"], keep="last")
        probes = changed.join(past, on=["child_key", "parent_name"])
        return Known(
            counted,
            frozenset(refuted.select("child", "parent").rows()),
            {(c, p): w for c, p, w in probes.select("child", "parent", "witness").rows()},
        )

    def add(self, counted: pl.DataFrame, versions: Mapping[str, str]) -> None:
        """Keep counted pairs."""
        if "witness_row" not in counted.columns:
            counted = counted.with_columns(witness_row=pl.lit(None, pl.Int64))
        self._new.append(_keyed(counted.select(*_COUNTED), versions))

    def add_refuted(self, witnesses: Mapping[Pair, int], versions: Mapping[str, str]) -> None:
        """Keep pairs whose witness was found missing again, and which were not counted."""
        rows = [(*pair, witness) for pair, witness in witnesses.items()]
        schema = {"child": pl.String, "parent": pl.String, "witness": pl.UInt64}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        missing = [pl.lit(None, t).alias(n) for n, t in _FIGURES.items() if n != "witness"]
        self._new.append(_keyed(frame.with_columns(*missing), versions))

    def save(self) -> None:
        """Write what is known of the pairs of this search; the file appears whole or not at all."""
        frames = [frame.select(*_LEDGER) for frame in self._new]
        whole = pl.concat(frames) if frames else pl.DataFrame(schema=_LEDGER)
        whole = whole.unique(["child_key", "parent_key"], keep="last", maintain_order=True)
        if whole.equals(self._old):
            return
        content = io.BytesIO()
        whole.write_ipc(content, compression="zstd")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(f".{uuid.uuid4().hex}.new")
        fresh.write_bytes(xxhash.xxh3_128_digest(content.getvalue()) + content.getvalue())
        fresh.replace(self.file)


def _keyed(pairs: pl.DataFrame, versions: Mapping[str, str]) -> pl.DataFrame:
    names = sorted({*pairs["child"], *pairs["parent"]})
    keys = pl.DataFrame(
        {
            "name": names,
            "key": [_key(json.dumps([name, versions[name]])) for name in names],
            "parent_name": [_key(name) for name in names],
        },
        schema={"name": pl.String, "key": pl.UInt64, "parent_name": pl.UInt64},
    )
    children = keys.select(child="name", child_key="key")
    parents = keys.select("parent_name", parent="name", parent_key="key")
    return pairs.join(children, on="child", maintain_order="left").join(
        parents, on="parent", maintain_order="left"
    )


def _key(text: str) -> int:
    key: int = xxhash.xxh3_64_intdigest(text.encode())
    return key
