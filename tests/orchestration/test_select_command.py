"""`sluice select` as people and machines meet it, mostly after `sluice score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from assets.scoring.selectors.registry import SELECTORS
from orchestration.cli import main
from resources.errors import EXIT_BAD_RECIPE, EXIT_DONE


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def told(*arguments: object) -> dict[str, Any]:
    result = call("select", *arguments, "--json")
    assert result.exit_code == EXIT_DONE, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    first = pl.DataFrame(
        {
            "text": [f"note {i} of the sea " * (i % 4) for i in range(30)],
            "topic": ["a", "b", "b"] * 10,
            "rank": range(30),
        }
    )
    second = pl.DataFrame(
        {"text": [f"line {i}, of a letter" for i in range(20)], "year": range(20)}
    )
    first.write_parquet(tmp_path / "first.parquet", row_group_size=8)
    second.write_csv(tmp_path / "second.csv")
    return tmp_path / "first.parquet", tmp_path / "second.csv"


@pytest.fixture
def scores(files: tuple[Path, Path], tmp_path: Path) -> Path:
    out = tmp_path / "scores.parquet"
    names = ("--scorers", "random,redundancy,repetition", "--combine", "borda")
    result = call("score", *files, "--text", "text", *names, "--out", out)
    assert result.exit_code == EXIT_DONE, result.output
    return out


def test_the_list_has_every_method() -> None:
    rows = json.loads(call("select", "--list", "--json").stdout)
    assert [row["selector"] for row in rows] == list(SELECTORS)
    assert all(row["selector"] in call("select", "--list").stdout for row in rows)


def test_selected_rows_keep_their_order_and_their_columns(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "chosen.parquet"
    answer = told(*files, "--scores", scores, "--method", "top", "--budget", 12, "--out", out)
    assert answer["column"] == "quality"
    frame = pl.read_parquet(out)
    assert frame.columns == ["id", "rank", "gain", "text", "topic", "rank_2", "year"]
    table = pl.read_parquet(scores).drop_nulls("quality")
    best = table.sort("quality", descending=True).head(12)
    assert sorted(frame["gain"]) == sorted(best["quality"])
    assert frame["id"].to_list() == [i for i in table["id"] if i in set(frame["id"])]
    by_rank = frame.sort("rank")["gain"]
    assert by_rank.is_sorted(descending=True)
    want = {f"{files[0]}#{i}": t for i, t in enumerate(pl.read_parquet(files[0])["text"])}
    for name, text in frame.select("id", "text").iter_rows():
        assert text == want.get(name, text)
    assert frame["year"].is_null().to_list() == frame["id"].str.contains("first").to_list()


def test_the_direction_is_that_of_the_score(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    arguments = (*files, "--method", "top", "--column", "redundancy", "--budget", 5)
    told(*arguments, "--scores", scores, "--out", tmp_path / "o.csv")
    least = pl.read_parquet(scores)["redundancy"].drop_nulls().sort().head(5)
    assert pl.read_csv(tmp_path / "o.csv")["gain"].sort().to_list() == least.to_list()
    other = tmp_path / "scores.csv"
    pl.read_parquet(scores).rename({"redundancy": "mine"}).write_csv(other)
    arguments = (*files, "--method", "top", "--column", "mine", "--budget", 5, "--scores", other)
    result = call("select", *arguments, "--out", tmp_path / "p.csv")
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "--direction" in result.stderr
    told(*arguments, "--direction", "low", "--out", tmp_path / "p.csv")
    assert pl.read_csv(tmp_path / "p.csv")["id"].equals(pl.read_csv(tmp_path / "o.csv")["id"])


def test_the_order_of_files_and_of_scores_changes_nothing(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    shuffled = tmp_path / "shuffled.parquet"
    pl.read_parquet(scores).sample(fraction=1, shuffle=True, seed=1).write_parquet(shuffled)
    chosen = []
    for table, order in ((scores, files), (shuffled, files[::-1])):
        out = tmp_path / "o.parquet"
        told(
            *order,
            "--scores",
            table,
            "--method",
            "gumbel",
            "--column",
            "repetition",
            "--budget",
            9,
            "--out",
            out,
        )
        chosen.append(pl.read_parquet(out).select("id", "rank", "gain").sort("rank"))
    assert chosen[0].equals(chosen[1])


@pytest.mark.parametrize("unit", ["tokens", "bytes"])
def test_a_budget_of_text_is_not_passed(
    files: tuple[Path, Path], tmp_path: Path, unit: str
) -> None:
    out = tmp_path / "o.parquet"
    answer = told(
        *files, "--method", "random", "--budget", f"{unit}=90", "--text", "text", "--out", out
    )
    text = pl.read_parquet(out)["text"]
    counts = text.str.len_bytes() if unit == "bytes" else text.str.count_matches(r"\w+|[^\w\s]+")
    assert answer["budget"] == {"unit": unit, "amount": 90, "spent": counts.sum()}
    assert 30 < counts.sum() <= 90


def test_a_method_that_holds_all_vectors_stays_within_the_memory_or_says_what_it_needs(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    given = ("select", *files, "--text", "text", "--dimensions", 100, "--budget", 5, "--out", out)
    result = call(*given, "--method", "k_center", "--memory", "20kB")
    assert result.exit_code == EXIT_BAD_RECIPE
    told = "the first 30, of 100 numbers, need 48,000 bytes (16 a number), and --memory is 20,000; raise --memory"
    assert told in result.stderr
    assert not out.exists()
    assert call(*given, "--method", "random", "--memory", "20kB").exit_code == EXIT_DONE
    assert call(*given, "--method", "k_center", "--memory", "90kB").exit_code == EXIT_DONE
    assert "--memory" in call(*given, "--method", "random", "--memory", "0").stderr


def test_the_top_of_each_stratum_takes_its_strata_from_the_files_or_the_scores(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    given = (files[0], "--method", "stratified_top", "--scores", scores, "--column", "random")
    told(*given, "--stratum", "topic", "--budget", 9, "--out", out)
    chosen = pl.read_parquet(out)
    everyone = pl.read_parquet(files[0]).with_columns(
        id=pl.Series([f"{files[0]}#{i}" for i in range(30)])
    )
    joined = everyone.join(pl.read_parquet(scores), on="id")
    for topic, seats in (("a", 3), ("b", 6)):
        best = joined.filter(pl.col("topic") == topic).top_k(seats, by="random")["id"]
        assert set(chosen.filter(pl.col("topic") == topic)["id"]) == set(best)
    wide = tmp_path / "wide.parquet"
    joined.select("id", "random", mine="topic").write_parquet(wide)
    again = tmp_path / "again.parquet"
    given = (*given[:3], "--scores", wide, "--column", "random", "--direction", "high")
    told(*given, "--stratum", "mine", "--budget", 9, "--out", again)
    assert pl.read_parquet(again)["id"].equals(chosen["id"])
    for more, hint in (
        ([], "needs --stratum COL"),
        (["--stratum", "nope"], "has no column 'nope'"),
    ):
        result = call("select", *given, *more, "--budget", 9, "--out", again)
        assert result.exit_code == EXIT_BAD_RECIPE
        assert hint in result.stderr
    other = ("select", files[0], "--method", "random", "--stratum", "topic", "--budget", 9)
    assert "--stratum means nothing" in call(*other, "--out", again).stderr


def test_strata_may_be_of_the_files_or_of_the_scores(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    told(files[0], "--method", "stratified", "--column", "topic", "--budget", 9, "--out", out)
    counts = dict(pl.read_parquet(out)["topic"].value_counts().iter_rows())
    assert counts == {"a": 3, "b": 6}
    split = tmp_path / "split.jsonl"
    half = pl.when(pl.col("id").str.contains("first")).then(1).otherwise(2)
    pl.read_parquet(scores).select("id", half=half).write_ndjson(split)
    told(
        *files,
        "--method",
        "stratified",
        "--scores",
        split,
        "--column",
        "half",
        "--budget",
        10,
        "--out",
        out,
    )
    assert pl.read_parquet(out)["id"].str.contains("first").sum() == 6


def test_vectors_are_made_of_text_or_given(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    answer = told(
        *files, "--method", "facility_location", "--text", "text", "--budget", 6, "--out", out
    )
    assert answer["left_out"] == {"no vector": 8}  # empty texts
    vectors = tmp_path / "v.parquet"
    pl.DataFrame(
        {"name": ["p", "q", "r"], "v": [[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0]]}
    ).write_parquet(vectors)
    told(
        vectors,
        "--method",
        "k_center",
        "--embedding",
        "v",
        "--budget",
        2,
        "--id",
        "name",
        "--out",
        out,
    )
    frame = pl.read_parquet(out)
    assert "r" in frame["id"].to_list()
    assert frame.columns == ["id", "rank", "gain", "v"]


def test_settings_and_a_target_reach_the_method(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    common = (*files, "--text", "text", "--budget", 6, "--out", out)
    target = tmp_path / "target.csv"
    pl.DataFrame(
        {"text": ["line 7, of a letter", "note 6 of the sea note 6 of the sea"]}
    ).write_csv(target)
    told(*common, "--method", "round_robin", "--target", target)
    first = pl.read_parquet(out).sort("rank").head(2)["text"].to_list()
    assert any(text.startswith("note 6 of") for text in first)
    assert "line 7, of a letter" in first
    chosen = {}
    for alpha in (0, 1):
        told(
            *common, "--method", "quality_diversity", "--scores", scores, "--set", f"alpha={alpha}"
        )
        chosen[alpha] = set(pl.read_parquet(out)["id"])
    # records without text have a quality too, but no vector
    table = pl.read_parquet(scores).drop_nulls(["quality", "redundancy"])
    best = table.sort("quality", descending=True).head(6)["quality"]
    assert sorted(table.filter(pl.col("id").is_in(chosen[1]))["quality"]) == sorted(best)
    assert chosen[0] != chosen[1]
    result = call("select", *common, "--method", "random", "--target", target)
    assert "--target means nothing" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--method", "top", "--budget", "3"], "give --scores F"),
        (["--method", "tops", "--budget", "3"], "did you mean 'top'?"),
        (["--method", "random", "--budget", "tokens=3"], "give --text COL"),
        (["--method", "random", "--budget", "0"], "no whole number above 0"),
        (["--method", "k_center", "--budget", "3"], "needs --embedding COL"),
        (["--method", "stratified", "--budget", "3"], "needs --column COL"),
        (["--method", "stratified", "--column", "nix", "--budget", "3"], "no column 'nix'"),
        (["--method", "random", "--column", "topic", "--budget", "3"], "take it out"),
        (
            ["--method", "random", "--temperature", "2", "--budget", "3"],
            "--temperature means nothing",
        ),
        (["--method", "round_robin", "--text", "text", "--budget", "3"], "give --target FILE"),
        (
            ["--method", "semdedup", "--text", "text", "--set", "mode", "--budget", "3"],
            "NAME=VALUE",
        ),
        (
            ["--method", "semdedup", "--text", "text", "--set", "mood=x", "--budget", "3"],
            "it takes k, keep, mode, threshold",
        ),
    ],
)
def test_what_is_asked_in_vain_ends_with_2_and_writes_nothing(
    files: tuple[Path, Path], tmp_path: Path, arguments: list[str], hint: str
) -> None:
    out = tmp_path / "o.parquet"
    result = call("select", files[0], *arguments, "--out", out)
    assert result.exit_code == EXIT_BAD_RECIPE, result.output
    assert hint in result.stderr
    assert not out.exists()


def test_scores_of_other_files_are_refused(
    files: tuple[Path, Path], scores: Path, tmp_path: Path
) -> None:
    moved = files[0].rename(tmp_path / "moved.parquet")
    arguments = ("--method", "top", "--budget", 3, "--scores", scores, "--out", tmp_path / "o.csv")
    result = call("select", moved, *arguments)
    assert result.exit_code == EXIT_BAD_RECIPE
    assert "knows none of the records" in result.stderr
    assert "as they were named when they were scored" in result.stderr
    twice = tmp_path / "twice.csv"
    pl.DataFrame({"id": ["a", "a"], "quality": [1, 2]}).write_csv(twice)
    result = call("select", moved, *arguments[:-4], "--scores", twice, *arguments[-2:])
    assert "null or occurs twice" in result.stderr


def test_a_budget_of_compute_is_what_that_many_tokens_cost(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    given = [*files, "--text", "text", "--method", "random"]
    by_tokens = told(*given, "--budget", "tokens=70", "--out", tmp_path / "a.parquet")
    answer = told(
        *given, "--budget", "flops=4.2e11", "--parameters", 1e9, "--out", tmp_path / "b.parquet"
    )
    names = [pl.read_parquet(tmp_path / f"{n}.parquet")["id"].to_list() for n in "ab"]
    assert names[0] == names[1]
    assert answer["budget"]["spent"] == 6e9 * by_tokens["budget"]["spent"] <= 4.2e11
    for budget, more in (("flops=1e12", []), ("tokens=9", ["--parameters", 1e9])):
        result = call("select", *given, "--budget", budget, *more, "--out", tmp_path / "c.csv")
        assert result.exit_code == EXIT_BAD_RECIPE
        assert "needs --parameters" in result.output


def test_mig_covers_tags_of_lists_or_of_text(tmp_path: Path) -> None:
    tags = [["sea"], ["sea"], ["sea"], ["law"], ["law"], [], None, ["tax"]]
    frame = pl.DataFrame(
        {"name": list("abcdefgh"), "tags": tags, "worth": [9, 8, 7, 6, 5, 4, 3, 2]}
    )
    frame.write_parquet(tmp_path / "lists.parquet")
    joined = frame.with_columns(pl.col("tags").list.join(", "))
    joined.write_csv(tmp_path / "text.csv")
    frame.select(id="name", worth="worth").write_parquet(tmp_path / "scores.parquet")
    picked = []
    for file in ("lists.parquet", "text.csv"):
        options = ["--tags", "tags", "--id", "name", "--scores", tmp_path / "scores.parquet"]
        options += [
            "--direction",
            "high",
            "--set",
            "quality=raw",
            "--out",
            tmp_path / "out.parquet",
        ]
        answer = told(tmp_path / file, "--method", "mig", "--budget", 3, *options)
        assert answer["left_out"] == {"no tags": 2}
        picked.append(set(pl.read_parquet(tmp_path / "out.parquet")["id"]))
    assert picked == [{"a", "d", "h"}] * 2
    by_worth = ["--scores", tmp_path / "scores.parquet", "--direction", "high"]
    bare = ["--budget", 3, "--id", "name", "--out", tmp_path / "x.csv"]
    for method, more, why in (
        ("mig", [], "needs --tags COL"),
        ("random", ["--tags", "tags"], "does not look at tags"),
        ("mig", ["--tags", "worth", *by_worth], "lists of text"),
    ):
        result = call("select", tmp_path / "lists.parquet", "--method", method, *bare, *more)
        assert result.exit_code == EXIT_BAD_RECIPE
        assert why in result.output
