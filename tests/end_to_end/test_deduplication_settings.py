"""What the recipe can say about twins: each setting in a run, and what its tables then hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from assets.kernels.identity import content_ids
from assets.publication.trace import trace
from orchestration.execute import execute
from resources import delta
from resources.errors import RecipeError
from resources.recipe_file import load_recipe
from resources.releases import last_release
from tests.faults.small import contents

pytestmark = pytest.mark.usefixtures("dagster_home")
QUESTION = (
    "which of these old towns lies on the north side of the long river and has a bridge of stone"
)
STORY = " ".join(f"word{i}" for i in range(40))


def lake(folder: Path, **settings: Any) -> Path:
    (folder / "lake").mkdir()
    write(folder, "test", [f"Question 7. {QUESTION}?"])
    rows = [
        f"A scraped page, much longer than its question: {QUESTION.upper()}! Then the answer, and more text.",
        f"{STORY} the first end of this story",
        "\ufeffThe same\r\nwords",
        "the SAME\nwords",
        f"Some other beginning of a text that is otherwise long and not alike at all {STORY[:150]}",
    ]
    write(folder, "train", rows, stars=[1, 2, 3, 4, 5])
    recipe = {
        "lake": str(folder / "lake"),
        "output": str(folder / "out"),
        "records": [
            {"tables": "test*", "role": "evaluation", "text": ["text"]},
            {"tables": "*", "text": ["text"], "keep": ["stars"]},
        ],
        "holdout": {"share": 0.0},
        "scoring": {"scorers": ["heuristics"]},
        "deduplication": settings,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def write(folder: Path, name: str, texts: list[str], stars: list[int] | None = None) -> None:
    rows = [
        {"text": t, **({} if stars is None else {"stars": s})}
        for t, s in zip(texts, stars or texts, strict=True)
    ]
    file = folder / "lake" / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(path: Path, *tables: str) -> list[pl.DataFrame]:
    execute(load_recipe(path), accept_shrink=True)
    return contents_of(path, *tables)


def contents_of(path: Path, *tables: str) -> list[pl.DataFrame]:
    held = contents(path)
    return [held[f"deduplication/{table}"] for table in tables]


def scan_of(path: Path) -> Callable[[str], pl.LazyFrame]:
    output = path.parent / "out"
    release = last_release(output)
    assert release is not None
    return lambda table: delta.scan(output / table, release["versions"][table])


def fate_by_text(path: Path) -> dict[str, dict[str, Any]]:
    fates, records = run(path, "fates", "records")
    joined = fates.join(records.select("record_id", "text"), on="record_id")
    return {row["text"]: row for row in joined.to_dicts()}


def test_a_page_that_holds_a_test_question_is_dropped_with_the_span_and_the_item(tmp_path):
    path = lake(tmp_path, contamination_tokens=13)
    shared, fates, records = run(path, "contamination", "fates", "records")
    assert shared.height == 1
    row = shared.to_dicts()[0]
    text = records.filter(pl.col("content_id") == row["content_id"])["text"][0]
    test = records.filter(pl.col("role") == "evaluation").to_dicts()[0]
    assert text[row["start"] : row["end"]].lower() == QUESTION
    assert test["text"][row["against_start"] : row["against_end"]] == QUESTION
    assert row["against"] == test["record_id"]
    dropped = fates.filter(pl.col("fate") == "contaminated").to_dicts()
    assert [(d["content_id"], d["by"]) for d in dropped] == [(row["content_id"], row["against"])]
    assert f"shares {row['tokens']} tokens" in dropped[0]["reason"]


def test_without_the_setting_it_stays(tmp_path):
    shared, repeated, fates = run(lake(tmp_path), "contamination", "spans", "fates")
    assert shared.is_empty()
    assert repeated.is_empty()
    assert fates.filter(pl.col("fate") == "contaminated").is_empty()


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("none", None), ("case", None), ("line_endings", "near"), ("line_endings+case", "exact")],
)
def test_what_counts_as_the_same_text_is_what_the_recipe_says(tmp_path, setting, kind):
    # character shingles are of lower-cased text, so that only the byte order mark tells the two apart by them
    path = lake(tmp_path, normalise=setting, shingle="char:50", similarity=1.0)
    told = fate_by_text(path)
    gone = [told[text]["fate"] for text in ("\ufeffThe same\r\nwords", "the SAME\nwords")]
    assert sorted(gone, key=str) == ([None, None] if kind is None else [None, "duplicate"])
    (twins,) = contents_of(path, "duplicates")
    assert twins["kind"].to_list() == ([] if kind is None else [kind, kind])


def test_spans_are_reported_and_nothing_goes(tmp_path):
    repeated, fates, records = run(
        lake(tmp_path, spans={"tokens": 10}), "spans", "fates", "records"
    )
    texts = dict(records.select("content_id", "text").iter_rows())
    assert repeated.height == 2
    for row in repeated.to_dicts():
        here = texts[row["content_id"]][row["start"] : row["end"]]
        assert here == texts[row["other"]][row["other_start"] : row["other_end"]]
        assert len(here.split()) == row["tokens"] >= 10
    kept = fates.filter(pl.col("fate").is_null()).select("record_id")
    assert records.join(kept, on="record_id")["text"].str.contains("word10").sum() == 2


PAGES = [
    f"{STORY} and a first end that is the longest of all the ends there are here",
    f"A beginning of its own. {STORY.upper()}",
    f"{STORY[:150]}.",
    "word0 word1 word2 word3 word4 is no more than a few of the words, so that nothing goes of it",
]


def with_pages(folder: Path, **settings: Any) -> Path:
    path = lake(folder, spans={"tokens": 10, "remove": True}, **settings)
    write(folder, "train", PAGES, stars=[1, 2, 3, 4])
    return path


def test_spans_that_another_record_keeps_are_cut_out_of_what_is_published(tmp_path):
    path = with_pages(tmp_path)
    execute(load_recipe(path))
    held = contents(path)
    records = {r["text"]: r for r in held["deduplication/records"].to_dicts()}
    assert set(PAGES) < set(records)
    first, second, third, last = (records[page] for page in PAGES)
    published = {r["record_id"]: r for r in held["publication/training_set"].to_dicts()}
    assert {i: r["text"] for i, r in published.items()} == {
        first["record_id"]: first["text"],
        second["record_id"]: "A beginning of its own. ",
        last["record_id"]: last["text"],
    }
    cut = published[second["record_id"]]
    (content,) = content_ids("text", pl.Series([cut["text"]]).to_arrow().cast("string"))
    assert cut["content_id"] == content != second["content_id"]
    left = held["deduplication/cut_records"].to_dicts()
    assert [(r["record_id"], r["content_id"], r["tokens"]) for r in left] == [
        (second["record_id"], content, 6)
    ]
    for row in held["deduplication/cuts"].to_dicts():
        loses, keeps = (
            next(r["text"] for r in records.values() if r["record_id"] == row[name])
            for name in ("record_id", "keeper")
        )
        gone = loses[row["start"] : row["end"]]
        assert gone.lower() == keeps[row["keeper_start"] : row["keeper_end"]]
        assert len(gone.split()) == row["tokens"] >= 10
        assert row["keeper"] == first["record_id"]
    assert held["deduplication/cuts"]["record_id"].unique().len() == 2
    line = {r["record_id"]: r for r in held["publication/ledger"].to_dicts()}
    assert "without 1 spans that other records keep" in line[second["record_id"]]["reason"]
    emptied = line[third["record_id"]]
    assert (emptied["fate"], emptied["by"]) == ("filtered", first["record_id"])
    assert "no word is left" in emptied["reason"]
    # what is computed from a text is computed from what is published
    vectors = set(held["scoring/embeddings"]["content_id"])
    assert content in vectors
    assert second["content_id"] not in vectors
    pools = dict(held["filtering/pools"].select("record_id", "tokens").iter_rows())
    assert pools[second["record_id"]] == 6
    told = trace(scan_of(path), second["record_id"])
    assert told["cut"]["content_id"] == content
    assert told["cut"]["text"] == cut["text"]
    assert [s["keeper"] for s in told["cut"]["spans"]] == [first["record_id"]]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("survivor", ["incumbent", "content"])
def test_a_longer_newcomer_takes_a_span_only_where_incumbents_may_go(tmp_path, survivor):
    path = with_pages(tmp_path, survivor=survivor)
    run(path, "cuts")
    newer = f"{STORY} {' '.join(f'new{i}' for i in range(40))} and more, so that it is the longest by far"
    write(tmp_path, "new", [newer], stars=[9])
    for _ in range(2):  # another release changes nothing of it
        cuts, records = run(path, "cuts", "records")
        ids = dict(records.select("text", "record_id").iter_rows())
        stays, goes = (PAGES[0], newer) if survivor == "incumbent" else (newer, PAGES[0])
        assert set(cuts["keeper"]) == {ids[stays]}
        assert ids[goes] in set(cuts["record_id"])
        write(tmp_path, "other", ["something else that is not alike"], stars=[0])
    (tmp_path / "lake" / ("train.jsonl" if survivor == "incumbent" else "new.jsonl")).unlink()
    cuts, records = run(path, "cuts", "records")
    ids = dict(records.select("text", "record_id").iter_rows())
    assert ids[goes] not in set(cuts["record_id"])


def test_the_named_column_chooses_the_survivor(tmp_path):
    for order, stays in (
        (["max:stars"], "the SAME\nwords"),
        (["min:stars"], "\ufeffThe same\r\nwords"),
    ):
        folder = tmp_path / order[0][:3]
        folder.mkdir()
        told = fate_by_text(lake(folder, normalise="line_endings+case", order=order))
        assert told[stays]["fate"] is None


def test_an_order_by_a_column_that_is_not_kept_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="'votes', which no rule keeps"):
        run(lake(tmp_path, order=["max:votes"]), "fates")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("survivor", ["incumbent", "content"])
def test_incumbents_stay_when_a_longer_twin_comes_and_a_dropped_twin_comes_back(tmp_path, survivor):
    short = " ".join(f"term{i}" for i in range(60))
    long = short + " and one more"
    path = lake(tmp_path, survivor=survivor)
    write(tmp_path, "old", [short], stars=[1])
    assert fate_by_text(path)[short]["fate"] is None
    write(tmp_path, "new", [long], stars=[1])
    told = fate_by_text(path)
    stays, goes = (short, long) if survivor == "incumbent" else (long, short)
    assert told[stays]["fate"] is None
    assert (told[goes]["fate"], told[goes]["by"]) == ("duplicate", told[stays]["record_id"])
    (tmp_path / "lake" / ("old.jsonl" if stays == short else "new.jsonl")).unlink()
    assert fate_by_text(path)[goes]["fate"] is None


def test_incumbents_and_components_do_not_go_together(tmp_path):
    with pytest.raises(RecipeError, match="incumbent needs mode: star"):
        load_recipe(lake(tmp_path, survivor="incumbent", mode="components"))


def test_the_card_shows_the_largest_clusters_side_by_side(tmp_path):
    path = lake(tmp_path, normalise="line_endings+case")
    (clusters,) = run(path, "clusters")
    assert clusters["records"].to_list() == [2]
    assert {clusters["text"][0], clusters["twin_text"][0]} == {
        "\ufeffThe same\r\nwords",
        "the SAME\nwords",
    }
    recipe = load_recipe(path)
    assert last_release(Path(recipe.output)) is not None
    card = (Path(recipe.output) / "publication" / "card.html").read_text(encoding="utf-8")
    assert "the SAME\nwords" in card
    assert "The largest clusters" in card
