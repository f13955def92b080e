"""`sluice init`: the recipe that it writes runs as it stands, on lakes of many shapes; else it says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from orchestration.cli import main
from orchestration.draft import look as looking
from orchestration.execute import execute
from orchestration.preflight import check_recipe_against_lake
from resources.errors import EXIT_BAD_RECIPE
from resources.recipe_file import load_recipe
from resources.rules import matching_rule
from tests import lakes

TEXTS = lakes.texts("en", 60)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def roles(answer: dict[str, Any]) -> dict[str, str]:
    return {row["table"]: row["role"] for row in answer["tables"]}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(start: int, stop: int, column: str = "text", **more: str) -> list[dict[str, Any]]:
    return [{column: text, **more} for text in TEXTS[start:stop]]


def awkward(lake: Path) -> None:
    jsonl(lake / 'it\'s "q" [1]' / "a*b?.jsonl", rows(0, 10))
    jsonl(lake / 'it\'s "q" [1]' / "test.jsonl", rows(10, 14))
    jsonl(lake / "ünïcode ሀለመ" / "x y.jsonl", rows(14, 20, "body", lang="am"))
    jsonl(lake / "ünïcode ሀለመ" / "[z].jsonl", rows(20, 26, "body", lang="sw"))
    jsonl(lake / "#hash: colon - dash" / "- a: b.jsonl", rows(26, 30, "text: no"))
    jsonl(lake / "trailing." / "dot..jsonl", rows(30, 34))
    jsonl(lake / "new\nline.jsonl", rows(34, 36))


def csvs(lake: Path) -> None:
    lake.mkdir(parents=True)
    table = pl.DataFrame(
        {
            "": range(40),
            "a": [i * 0.37 % 1 for i in range(40)],
            "b": [i * i % 17 for i in range(40)],
        }
    ).with_columns(species=pl.Series(["x", "y"] * 20))
    table.write_csv(lake / "flowers.csv")
    late = ["p,q,label", *(f"{i * 7 % 11},{i % 5}.5,{i % 2}" for i in range(900)), "n/a,1,0"]
    (lake / "late.csv").write_text("\n".join(late) + "\n", encoding="utf-8")


def nested(lake: Path) -> None:
    turns = [{"role": "user", "content": TEXTS[0]}, {"role": "assistant", "content": TEXTS[1]}]
    jsonl(
        lake / "chat.jsonl",
        [
            {"id": i, "messages": [*turns, {"role": "user", "content": TEXTS[i]}]}
            for i in range(2, 20)
        ],
    )


def pictures(lake: Path) -> None:
    jsonl(
        lake / "pictures.jsonl",
        [{"image_url": f"https://ex.org/{i}.jpg", "caption": "a small dog"} for i in range(20)],
    )


def one_parquet(lake: Path) -> None:
    lake.mkdir(parents=True)
    pl.DataFrame({"content": TEXTS[:30], "label": [i % 3 for i in range(30)]}).write_parquet(
        lake / "d.parquet"
    )


def odd_csv(lake: Path) -> None:
    lake.mkdir(parents=True)
    lines = ["text;topic", *(f"café {t};t{i % 2}" for i, t in enumerate(TEXTS[:20]))]
    (lake / "latin.csv").write_bytes(("\n".join(lines) + "\n").encode("latin-1"))
    plain = ["tweet\tlabel", *(f'"{t}\t{"pn"[i % 2]}' for i, t in enumerate(TEXTS[20:40]))]
    (lake / "quotes.tsv").write_text("\n".join(plain) + "\n", encoding="utf-8")


def many_shapes(lake: Path) -> None:
    awkward(lake)
    nested(lake / "chats")
    one_parquet(lake / "documents")
    odd_csv(lake / "exports")


@pytest.mark.parametrize(("build", "rows_read"), [(many_shapes, 124), (csvs, 40), (pictures, 20)])
def test_the_recipe_runs_as_it_stands(
    build: Callable[[Path], None], rows_read: int, tmp_path: Path, dagster_home: Path
) -> None:
    build(tmp_path / "lake")
    told(call("init", tmp_path / "lake", "--out", tmp_path / "recipe.yaml", "--json"))
    outcome = execute(load_recipe(tmp_path / "recipe.yaml"))
    assert outcome.release is not None
    fates: Any = outcome.release["rows"]
    assert sum(fates.values()) == rows_read
    assert fates["published"] > 0
    assert not fates.get("quarantined")
    assert fates.get("evaluation", 0) == (4 if build is many_shapes else 0)


def test_the_tiny_lake_is_told_apart_and_its_rules_match_first(tmp_path: Path) -> None:
    lake = lakes.build(tmp_path)
    answer = told(call("init", lake.root, "--out", tmp_path / "guess.yaml", "--json"))
    found = roles(answer)
    assert found["evaluation/questions.jsonl"] == "evaluation"
    assert {found[t] for t in lake.rows if t.startswith("texts/") and t in found} == {"train"}
    assert found["archive/sources.csv"] == "ignore"
    assert {u["table"] for u in answer["unreadable"]} == {"texts/no.parquet", "texts/nothing.csv"}
    texts = next(r for r in answer["rules"] if "texts/english.jsonl" in r["tables"])
    assert texts["groups"] == [["language", "column", "language"]]
    assert "texts/*" in texts["patterns"]
    recipe = load_recipe(tmp_path / "guess.yaml")
    check_recipe_against_lake(recipe)
    for table, role in found.items():
        index = matching_rule(recipe.records, table)
        assert ("ignore" if index is None else recipe.records[index].role) == role
    text = (tmp_path / "guess.yaml").read_text(encoding="utf-8")
    assert lakes.MARKER not in text
    assert "# allocation:" in text
    # the folder that the recipe writes to is none that holds something, and not in the lake
    assert Path(recipe.output) == tmp_path / "curated"


def test_a_recipe_is_replaced_only_by_force_and_then_keeps_its_output(tmp_path: Path) -> None:
    jsonl(tmp_path / "lake" / "a.jsonl", rows(0, 12))
    target = tmp_path / "mine.yaml"
    told(call("init", tmp_path / "lake", "--out", target, "--json"))
    changed = target.read_text(encoding="utf-8").replace("output: curated", "output: elsewhere")
    target.write_text(changed, encoding="utf-8")
    refused = call("init", tmp_path / "lake", "--out", target)
    assert refused.exit_code == EXIT_BAD_RECIPE
    assert "--force" in refused.stderr
    assert target.read_text(encoding="utf-8") == changed
    told(call("init", tmp_path / "lake", "--out", target, "--force", "--json"))
    assert load_recipe(target).output == str(tmp_path / "elsewhere")


def test_the_recipe_goes_here_or_beside_a_lake_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonl(tmp_path / "lake" / "a" / "a.jsonl", rows(0, 12))
    monkeypatch.chdir(tmp_path / "lake" / "a")
    assert call("init", "..").exit_code == 0
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert (recipe.lake, recipe.output) == (str(tmp_path / "lake"), str(tmp_path / "curated"))
    (tmp_path / "work").mkdir()
    (tmp_path / "curated").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shown = call("init", "../lake")
    assert "sluice run recipe.yaml" in shown.output
    assert load_recipe("recipe.yaml").output == str(tmp_path / "work" / "curated")


def test_a_former_output_within_the_lake_is_no_source(tmp_path: Path) -> None:
    jsonl(tmp_path / "lake" / "notes.jsonl", rows(0, 12))
    output = tmp_path / "lake" / "out"
    (output / "_sluice").mkdir(parents=True)
    pl.DataFrame({"text": TEXTS}).write_delta(str(output / "publication" / "training_set"))
    answer = told(call("init", tmp_path / "lake", "--out", tmp_path / "new.yaml", "--json"))
    assert roles(answer) == {"notes.jsonl": "train", "out/publication/training_set": "ignore"}


@pytest.mark.parametrize(
    ("files", "hints"),
    [
        ({}, ["holds no table", "put tables there"]),
        (
            {"a.bin": "\0", "e.csv": "", "x.parquet": "no"},
            ["3 files can't be read", "unknown format"],
        ),
        ({"k.csv": "k,v\n1,a\n2,a\n"}, ["none of the 1 tables", "k.csv", "names its column"]),
        ({"head.csv": "text,label\n"}, ["none of the 1 tables"]),
        ({"list.json": "[1, 2]"}, ["not a list of objects"]),
    ],
)
def test_a_lake_without_training_data_is_refused_with_a_remedy(
    files: dict[str, str], hints: list[str], tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    for name, content in files.items():
        (lake / name).write_text(content, encoding="utf-8")
    result = call("init", lake, "--out", tmp_path / "recipe.yaml")
    assert result.exit_code == EXIT_BAD_RECIPE
    for hint in hints:
        assert hint in result.stderr
    assert not (tmp_path / "recipe.yaml").exists()


def test_a_lake_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = call("init", tmp_path / "nowhere")
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "does not exist" in result.stderr


def test_a_folder_of_splits_warns_that_it_is_one_table(tmp_path: Path) -> None:
    data = tmp_path / "lake" / "data"
    data.mkdir(parents=True)
    for name, start in (("train-0", 0), ("test-0", 20)):
        pl.DataFrame({"text": TEXTS[start : start + 20]}).write_parquet(data / f"{name}.parquet")
    result = call("init", tmp_path / "lake", "--out", tmp_path / "recipe.yaml")
    assert result.exit_code == 0
    assert "data: LOOK HERE: 1 of its 2 files" in result.output
    assert "LOOK HERE" in (tmp_path / "recipe.yaml").read_text(encoding="utf-8")


def test_looking_reads_a_bounded_number_of_rows_of_each_table(tmp_path: Path) -> None:
    from assets.ingestion.discover import discover

    lake = tmp_path / "lake"
    lake.mkdir()
    many = [{"text": f"row {i} of many", "n": i} for i in range(5000)]
    jsonl(lake / "a.jsonl", many)
    pl.DataFrame(many).write_csv(lake / "b.csv")
    pl.DataFrame(many).write_parquet(lake / "c.parquet")
    pl.DataFrame(many).write_delta(str(lake / "d"))
    (lake / "e.json").write_text(json.dumps(many), encoding="utf-8")
    (lake / "f.txt").write_text("\n".join(row["text"] for row in many), encoding="utf-8")
    facts = looking.look(discover(lake).sources)
    assert {f.table: f.rows for f in facts} == dict.fromkeys(
        ["a.jsonl", "b.csv", "c.parquet", "d", "e.json", "f.txt"], looking.ROWS
    )
    for one in facts[:5]:
        kinds = {column.name: column.kind for column in one.columns}
        assert kinds == {"text": "text", "n": "number"}
