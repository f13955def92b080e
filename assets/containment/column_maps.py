"""Find which columns of one table may be which of another under other names, from sketches of values.

A sketch is the least distinct hashes of a column's values. What comes out are candidates: the rows decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.optimize import linear_sum_assignment

from assets.containment.schema_graph import ANY_TYPE
from assets.kernels.cell_hash import Equality, Hashes, column_cells, find_column

SKETCH_SIZE = 512
_PROBES = 16
_MOST_HOLDERS = 256
_LEAST_DISTINCT = 8
_MAPS = 6
_MOST_LOSS = 1.0
_ALL = np.uint64(2**64 - 1)
_MOST_EXCHANGED = 100
_IMPOSSIBLE = -1e6

Scores = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ColumnMap = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ColumnSketch:
    """The least distinct value hashes of a column, sorted; all of them if `limit` is 2^64 - 1."""

    hashes: Hashes
    limit: np.uint64

    @property
    def distinct(self) -> float:
        """Estimate of the number of distinct values; exact below `SKETCH_SIZE`."""
        if self.limit == _ALL:
            return float(self.hashes.size)
        return self.hashes.size * 2.0**64 / float(self.limit)


@dataclass(frozen=True)
class TableSketch:
    """Sketches by column, type keys as in `schema_graph`, and the number of rows."""

    columns: Mapping[str, ColumnSketch]
    keys: Mapping[str, str]
    rows: int


def sketch_table(
    batches: Iterable[pa.Table], keys: Mapping[str, str], equality: Equality
) -> TableSketch:
    """Sketch every column of a table in one pass.

    Parameters
    ----------
    batches : iterable of pa.Table
        The rows.
    keys : mapping of str to str
        Type key by column.
    equality : {"typed", "value", "text"}
        Which cells are equal.

    Returns
    -------
    TableSketch
        NULL is left out. Does not depend on order or batches. Memory: `SKETCH_SIZE` hashes a column.
    """
    least = {name: np.empty(0, np.uint64) for name in keys}
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for name, known in least.items():
            cells = column_cells(find_column(batch, name).drop_null(), "", equality)
            if known.size == SKETCH_SIZE:
                cells = cells[cells < known[-1]]
            if cells.size:
                least[name] = np.union1d(known, cells)[:SKETCH_SIZE]
    columns = {
        name: ColumnSketch(own, own[-1] if own.size == SKETCH_SIZE else _ALL)
        for name, own in least.items()
    }
    return TableSketch(columns, dict(keys), rows)


def candidate_maps(
    tables: Mapping[str, TableSketch], min_containment: float
) -> dict[tuple[str, str], list[ColumnMap]]:
    """Find column maps of pairs whose columns do not match by name.

    Parameters
    ----------
    tables : mapping of str to TableSketch
        Every table.
    min_containment : float
        The share of rows that is looked for.

    Returns
    -------
    dict
        By (child, parent), sorted: up to 6 maps, the likeliest first, each with (child column, parent
        column) for every column of the child. A child has at least two columns; pairs in which the
        parent has all of the child's columns by name are left out.

    Notes
    -----
    A pair is looked at if a column of the child with at least 8 distinct values shares one of its 16
    least hashes with a column of the parent, not counting values that more than 256 columns hold. A map
    needs, column by column, one type key and the share of values that `min_containment` implies: of d
    values in n rows at least 1 - (1 - min_containment) n / d. Among the maps it takes the one of the
    greatest share, equal names and alike numbers of values first (an assignment problem), and those that
    differ from it in two exchanged columns or in one. So with more than a few columns of alike values
    (flags, say) under other names the right map can be missed. Cost: for each column of a child one
    look-up of its sketch in the sketches of all columns.
    """
    index = _Index(tables)
    maps = {}
    for child in sorted(tables):
        for parent, scores in index.scores(child, min_containment).items():
            found = _maps(list(tables[child].columns), list(tables[parent].columns), scores)
            if found:
                maps[child, parent] = found
    return dict(sorted(maps.items()))


class _Index:
    """All sketches' hashes in order, each with the number of its column."""

    def __init__(self, tables: Mapping[str, TableSketch]) -> None:
        self.tables = tables
        self.first: dict[str, int] = {}
        sketches: list[ColumnSketch] = []
        keys: list[str] = []
        names: list[str] = []
        self.owner_table: list[str] = []
        for table in sorted(tables):
            self.first[table] = len(sketches)
            for name, sketch in tables[table].columns.items():
                sketches.append(sketch)
                keys.append(tables[table].keys[name])
                names.append(name)
                self.owner_table.append(table)
        self.keys, self.key_codes = _coded(keys)
        self.names, self.name_codes = _coded(names)
        self.limits = np.array([sketch.limit for sketch in sketches], np.uint64)
        self.distinct = np.array([sketch.distinct for sketch in sketches])
        parts = [sketch.hashes for sketch in sketches]
        hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        owner = np.repeat(np.arange(len(sketches)), [part.size for part in parts])
        order = np.argsort(hashes, kind="stable")
        self.hashes, self.owner = hashes[order], owner[order]

    def scores(self, child: str, min_containment: float) -> dict[str, Scores]:
        """Score the columns of a child against those of each parent that can have a map."""
        own = self.tables[child]
        scores: dict[str, list[Scores]] = {parent: [] for parent in self._parents(child)}
        for name, sketch in own.columns.items():
            if not scores:
                break
            row = self._column(name, own.keys[name], sketch, own.rows, min_containment)
            for parent in list(scores):
                start = self.first[parent]
                part = row[start : start + len(self.tables[parent].columns)]
                if part.max() == _IMPOSSIBLE:
                    del scores[parent]
                else:
                    scores[parent].append(part.copy())
        return {parent: np.stack(rows) for parent, rows in scores.items()}

    def _parents(self, child: str) -> list[str]:
        columns = self.tables[child].columns
        if len(columns) < 2:
            return []
        found: set[str] = set()
        for sketch in columns.values():
            if sketch.hashes.size < _LEAST_DISTINCT:
                continue
            starts, ends = self._places(sketch.hashes[:_PROBES])
            for start, end in zip(starts, ends, strict=True):
                if end - start <= _MOST_HOLDERS:
                    found.update(self.owner_table[i] for i in self.owner[start:end])
        return sorted(
            other
            for other in found - {child}
            if len(self.tables[other].columns) >= len(columns)
            and not columns.keys() <= self.tables[other].columns.keys()
        )

    def _places(self, hashes: Hashes) -> tuple[Integers, Integers]:
        left = np.searchsorted(self.hashes, hashes, "left")
        return left, np.searchsorted(self.hashes, hashes, "right")

    def _column(
        self, name: str, key: str, sketch: ColumnSketch, rows: int, min_containment: float
    ) -> Scores:
        """Score one column of a child against every column there is."""
        starts, ends = self._places(sketch.hashes)
        counts = ends - starts
        offsets = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        holders = self.owner[offsets + np.arange(offsets.size)]
        hits = np.bincount(holders, minlength=self.limits.size)
        seen = np.searchsorted(sketch.hashes, np.minimum(self.limits, sketch.limit), "right")
        share = np.divide(hits, seen, out=np.ones(hits.size), where=seen > 0)
        needed = 1.0 - (1.0 - min_containment) * rows / max(sketch.distinct, 1.0)
        whole = (self.limits == _ALL) & (sketch.limit == _ALL)
        doubt = np.where(whole | (needed >= 1.0), 0.0, 3.0 / np.sqrt(seen + 1))
        fits = share >= needed - doubt
        if key != ANY_TYPE:
            same_key = self.key_codes == self.keys[key]
            fits &= same_key | (self.key_codes == self.keys.get(ANY_TYPE, -1))
        low = np.minimum(sketch.distinct, self.distinct) + 1.0
        high = np.maximum(sketch.distinct, self.distinct) + 1.0
        same = self.name_codes == self.names[name]
        scores: Scores = np.where(fits, share + 0.5 * same + 0.25 * low / high, _IMPOSSIBLE)
        return scores


def _coded(texts: list[str]) -> tuple[dict[str, int], Integers]:
    codes: dict[str, int] = {}
    return codes, np.array([codes.setdefault(text, len(codes)) for text in texts], np.int64)


def _maps(mine: list[str], theirs: list[str], scores: Scores) -> list[ColumnMap]:
    rows, chosen = linear_sum_assignment(scores, maximize=True)
    if scores[rows, chosen].min() == _IMPOSSIBLE:
        return []
    options = [(0.0, chosen.tolist())]
    if len(mine) <= _MOST_EXCHANGED:
        options += _exchanged(scores, chosen.tolist())
        options.sort(key=lambda option: option[0])
    return [
        tuple((name, theirs[j]) for name, j in zip(mine, places, strict=True))
        for _, places in options[:_MAPS]
    ]


def _exchanged(scores: Scores, chosen: list[int]) -> list[tuple[float, list[int]]]:
    """List what an assignment loses when two columns are exchanged, or one takes a free column."""
    options = []
    for i, j in combinations(range(len(chosen)), 2):
        kept = scores[i, chosen[i]] + scores[j, chosen[j]]
        loss = kept - scores[i, chosen[j]] - scores[j, chosen[i]]
        if loss < _MOST_LOSS:
            places = list(chosen)
            places[i], places[j] = places[j], places[i]
            options.append((float(loss), places))
    free = sorted(set(range(scores.shape[1])) - set(chosen))
    for i, place in enumerate(chosen):
        for j in free:
            loss = scores[i, place] - scores[i, j]
            if loss < _MOST_LOSS:
                options.append((float(loss), [*chosen[:i], j, *chosen[i + 1 :]]))
    return options
