"""The containment graph of a lake that is too large for names."""

from __future__ import annotations

import polars as pl

from assets.publication.card_graph import layout
from assets.publication.plots import containment_graph


def edges(pairs: list[tuple[str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        [(c, p, share, True, 10, 20) for c, p, share in pairs],
        schema=["child", "parent", "containment", "exact", "child_rows", "parent_rows"],
        orient="row",
    )


def words(frame: pl.DataFrame, retired: frozenset[str] = frozenset()) -> list[str]:
    figure = containment_graph(frame, retired)
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_few_tables_are_drawn_with_their_names() -> None:
    frame = edges([("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", 1.0)])
    assert layout(frame).legible
    assert {"a", "b", "c"} <= set(words(frame))


def test_many_tables_are_drawn_by_group_and_the_rest_is_counted() -> None:
    pairs = [
        (f"{group:02}/{i}", f"{group:02}/all", 1.0)
        for group in range(20)
        for i in range(40 - group)
    ]
    pairs += [("part/a", "part/b", 0.7)]
    told = words(edges(pairs), frozenset({"00/0", "00/1"}))
    heads = [text for text in told if text.endswith("/all")]
    assert heads == [f"{group:02}/all" for group in range(12)]
    assert "41 tables, up to 20 rows; 2 could go" in told
    rest = sum(41 - group for group in range(12, 20))
    assert any(f"8 smaller groups of {rest} tables" in text for text in told)
    assert any(text.startswith("not drawn") and "2 tables that share rows" in text for text in told)


def test_a_long_chain_is_no_row_of_boxes_without_names() -> None:
    chain = edges([(f"v{i:02}", f"v{i + 1:02}", 1.0) for i in range(12)])
    assert not layout(chain).legible
    assert "13 tables, up to 20 rows" in words(chain)


def test_a_lake_of_partial_edges_only_is_told_as_such() -> None:
    partial = edges([(f"a{i}", f"b{i}", 0.6) for i in range(60)])
    assert words(partial) == [
        "120 tables that share rows but neither hold another nor are held whole"
    ]
