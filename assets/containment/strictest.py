"""Say by which equality the shared rows of an edge are equal: the strictest one.

Nothing is read again where the types of the columns decide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from assets.containment.described import ColumnFacts
from assets.containment.schema_graph import ANY_TYPE
from assets.kernels.cell_hash import Equality

Verdict = Literal["typed", "value", "text", "open"]


def strictest(
    child: Mapping[str, ColumnFacts],
    parent: Mapping[str, ColumnFacts],
    columns: Sequence[str],
    searched: Equality,
) -> Verdict:
    """Name the strictest equality by which rows found equal by `searched` are equal.

    Parameters
    ----------
    child, parent : mapping of str to ColumnFacts
        Facts by column of both.
    columns : sequence of str
        The columns compared.
    searched : {"typed", "value", "text"}
        The equality of the search.

    Returns
    -------
    str
        The name; ``open`` if the rows must be compared by `value` to tell (text only).

    Notes
    -----
    Rows equal by `value` in columns of one type are equal by `typed`, since only the tag of the
    hashed bytes differs; a column without a value holds nothing but NULL, which has one in every
    type. Cells equal as text are the same value if they were parsed by the same rule, which holds
    for columns of one type, but for NULL and the empty string. In different families no cell but
    NULL is equal.
    """
    if searched == "typed":
        return "typed"
    pairs = [(child[name], parent[name]) for name in columns]
    same = all(ANY_TYPE in (c.family, p.family) or c.type == p.type for c, p in pairs)
    if searched == "value":
        return "typed" if same else "value"
    if any(ANY_TYPE not in (c.family, p.family) and c.family != p.family for c, p in pairs):
        return "text"
    told_apart = not any((c.null or p.null) and (c.empty or p.empty) for c, p in pairs)
    return "typed" if same and told_apart else "open"
