"""What must hold of any lake: edges compose, grow with the parent, and a kept cache changes nothing."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.content import contained_rows, hash_projections
from assets.containment.folder import search_folder

ROWS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["x", "y", None])), max_size=12)


def fractions(tables: dict[str, list[tuple]]) -> dict[tuple[str, str], float | None]:
    schema = {"a": pl.Int64, "b": pl.String}
    hashes = {
        name: hash_projections(
            [pl.DataFrame(rows, schema, orient="row").to_arrow()], [["a", "b"]], "value"
        )[0]
        for name, rows in tables.items()
    }
    found = contained_rows(hashes, itertools.permutations(tables, 2))
    return {(c, p): share for c, p, share in found.select("child", "parent", "containment").rows()}


@settings(max_examples=150)
@given(st.tuples(ROWS, ROWS, ROWS))
def test_whole_containment_is_transitive(three):
    share = fractions(dict(zip("abc", three, strict=True)))
    for a, b, c in itertools.permutations("abc"):
        if share[a, b] == share[b, c] == 1.0:
            assert share[a, c] == 1.0


@settings(max_examples=150)
@given(ROWS, ROWS, ROWS)
def test_rows_added_to_the_parent_never_lower_a_fraction(child, parent, more):
    before = fractions({"c": child, "p": parent})["c", "p"]
    after = fractions({"c": child, "p": parent + more})["c", "p"]
    assert (before or 0) <= (after or 0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["new", "grow", "shrink", "drop_column", "remove", "copy"]),
        st.integers(0, 5),
        st.integers(0, 40),
        st.integers(5, 30),
    ),
    min_size=2,
    max_size=7,
)
_clock = itertools.count(10**9)


def write(path: Path, frame: pl.DataFrame) -> None:
    frame.write_csv(path)
    os.utime(path, ns=(next(_clock), next(_clock)))  # two writes may fall into one tick


def apply(lake: Path, event: tuple[str, int, int, int]) -> None:
    kind, which, start, count = event
    known = sorted(lake.glob("*.csv"))
    base = pl.DataFrame(
        {
            "id": range(start, start + count),
            "text": [f"row number {i}" for i in range(start, start + count)],
            "half": [i / 2 for i in range(start, start + count)],
        }
    )
    if kind == "new" or not known:
        write(lake / f"t{which}.csv", base)
        return
    path = known[which % len(known)]
    frame = pl.read_csv(path)
    if kind == "grow" and frame.width == 3:
        write(path, pl.concat([frame, base]))
    elif kind == "shrink":
        write(path, frame.head(max(1, frame.height // 2)))
    elif kind == "drop_column" and frame.width == 3:
        write(path, frame.drop("half"))
    elif kind == "remove":
        path.unlink()
    elif kind == "copy":
        write(lake / f"copy{which}.csv", frame)


@settings(max_examples=12)
@given(EVENTS, st.sampled_from(["value", "text"]))
def test_any_sequence_of_events_gives_the_same_as_a_search_from_scratch(
    tmp_path_factory, events, equality
):
    folder = tmp_path_factory.mktemp("events")
    lake, cache = folder / "lake", folder / "cache"
    lake.mkdir()
    for event in events:
        apply(lake, event)
        kept = search_folder(lake, equality=equality, min_containment=0.2, cache=cache)
        fresh = search_folder(lake, equality=equality, min_containment=0.2)
        assert kept.edges.equals(fresh.edges)
        again = search_folder(lake, equality=equality, min_containment=0.2, cache=cache)
        assert again.stages.filter(pl.col("stage") == "content")["rows"].to_list() == [0]
