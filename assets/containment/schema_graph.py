"""Find the pairs of tables in which one has all columns of the other.

First stage of R2D2 (Shah et al., PACMMOD 1(4), 2024). Exact: a pair is returned if and only if each
column of the child is a column of the parent, by name and type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from assets.kernels.logical_types import logical_type, type_family

ANY_TYPE = "null"
"""The type of a column without a value: NULL is NULL in a column of any type."""

Columns = frozenset[tuple[str, str]]


class SchemaModeError(ValueError):
    """An unknown way to build the schema graph was asked for."""


def flat_schema(
    schema: pa.Schema, equality: Literal["typed", "value", "text"] = "value"
) -> dict[str, str]:
    """Flatten structs to dotted leaf names, and name each type as far as an equality tells it.

    Parameters
    ----------
    schema : pa.Schema
        Schema of a table. Lists and maps stay whole; so does a struct without fields.
    equality : {"typed", "value", "text"}, default "value"
        ``typed`` gives logical types, ``value`` families, ``text`` "" for every type.

    Returns
    -------
    dict of str to str
        Type key by column name. A table in which two leaves would get one name keeps the
        structs concerned whole.
    """
    flat: dict[str, str] = {}
    for field in schema:
        leaves = _leaves(field.name, field.type)
        if len(leaves) > 1 and any(name in flat or name in schema.names for name, _ in leaves):
            leaves = [(field.name, field.type)]
        for name, data_type in leaves:
            if equality == "text":
                flat[name] = ""
            else:
                key = logical_type if equality == "typed" else type_family
                flat[name] = key(data_type)
    return flat


def _leaves(name: str, data_type: pa.DataType) -> list[tuple[str, pa.DataType]]:
    if not pa.types.is_struct(data_type) or data_type.num_fields == 0:
        return [(name, data_type)]
    return [leaf for field in data_type for leaf in _leaves(f"{name}.{field.name}", field.type)]


def schema_edges(
    schemas: Mapping[str, Mapping[str, str]], mode: Literal["inverted", "paper"] = "inverted"
) -> list[tuple[str, str]]:
    """Find all pairs whose child's columns are a subset of the parent's.

    Parameters
    ----------
    schemas : mapping of str to mapping of str to str
        Type key by flattened column name (see `flat_schema`), by table. A column of type
        "null" on either side matches by name alone.
    mode : {"inverted", "paper"}, default "inverted"
        ``inverted`` intersects, over the distinct schemas, the posting lists of the child's
        columns, rarest first. ``paper`` is the centre clustering of R2D2, for comparison.

    Returns
    -------
    list of (str, str)
        (child, parent), sorted; equal schemas give both directions. A table without columns
        is nobody's child.

    Raises
    ------
    SchemaModeError
        For an unknown mode.

    Notes
    -----
    Both modes return the same pairs. Cost of ``inverted``: one bitwise AND of d bits for each
    column of each of d distinct schemas, ended early where nothing is left, plus the output.
    ``paper`` is O(n log n + n k) set tests for k centres plus the squares of the cluster sizes.
    """
    nodes: dict[Columns, list[str]] = defaultdict(list)
    for table in sorted(schemas):
        nodes[frozenset(schemas[table].items())].append(table)
    distinct = sorted(nodes, key=lambda columns: (-len(columns), sorted(columns)))
    if mode == "inverted":
        parents = _inverted(distinct)
    elif mode == "paper":
        parents = _paper(distinct)
    else:
        message = f"schema mode {mode!r} is unknown; choose 'inverted' or 'paper'"
        raise SchemaModeError(message)
    return sorted(
        (child, parent)
        for i, hits in parents.items()
        for j in hits
        for child in nodes[distinct[i]]
        for parent in nodes[distinct[j]]
        if child != parent
    )


def _inverted(distinct: list[Columns]) -> dict[int, list[int]]:
    by_name: dict[str, int] = defaultdict(int)
    by_column: dict[tuple[str, str], int] = defaultdict(int)
    for i, columns in enumerate(distinct):
        for name, key in columns:
            by_name[name] |= 1 << i
            by_column[name, key] |= 1 << i

    def postings(name: str, key: str) -> int:
        if key == ANY_TYPE:
            return by_name[name]
        return by_column[name, key] | by_column.get((name, ANY_TYPE), 0)

    parents: dict[int, list[int]] = {}
    for i, columns in enumerate(distinct):
        if columns:
            lists = sorted((postings(*column) for column in columns), key=int.bit_count)
            hits = lists[0]
            for posting in lists[1:]:
                hits &= posting
                if hits == 1 << i:  # the schema itself is always there
                    break
            parents[i] = _bits(hits)
    return parents


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _contained(child: Columns, parent: Mapping[str, str]) -> bool:
    return all(
        name in parent and (ANY_TYPE in (key, parent[name]) or key == parent[name])
        for name, key in child
    )


def _paper(distinct: list[Columns]) -> dict[int, list[int]]:
    """Cluster around centres, widest schema first; each schema joins EVERY centre that holds it.

    Joining the first one only would lose edges: a parent of the schema may sit in another
    cluster. A schema with a column without a type is also a centre of its own, because matching
    by name alone is not transitive.
    """
    schemas = [dict(columns) for columns in distinct]
    clusters: list[tuple[int, list[int]]] = []
    for i, columns in enumerate(distinct):
        hits = [members for center, members in clusters if _contained(columns, schemas[center])]
        for members in hits:
            members.append(i)
        if not hits:
            clusters.append((i, [i]))
    parents: dict[int, set[int]] = {i: {i} for i, columns in enumerate(distinct) if columns}
    for _, members in clusters:
        for i in members:
            if distinct[i]:
                parents[i].update(j for j in members if _contained(distinct[i], schemas[j]))
    return {i: sorted(hits) for i, hits in parents.items()}
