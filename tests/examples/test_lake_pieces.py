"""Splitting, catalogues and writers, each by itself."""

from __future__ import annotations

import gzip
import json
import sys
from importlib.metadata import distribution
from pathlib import Path

import polars as pl
import pytest
import zstandard
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from examples import installed_files, installed_text, lake_files, source_text
from examples.installed_files import MissingDistributionError
from examples.message_catalogues import Message, parse_catalogue
from examples.text_parts import split

TEXTS = st.text(st.sampled_from("ab .\n"), max_size=400)


@given(TEXTS, st.integers(1, 60))
def test_split_loses_white_space_only(text: str, longest: int) -> None:
    parts = split(text, longest=longest, shortest=1)
    assert "".join("".join(parts).split()) == "".join(text.split())
    longest_word = max((len(word) for word in text.split()), default=0)
    assert all(len(part) <= max(longest, longest_word) for part in parts)


@given(TEXTS)
def test_short_texts_stay_whole(text: str) -> None:
    parts = split(text, longest=1000)
    assert len(parts) <= 1


def test_split_cuts_at_blank_lines_first() -> None:
    text = "\n\n".join(f"paragraph {i}\nof two lines" for i in range(4))
    assert split(text, longest=55, shortest=1) == [
        "paragraph 0\nof two lines\n\nparagraph 1\nof two lines",
        "paragraph 2\nof two lines\n\nparagraph 3\nof two lines",
    ]
    assert split("a" * 30 + "\n\n" + "b" * 5, longest=30, shortest=10) == [
        "a" * 30 + "\n\n" + "b" * 5
    ]


CATALOGUE = r"""
msgid ""
msgstr "Language: xx\n"

#: where.py:1
msgid "Hello"
msgstr "Hallo"

#, fuzzy
msgid "Guess"
msgstr "Raten"

#, python-format
msgid ""
"%(n)s line\n"
"and \"more\""
msgstr ""
"%(n)s Zeile\n"
"und \"mehr\""

msgctxt "button"
msgid "one"
msgid_plural "many"
msgstr[0] "eins"
msgstr[1] "viele"

msgid "Untranslated"
msgstr ""

#~ msgid "Old"
#~ msgstr "Alt"
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_catalogue(ending: str) -> None:
    found = list(parse_catalogue(CATALOGUE.replace("\n", ending)))
    assert found == [
        Message("Hello", "Hallo"),
        Message('%(n)s line\nand "more"', '%(n)s Zeile\nund "mehr"'),
        Message("one", "viele"),
    ]


def test_closure_is_sorted_and_leaves_tools_out() -> None:
    names = [item.name.lower() for item in installed_files.dependency_closure(["scikit-learn"])]
    assert {"scikit-learn", "numpy", "scipy", "joblib"} <= set(names)
    assert "pytest" not in names
    assert names == sorted(names)
    with pytest.raises(MissingDistributionError, match="pip install no-such-thing"):
        installed_files.dependency_closure(["no-such-thing"])


def test_docstrings_are_those_of_the_source() -> None:
    found = {text.title: text.text for text in source_text.docstrings("joblib", most_bytes=10**9)}
    import inspect

    import joblib

    assert found["joblib.memory.Memory"] == inspect.getdoc(joblib.Memory)
    assert all(len(text) >= 200 for title, text in found.items() if "(part" not in title)


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    small = source_text.docstrings("joblib", most_bytes=20_000)
    large = source_text.docstrings("joblib", most_bytes=60_000)
    assert set(small) < set(large)
    assert len({text.id for text in large}) == len(large)


def test_licences_and_readmes_come_from_metadata() -> None:
    items = [distribution("numpy"), distribution("polars")]
    assert {text.kind for text in installed_text.readmes(items)} == {"readme"}
    assert any(
        "Redistribution" in text.text
        for text in installed_text.licences(installed_files.list_files(items))
    )


FRAME = pl.DataFrame({"i": [1, 2, 3], "x": [0.1, -2.5, None], "t": ['a"b', "ü,\n", None]})


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_jsonl(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"t.jsonl{suffix}"
    lake_files.write_jsonl(FRAME, path)
    data = path.read_bytes()
    raw = {"": bytes, ".gz": gzip.decompress, ".zst": zstandard.ZstdDecompressor().decompress}[
        suffix
    ](data)
    assert [json.loads(line) for line in raw.splitlines()] == FRAME.to_dicts()


def test_delta_has_a_version_a_commit(tmp_path: Path) -> None:
    lake_files.write_delta([FRAME[:1], FRAME[1:]], tmp_path / "t")
    assert DeltaTable(str(tmp_path / "t")).version() == 1
    assert pl.read_delta(str(tmp_path / "t")).sort("i").equals(FRAME)
    assert pl.read_delta(str(tmp_path / "t"), version=0).equals(FRAME[:1])
    actions = DeltaTable(str(tmp_path / "t")).get_add_actions(flatten=True)
    assert sorted(pl.DataFrame(actions)["num_records"].to_list()) == [1, 2]


def test_delta_refuses_other_types(tmp_path: Path) -> None:
    with pytest.raises(lake_files.UnsupportedColumnError, match="'b' is Boolean"):
        lake_files.write_delta([pl.DataFrame({"b": [True]})], tmp_path / "t")


def test_parsing_imports_nothing() -> None:
    before = set(sys.modules)
    source_text.docstrings("networkx", most_bytes=5_000)
    assert not {name for name in set(sys.modules) - before if name.startswith("networkx")}
