from __future__ import annotations

import json

import polars as pl
import pytest
from click.testing import CliRunner

from orchestration.cli import main

LONG = "the quick brown fox jumps over the lazy dog and runs far away from here today"
ROWS = [
    {"body": LONG, "stars": 1},
    {"body": LONG + " again", "stars": 9},
    {"body": "something else that nobody wrote before or after", "stars": 5},
    {"body": None, "stars": 0},
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    part = " ".join(LONG.split()[:9])
    rows = [{"body": LONG.upper()}, {"body": part}, {"body": "new words only in this one record"}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def sluice(*words):
    result = CliRunner().invoke(main, ["duplicates", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def refusal(*words):
    result = CliRunner().invoke(main, ["duplicates", *words])
    assert result.exit_code == 2
    return result.stderr


def test_an_index_answers_what_is_there(here):
    told = sluice("a.jsonl", "--text", "body", "--similarity", "0.7", "--index", "ix")
    assert told["records_added"] == 3
    asked = ["--query", "b.jsonl", "--against", "ix", "--text", "body", "--out", "answers.parquet"]
    told = sluice(*asked, "--similarity", "0.9", "--pairs", "pairs.parquet")
    assert told["records"] == 3
    assert told["already_there"] == 1
    answers = pl.read_parquet("answers.parquet").rows()
    assert answers[0] == ("b.jsonl#0", "a.jsonl#0", 1.0, 2)
    assert answers[1][1:] == (None, None, 0)
    assert pl.read_parquet("pairs.parquet").columns == ["id1", "id2", "similarity"]
    told = sluice(*asked, "--measure", "containment", "--similarity", "0.9")
    assert told["already_there"] == 2


def test_an_index_of_other_shingles_is_refused(here):
    sluice("a.jsonl", "--text", "body", "--index", "ix")
    asked = ["--query", "b.jsonl", "--against", "ix", "--text", "body"]
    assert "word:5" in refusal(*asked, "--shingle", "char:5")
    assert "normalised by none" in refusal(*asked, "--normalise", "case")


@pytest.mark.parametrize(
    ("wish", "keeper"),
    [("longest", 1), ("source,longest", 1), ("min:stars", 0), ("max:stars,longest", 1)],
)
def test_the_survivor_follows_the_wish(here, wish, keeper):
    sluice(
        *("a.jsonl", "--text", "body", "--similarity", "0.7"),
        *("--survivor", wish, "--out", "clusters.parquet"),
    )
    assert pl.read_parquet("clusters.parquet")["keeper"].unique().to_list() == [f"a.jsonl#{keeper}"]


def test_what_is_named_first_is_kept_whichever_is_longer(here):
    for files, kept in ((["a.jsonl", "b.jsonl"], "a"), (["b.jsonl", "a.jsonl"], "b")):
        sluice(*files, "--text", "body", "--survivor", "source", "--out", "clusters.parquet")
        keepers = set(pl.read_parquet("clusters.parquet")["keeper"])
        assert {name[0] for name in keepers} == {kept}


def test_spans_are_found_and_removed(here):
    told = sluice(
        *("a.jsonl", "b.jsonl", "--text", "body", "--spans", "8"),
        *("--spans-out", "spans.parquet", "--remove-spans", "left.parquet"),
    )
    spans = pl.read_parquet("spans.parquet")
    assert told["spans"] == spans.height == 4
    assert told["records_with_a_span"] == 4
    left = pl.read_parquet("left.parquet")
    assert left["characters_removed"].sum() == told["characters_removed"] > 0
    assert dict(left.select("id", "text").iter_rows())["a.jsonl#1"] == ROWS[1]["body"]


def test_mistakes_are_told(here):
    for words, told in (
        (["--text", "body"], "--query"),
        (["a.jsonl", "--text", "body", "--query", "b.jsonl"], "together"),
        (["--text", "body", "--query", "b.jsonl", "--against", "b.jsonl"], "b.jsonl"),
        (["a.jsonl", "--text", "body", "--survivor", "longish"], "longish"),
        (["a.jsonl", "--text", "body", "--normalise", "rot13"], "rot13"),
        (["b.jsonl", "--text", "body", "--survivor", "max:stars"], "stars"),
        (["b.jsonl", "--text", "body", "--spans-out", "spans.parquet"], "--spans K"),
        (["--text", "body", "--spans", "5", "--query", "b.jsonl", "--against", "."], "--spans"),
    ):
        assert told in refusal(*words)
