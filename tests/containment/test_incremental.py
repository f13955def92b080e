"""A changed lake costs what changed, and gives what a search from scratch gives."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path

import deltalake
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.containment.folder import FolderSearch, search_folder
from assets.containment.source_tables import SourceTable

_clock = itertools.count(2 * 10**9)


def rows(start: int, count: int) -> pl.DataFrame:
    numbers = range(start, start + count)
    return pl.DataFrame(
        {
            "id": numbers,
            "text": [f"the text of row number {i}" for i in numbers],
            "half": [i / 2 for i in numbers],
        }
    )


def settled(path: Path) -> None:
    os.utime(path, ns=(next(_clock), next(_clock)))  # two writes may fall into one tick


def append(place: Path, frame: pl.DataFrame) -> None:
    """Append to a Delta table, or add a file to a folder of Parquet."""
    if place.suffix == ".delta":
        deltalake.write_deltalake(place, frame.to_arrow(), mode="append", schema_mode="merge")
    elif place.suffix == ".files":
        place.mkdir(exist_ok=True)
        file = place / f"{next(_clock)}.parquet"
        frame.write_parquet(file)
    else:
        old = [pl.read_csv(place)] if place.exists() else []
        pl.concat([*old, frame]).write_csv(place)
        settled(place)


def stage(found: FolderSearch, name: str) -> dict:
    return found.stages.filter(pl.col("stage") == name).row(0, named=True)


def shares(found: FolderSearch) -> dict[tuple[str, str], float]:
    return {(c, p): s for c, p, s in found.edges.select("child", "parent", "containment").rows()}


def data_files(lake: Path) -> dict[tuple[str, int, int], int]:
    files = [f for f in lake.rglob("*") if f.is_file() and "_delta_log" not in f.parts]
    return {(str(f), f.stat().st_size, f.stat().st_mtime_ns): f.stat().st_size for f in files}


def test_a_witness_that_is_still_missing_settles_the_pair_with_one_probe(tmp_path):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    append(lake / "child.files", rows(0, 50))
    append(lake / "parent.delta", pl.concat([rows(0, 30), rows(31, 100)]))
    first = search_folder(lake, min_containment=1.0, cache=cache)
    assert shares(first) == {}
    assert stage(first, "kept")["candidates_out"] == 1  # bounds refute the other way round
    before = data_files(lake)
    append(lake / "parent.delta", rows(200, 40))
    grown = search_folder(lake, min_containment=1.0, cache=cache)
    new = sum(size for file, size in data_files(lake).items() if file not in before)
    witness = stage(grown, "witness")
    assert (witness["candidates_in"], witness["candidates_out"]) == (1, 0)
    assert (witness["rows"], witness["bytes_read"]) == (40, new)
    assert (stage(grown, "content")["candidates_in"], stage(grown, "content")["rows"]) == (0, 0)
    assert shares(grown) == {}
    again = search_folder(lake, min_containment=1.0, cache=cache)
    assert (stage(again, "kept")["candidates_out"], stage(again, "witness")["candidates_in"]) == (
        0,
        0,
    )
    append(lake / "parent.delta", rows(30, 1))
    whole = search_folder(lake, min_containment=1.0, cache=cache)
    assert stage(whole, "witness")["candidates_out"] == 1
    assert shares(whole) == {("child.files", "parent.delta"): 1.0}


def test_a_probe_does_not_stand_in_for_a_fraction(tmp_path):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    append(lake / "child.csv", rows(0, 50))
    append(lake / "parent.csv", rows(10, 100))
    for least in (1.0, 0.5):
        search_folder(lake, min_containment=least, cache=cache)
    append(lake / "parent.csv", rows(5, 5))
    search_folder(lake, min_containment=1.0, cache=cache)
    found = search_folder(lake, min_containment=0.5, cache=cache)
    assert shares(found) == {("child.csv", "parent.csv"): 0.9}


def test_one_more_table_or_commit_costs_itself(tmp_path):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    for i in range(12):
        append(lake / f"t{i}.delta", rows(40 * i, 60))
    full = search_folder(lake, min_containment=0.1, cache=cache)
    assert stage(full, "kept")["candidates_out"] == stage(full, "kept")["candidates_in"] > 20
    before = data_files(lake)
    append(lake / "new.delta", rows(20, 60))
    more = search_folder(lake, min_containment=0.1, cache=cache)
    new = sum(size for file, size in data_files(lake).items() if file not in before)
    assert more.stages["bytes_read"].sum() == new
    pairs = {pair for pair in shares(more) if "new.delta" in pair}
    assert stage(more, "kept")["candidates_out"] == len(pairs) == 4
    before = data_files(lake)
    append(lake / "t3.delta", rows(1000, 30))
    grown = search_folder(lake, min_containment=0.1, cache=cache)
    new = sum(size for file, size in data_files(lake).items() if file not in before)
    assert grown.stages["bytes_read"].sum() == new
    assert stage(grown, "content")["rows"] == 30
    assert grown.edges.equals(search_folder(lake, min_containment=0.1).edges)


def test_a_ledger_that_was_tampered_with_is_not_believed(tmp_path):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    append(lake / "a.csv", rows(0, 50))
    append(lake / "b.csv", rows(0, 20))
    first = search_folder(lake, cache=cache)
    (file,) = (cache / "pairs").iterdir()
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    again = search_folder(lake, cache=cache)
    assert again.edges.equals(first.edges)
    assert stage(again, "kept")["candidates_out"] == stage(first, "kept")["candidates_out"]
    last = search_folder(lake, cache=cache)
    assert stage(last, "kept")["candidates_out"] == 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["new", "grow", "shrink", "drop_column", "remove", "copy"]),
        st.integers(0, 5),
        st.integers(0, 40),
        st.integers(5, 30),
        st.sampled_from(["csv", "delta", "files"]),
    ),
    min_size=2,
    max_size=6,
)


def frame_of(place: Path) -> pl.DataFrame:
    if place.suffix == ".csv":
        return pl.read_csv(place)
    if place.suffix == ".delta":
        return pl.DataFrame(deltalake.DeltaTable(place).to_pyarrow_table())
    return pl.concat([pl.read_parquet(file) for file in sorted(place.iterdir())])


def overwrite(place: Path, frame: pl.DataFrame) -> None:
    if place.suffix == ".delta":
        deltalake.write_deltalake(
            place, frame.to_arrow(), mode="overwrite", schema_mode="overwrite"
        )
        return
    if place.is_dir():
        shutil.rmtree(place)
    elif place.exists():
        place.unlink()
    append(place, frame)


def apply(lake: Path, event: tuple[str, int, int, int, str]) -> Path:
    """Change one table; returns it."""
    kind, which, start, count, suffix = event
    known = sorted(lake.iterdir())
    if kind == "new" or not known:
        place = lake / f"t{which}.{suffix}"
        overwrite(place, rows(start, count))
        return place
    place = known[which % len(known)]
    frame = frame_of(place)
    if kind == "grow" and frame.width == 3:
        append(place, rows(start, count))
    elif kind == "shrink" and place.suffix == ".delta":
        deltalake.DeltaTable(place).delete(f"id < {start}")
    elif kind == "shrink":
        overwrite(place, frame.head(max(1, frame.height // 2)))
    elif kind == "drop_column" and frame.width == 3:
        overwrite(place, frame.drop("half"))
    elif kind == "remove":
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    elif kind == "copy" and frame.height:
        place = lake / f"copy{which}.{suffix}"
        overwrite(place, frame)
    return place


@settings(max_examples=15)
@given(EVENTS, st.sampled_from(["value", "text"]), st.sampled_from([0.2, 1.0]))
def test_any_sequence_of_events_costs_its_changes_and_equals_a_rebuild(
    tmp_path_factory, events, equality, least
):
    folder = tmp_path_factory.mktemp("events")
    lake, cache = folder / "lake", folder / "cache"
    lake.mkdir()
    seen: dict[tuple[str, int, int], int] = {}
    read = 0
    for event in events:
        apply(lake, event)
        seen |= data_files(lake)
        kept = search_folder(lake, equality=equality, min_containment=least, cache=cache)
        fresh = search_folder(lake, equality=equality, min_containment=least)
        assert kept.edges.equals(fresh.edges)
        tables = len(list(lake.iterdir()))
        # only pairs of the table that changed are decided anew
        assert stage(kept, "kept")["candidates_out"] <= 2 * max(tables - 1, 0)
        read += kept.stages["bytes_read"].sum()
        # no version of a file is read twice for the same columns: there are two sets of them, and
        # cells as text may be compared by value as well
        assert read <= sum(seen.values()) * (2 if equality == "value" else 4)
        again = search_folder(lake, equality=equality, min_containment=least, cache=cache)
        assert again.stages["bytes_read"].sum() == 0
        assert stage(again, "kept")["candidates_out"] == 0
        assert again.edges.equals(kept.edges)


def test_rows_of_kept_hashes_that_were_tampered_with_are_made_anew(tmp_path):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    append(lake / "child.files", rows(0, 50))
    append(lake / "parent.files", rows(10, 100))
    first = search_folder(lake, min_containment=0.5, cache=cache)
    assert first.edges["witness"][0] < 10
    for damage in (lambda raw: bytes([raw[0] ^ 1]) + raw[1:], lambda raw: raw[:-1]):
        shutil.rmtree(cache / "pairs")  # so that the witness is looked for again
        for file in cache.rglob("*.rows"):
            file.write_bytes(damage(file.read_bytes()))
        assert search_folder(lake, min_containment=0.5, cache=cache).edges.equals(first.edges)


def test_small_children_are_not_opened_again_where_nothing_changed(tmp_path, monkeypatch):
    lake, cache = tmp_path / "lake", tmp_path / "cache"
    lake.mkdir()
    append(lake / "parent.files", rows(0, 50))
    append(lake / "few.files", rows(0, 5))
    append(lake / "narrow.files", rows(0, 40).select("id"))  # 0 to 39: a coincidence
    first = search_folder(lake, cache=cache)
    assert set(shares(first)) == {("few.files", "parent.files")}
    for file in cache.rglob("*.number"):
        file.write_text(file.read_text()[:-1])
    assert search_folder(lake, cache=cache).edges.equals(first.edges)  # not believed, made anew
    monkeypatch.setattr(SourceTable, "_pass", None)  # no row can be read
    again = search_folder(lake, cache=cache)
    assert again.edges.equals(first.edges)
    assert again.coincidences == first.coincidences == 1
