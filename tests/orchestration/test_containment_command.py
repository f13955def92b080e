"""`sluice containment` as people and machines meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from resources.errors import EXIT_BAD_RECIPE, EXIT_DONE, EXIT_QUARANTINE

KEYS = [
    "child", "parent", "containment", "multiset_containment", "exact", "equality", "column_map",
    "child_rows", "parent_rows",
]  # fmt: skip


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["containment", *[str(a) for a in arguments]])


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    rows = [f"{i},city number {i}" for i in range(40)]
    folder = tmp_path / "lake"
    (folder / "old").mkdir(parents=True)
    for name, part in {
        "all.csv": rows,
        "copy.csv": rows[::-1],
        "old/half.csv": rows[:20],
        "partly.csv": [*rows[:19], "99,elsewhere"],
    }.items():
        (folder / name).write_text("\n".join(["id,city", *part]) + "\n")
    return folder


def edges(result: Result, *more: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(result.stdout)
    assert all(list(row) == [*KEYS, *more] for row in rows)
    return {(row["child"], row["parent"]): row for row in rows}


def test_json_is_a_list_of_edges(lake: Path) -> None:
    result = call(lake, "--json")
    assert result.exit_code == EXIT_DONE
    found = edges(result)
    assert found["old/half.csv", "all.csv"] == {
        "child": "old/half.csv",
        "parent": "all.csv",
        "containment": 1.0,
        "multiset_containment": 1.0,
        "exact": True,
        "equality": "typed",
        "column_map": {"id": "id", "city": "city"},
        "child_rows": 20,
        "parent_rows": 40,
    }
    assert found["partly.csv", "copy.csv"]["containment"] == 0.95
    assert ("old/half.csv", "partly.csv") in found
    whole = edges(call(lake, "--json", "--min-containment", "1", "--min-rows", "25"))
    assert set(whole) == {("all.csv", "copy.csv"), ("copy.csv", "all.csv")}


def test_people_see_duplicates_then_what_is_contained_then_the_saving(lake: Path) -> None:
    result = call(lake, "--stats", "--equality", "text")
    assert result.exit_code == EXIT_DONE
    order = [
        "4 tables, ", "Duplicates: 1 table with the same rows as another", "  all.csv (40 rows)", "copy.csv",
        "Contained: 1 table whose every row is in another", "  all.csv (40 rows)", "20 rows  old/half.csv",
        "Dropping these 2 tables would save", "Nothing was changed.",
        "Contained in part, 0.9 or more: 1 of the tables that stay", "0.950000  partly.csv (20 rows)",
        "in all.csv (40 rows); it lacks row 19 among others",
        "further pairs add nothing", "bytes read",
    ]  # fmt: skip
    at = 0
    for text in order:
        at = result.output.index(text, at)


def test_columns_of_other_names_are_matched_when_asked(lake: Path) -> None:
    rows = [f"city number {i},{i},x" for i in range(5, 20)]
    (lake / "other.csv").write_text("\n".join(["town,number,extra", *rows]) + "\n")
    half = (lake / "old" / "half.csv").read_text().splitlines()[6:16]
    (lake / "part.csv").write_text("\n".join(["number,town", *half]) + "\n")
    assert ("part.csv", "all.csv") not in edges(call(lake, "--json"))
    found = edges(call(lake, "--json", "--renamed"))
    assert found["part.csv", "all.csv"]["column_map"] == {"number": "id", "town": "city"}
    assert found["part.csv", "other.csv"]["column_map"] == {"number": "number", "town": "town"}
    (lake / "other.csv").unlink()
    assert "part.csv, number as id, town as city" in call(lake, "--renamed").output


def test_too_much_set_aside_exits_5_and_says_what(lake: Path) -> None:
    (lake / "broken.parquet").write_bytes(b"no parquet")
    fine = call(lake, "--json")
    assert fine.exit_code == EXIT_DONE
    assert "broken.parquet: not compared: unreadable Parquet" in fine.stderr
    with (lake / "all.csv").open("a") as file:
        file.write("too,many,cells\n" * 20)
    much = call(lake, "--json")
    assert much.exit_code == EXIT_QUARANTINE
    assert "all.csv: 20 records set aside" in much.stderr
    assert edges(much).keys() == edges(fine).keys()
    assert call(lake, "--json", "--equality", "text").exit_code == EXIT_DONE  # kept as written


def test_what_cannot_be_followed_exits_2(lake: Path) -> None:
    assert call(lake / "none").exit_code == EXIT_BAD_RECIPE
    inside = call(lake, "--cache", lake / "cache")
    assert inside.exit_code == EXIT_BAD_RECIPE
    assert "lies in the lake" in inside.stderr
    assert call(lake, "--memory", "much").exit_code == EXIT_BAD_RECIPE
    assert call(lake, "--min-containment", "0").exit_code == EXIT_BAD_RECIPE
    assert not (lake / "cache").exists()


def test_an_empty_folder_has_no_edges(tmp_path: Path) -> None:
    assert json.loads(call(tmp_path, "--json").stdout) == []
    assert "0 tables" in call(tmp_path).output


def test_sections_are_cut_and_say_what_is_left(lake: Path) -> None:
    for part in range(8):
        text = "\n".join(["id,city", *(f"{i},city number {i}" for i in range(part, part + 12))])
        (lake / f"part{part}.csv").write_text(text + "\n")
    short = call(lake).output
    assert "… 4 more tables" in short
    assert short.count("rows  part") == 4
    whole = call(lake, "--limit", "0").output
    assert all(f"rows  part{part}.csv" in whole for part in range(8))


def test_nothing_to_drop_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    told = call(tmp_path).output
    assert "Duplicates: none" in told
    assert "Contained: none" in told
    assert "Dropping" not in told


def test_overlaps_tell_the_symmetric_figures(lake: Path) -> None:
    found = edges(call(lake, "--json", "--overlaps"), "parent_containment", "jaccard")
    row = found["partly.csv", "all.csv"]
    assert (row["containment"], row["parent_containment"]) == (0.95, 19 / 40)
    assert row["jaccard"] == 19 / 41
    output = call(lake, "--overlaps", "--limit", "0").output
    assert "holds 0.475000 of the parent, Jaccard 0.463415" in output


def test_versions_of_a_delta_table_are_tables_when_asked(lake: Path) -> None:
    whole = pl.read_csv(lake / "all.csv")
    whole[:15].write_delta(lake / "d")
    whole[15:30].write_delta(lake / "d", mode="append")
    assert not any("@" in pair[0] for pair in edges(call(lake, "--json")))
    found = edges(call(lake, "--json", "--versions"))
    assert found["d@0", "d"]["containment"] == 1.0
    assert found["d@0", "d"]["exact"] is True
    output = call(lake, "--versions", "--stats", "--limit", "0").output
    (line,) = [line for line in output.splitlines() if line.endswith("rows  d@0")]
    assert line.split() == ["0", "B", "15", "rows", "d@0"]
    assert "files" in output


def test_a_sample_gives_intervals_and_the_paper_s_mode_its_own(tmp_path: Path) -> None:
    whole = pl.DataFrame({"n": range(900), "t": [f"the text of row {i}" for i in range(900)]})
    whole.write_parquet(tmp_path / "whole.parquet")
    whole[450:].write_parquet(tmp_path / "half.parquet")
    found = edges(
        call(tmp_path, "--json", "--min-containment", "0.3", "--sample", "50"), "lo", "hi"
    )
    row = found["whole.parquet", "half.parquet"]
    assert row["exact"] is False
    assert row["multiset_containment"] is None
    assert 0.3 < row["lo"] < 0.5 < row["hi"] < 0.7
    narrow = ["--min-containment", "0.3", "--sample", "50", "--confidence", "0.5", "--limit", "0"]
    assert "Contained by a sample, not by all rows" in call(tmp_path, *narrow).output
    paper = edges(call(tmp_path, "--json", "--mode", "paper"), "lo", "hi")
    assert set(paper) == {("half.parquet", "whole.parquet")}
    assert (paper["half.parquet", "whole.parquet"]["exact"], row["equality"]) == (False, "typed")
    refused = call(tmp_path, "--mode", "paper", "--sample", "50")
    assert refused.exit_code == EXIT_BAD_RECIPE
    assert "leave them out" in refused.stderr


def test_unions_come_last_with_their_parents(tmp_path: Path) -> None:
    whole = pl.DataFrame({"n": range(60), "t": [f"the text of row {i}" for i in range(60)]})
    whole[10:50].write_parquet(tmp_path / "child.parquet")
    whole[:30].write_parquet(tmp_path / "first.parquet")
    whole[30:].write_parquet(tmp_path / "second.parquet")
    last = json.loads(call(tmp_path, "--json", "--unions").stdout)[-1]
    assert (last["child"], last["parents"]) == (
        "child.parquet",
        ["first.parquet", "second.parquet"],
    )
    assert (
        "child.parquet (40 rows) in first.parquet + second.parquet"
        in call(tmp_path, "--unions").output
    )
