"""The card: every number on it, nothing hostile in it, the same bytes for the same facts."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assets.publication import card_html, card_sections_rows, plots
from assets.publication.card import CardFacts, CardFactsError, render_card
from assets.publication.card_facts import COLUMNS
from assets.publication.card_format import (
    compact,
    count,
    escape,
    natural,
    number,
    share,
    shorten,
    shorten_path,
    size,
)
from assets.publication.card_graph import layout
from assets.publication.card_plots_budget import frontier

LIMIT = 2_000_000
VOID = {"meta", "br", "hr", "img", "input", "link"}
#: All elements that the page may hold: nothing that runs, loads, submits or embeds.
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "a",
    "header",
    "nav",
    "main",
    "section",
    "h1",
    "h2",
    "h3",
    "p",
    "b",
    "bdi",
    "code",
    "pre",
    "div",
    "span",
    "i",
    "dl",
    "dt",
    "dd",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "figure",
    "figcaption",
    "svg",
    "desc",
    "g",
    "path",
    "defs",
    "clippath",
    "rect",
    "use",
    "text",
    "tspan",
    "pattern",
}


def frame(name: str, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(COLUMNS[name]), orient="row")


def facts(groups: int = 3, pools: int = 2, evil: str = "", points: int = 3) -> CardFacts:
    """Make facts with every part filled; `evil` is put wherever text may come from a lake."""
    names = [f"g{place}{evil}" for place in range(groups)]
    labels = [f"{place}{evil}" for place in range(pools)]
    return CardFacts(
        title=f"A card{evil}",
        release=12,
        run_id=f"run-77{evil}",
        recipe_hash=f"hash-5a{evil}",
        code_version=f"0.1.9{evil}",
        time=f"2031-02-03{evil}",
        output=f"/data/out{evil}",
        versions={"publication/training_set": 31, f"publication/ledger{evil}": 32},
        tables=frame(
            "tables",
            [
                (f"a.csv{evil}", f"csv{evil}", 10_001, 20_480, 7, f"registered{evil}", None),
                ("b.parquet", "parquet", 3_003, 5_120, 4, "failed", f"footer{evil}"),
                ("c.parquet", "parquet", None, None, None, None, None),
            ],
        ),
        quarantine=frame(
            "quarantine",
            [(f"a.csv{evil}", 4_242, f"cells{evil}"), ("d.csv", None, "not valid UTF-8")],
        ),
        fates=frame(
            "fates",
            [
                ("published", "publication", f"chosen{evil}", 8_111),
                ("duplicate", "deduplication", f"twin{evil}", 1_222),
                ("filtered", "filtering", None, 333),
                ("not_allocated", "allocation", "budget spent", 44),
                ("quarantined", "ingestion", "cells", 5),
                (f"strange{evil}", None, None, 6),
            ],
        ),
        group_name=f"language{evil}",
        fates_by_group=frame(
            "fates_by_group",
            [
                (name, fate, 711 + place)
                for place, name in enumerate(names)
                for fate in ("published", "filtered")
            ],
        ),
        survival=frame(
            "survival",
            [
                (name, step, 9_000 - 1_000 * later - place)
                for place, name in enumerate(names)
                for later, step in enumerate(("read", "unique", "kept", "planned", "published"))
            ],
        ),
        edges=frame(
            "edges",
            [
                ("a.csv" + evil, "b.parquet", 0.4375, False, 10_001, 3_003),
                ("copy", "original", 1.0, True, 611, 612),
                ("original", "copy", 1.0, True, 612, 611),
            ],
        ),
        retention=frame(
            "retention",
            [
                ("a.csv" + evil, "keep", [], 0.0, f"nothing holds it{evil}"),
                ("copy", "retire", ["original" + evil], 17.25, "a copy"),
            ],
        ),
        clusters=frame("clusters", [(2, 401, f"exact{evil}"), (3, 52, "near"), (91, 1, "near")]),
        scores={
            f"dsir{evil}": pl.DataFrame(
                {"low": [-1.5, 0.0], "high": [0.0, 2.5], "rows": [313, 414]}
            ),
            "silent": pl.DataFrame({"low": [], "high": [], "rows": []}),
        },
        quality_by_pool=frame(
            "quality_by_pool",
            [
                (pool, 0.125 + pool, 0.375 + pool, 0.8125 + pool, 4_001 + pool)
                for pool in range(pools)
            ],
        ),
        samples=frame(
            "samples",
            [
                ("best", f"id-1{evil}", f"a.csv{evil}", 19, 0.987, f"fine words{evil}"),
                ("worst", "id-2", "b.parquet", None, 0.013, None),
                ("median", "id-3", "b.parquet", 2, 0.5, "  "),
            ],
        ),
        silences=frame("silences", [(f"rules{evil}", f"not English{evil}", 2_718)]),
        curves=frame(
            "curves",
            [
                (
                    label,
                    1_000 * 2**step,
                    1_500,
                    f"loss{evil}",
                    3.25 / (step + 1),
                    0.0625,
                    3,
                    3.1875,
                    3.0,
                    3.5,
                )
                for label in labels
                for step in range(points)
            ],
        ),
        curve_bands=frame(
            "curve_bands",
            [
                (label, 500.0 * 2**step, 3.0, 2.5, 3.5)
                for label in labels
                for step in range(points + 2)
            ],
        ),
        plans=frame(
            "plans",
            [
                (5_000.0, f"0{evil}", 2.625, 2.5, 2.75, 0.8125, 0.0, True),
                (5_000.0, "0+1", 2.875, 2.75, 3.125, 0.1875, 0.25, False),
                (90_000.0, "0+1", 1.625, 1.5, 1.75, 0.6875, 0.0, None),
            ],
        ),
        switch_points=frame("switch_points", [(23_456.0, f"0{evil}", "0+1")]),
        warnings=[
            {"code": f"few{evil}", "message": f"few points{evil}", "remedy": f"run more{evil}"}
        ],
        group_curves=frame(
            "group_curves",
            [
                (name, 150 * 2**step, 0.5 + 0.03125 * step, 0.015)
                for name in names
                for step in range(points)
            ],
        ),
        group_bands=frame(
            "group_bands",
            [(name, 100.0 * 2**step, 0.6, 0.55, 0.66) for name in names for step in range(points)],
        ),
        allocation=frame(
            "allocation",
            [
                (name, pool, 2_002 + place, 3_003 + place, 1_717 + place, 1.75, 0.28125, 0.0625)
                for place, name in enumerate(names)
                for pool in range(pools)
            ],
        ),
        sweep=frame(
            "sweep", [(e, 0.7135 - 0.004 * e, 0.5125 + 0.002 * e) for e in (0.0, 2.0, 20.0)]
        ),
        rule_points=frame(
            "rule_points", [(f"equal{evil}", 0.6875, 0.4375), ("alpha_0.3", 0.6885, 0.4385)]
        ),
        rules=frame(
            "rules",
            [
                (rule, name, 811.5 + place)
                for rule in ("equal", "alpha_0.3")
                for place, name in enumerate(names)
            ],
        ),
        chosen=(0.7055, 0.5255),
        weighted=f"each once{evil}",
        intersections=frame(
            "intersections",
            [
                (f"domain{evil}", name, f"d{place}{evil}", 1_501 + place, 1_501.0 + place, False)
                for place, name in enumerate(names)
            ]
            + [(f"domain{evil}", names[0], "news", None, None, True)],
        ),
        clauses=frame(
            "clauses",
            [(f"clause 7{evil}", f"asks{evil}", f"artefact{evil}", f"a/b.c{evil}", "missing")],
        ),
        policy={
            "owner": f"council{evil}",
            "reason": f"the weakest first{evil}",
            f"level{evil}": "skill",
        },
    )


class Reader(HTMLParser):
    """Reads a page back: its elements, attributes, texts, and whether all is closed."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check_harmless(page: str) -> Reader:
    """Assert that a page runs nothing and loads nothing, and is one well-formed document."""
    seen = Reader(page)
    assert seen.tags <= ALLOWED, seen.tags - ALLOWED
    identities = [value for _, name, value in seen.attributes if name == "id"]
    assert len(identities) == len(set(identities))
    for tag, name, value in seen.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in {"src", "srcset", "action", "formaction", "data", "xlink:href"}, (
            tag,
            name,
        )
        if name == "href":
            assert value.startswith("#")
            assert value[1:] in identities
        # attributes that are read aloud may quote what looks like a reference
        loads = "" if name in {"aria-label", "title"} else value
        for target in re.findall(r"url\(([^)]*)\)", loads):
            assert target.startswith("#")
            assert target[1:] in identities
    assert "@import" not in page
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style.group(1)
    # the one address is the name of SVG's namespace, which is not fetched
    assert set(re.findall(r"https?://[^\"'<>\s]*", page)) <= {"http://www.w3.org/2000/svg"}
    assert len(page.encode()) < LIMIT
    return seen


@pytest.fixture(scope="module")
def page() -> str:
    return render_card(facts())


def check_numbers(page: str, known: CardFacts) -> None:
    """Assert that every number and name of the facts' frames can be read on the page."""
    text = Reader(page).text
    words = set(re.split(r"[ ·]+", text)) | set(text.split())
    for name, columns in COLUMNS.items():
        for column, kind in columns.items():
            for value in getattr(known, name)[column]:
                if value is None or isinstance(value, (bool, pl.Series)):
                    continue
                if kind == pl.String:
                    assert " ".join(value.split()) in text, (name, column, value)
                    continue
                written = {count(value), str(value)} if kind == pl.Int64 else {number(value)}
                if column == "bytes":
                    assert size(value) in text
                elif column == "containment":
                    assert share(value, 1.0) in text
                # bands are a grid for drawing: their numbers are in the figure, not in a table
                elif name not in {"curve_bands", "group_bands"}:
                    assert written & words or any(one in text for one in written), (
                        name,
                        column,
                        value,
                    )


def check_fates(page: str, known: CardFacts) -> None:
    """Assert that each fate has its line with its rows, and that the total is that of all fates."""
    body = page.split('id="fates"')[1].split("</table>")[0]
    seen = Reader("<div>" + body.split("<table>")[1] + "</div>").text
    total = 0
    for fate, rows in known.fates.group_by("fate").agg(pl.col("rows").sum()).iter_rows():
        total += rows
        assert re.search(rf"{re.escape(fate)} .*? {count(rows)} ", seen), fate
    assert f"all every row that was found, once {count(total)} " in seen


def test_shows_every_number_of_its_facts(page: str) -> None:
    check_numbers(page, facts())
    for value in ("12", "run-77", "hash-5a", "0.1.9", "2031-02-03", "31", "32"):
        assert value in Reader(page).text


def test_leads_with_one_sentence(page: str) -> None:
    text = Reader(page).text
    assert "Of 9,721 rows, 8,111 (83.4 %) are in the training set." in text
    assert "duplicate (1,222), filtered (333), not allocated (44) and 2 smaller ones" in text


def test_a_note_comes_before_the_numbers_and_is_escaped() -> None:
    page = render_card(dataclasses.replace(facts(), note="A trial on <0.1> of the records."))
    assert "A trial on &lt;0.1&gt; of the records." in page
    text = Reader(page).text
    assert text.index("A trial on") < text.index("rows accounted for")


def test_counts_each_fate(page: str) -> None:
    check_fates(page, facts())


def test_mutant_that_drops_a_fate_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = card_sections_rows.fate_rows

    def forgetful(fates: pl.DataFrame) -> list[tuple[str, int]]:
        return [pair for pair in honest(fates) if pair[0] != "quarantined"]

    monkeypatch.setattr(card_sections_rows, "fate_rows", forgetful)
    only = dataclasses.replace(CardFacts(), fates=facts().fates)
    broken = render_card(only)
    with pytest.raises(AssertionError):
        check_fates(broken, only)


def test_says_how_to_read_and_to_ask(page: str) -> None:
    text = Reader(page).text
    assert "pl.read_delta('/data/out/publication/training_set', version=31)" in text
    assert "sluice trace id-1 --output /data/out --release 12" in text


def test_is_one_harmless_document(page: str) -> None:
    seen = check_harmless(page)
    assert ("html", "lang", "en") in seen.attributes


def test_each_figure_has_title_description_and_table(page: str) -> None:
    drawings = re.findall(r'<svg [^>]*role="img" aria-labelledby="(\S+) (\S+)"', page)
    assert len(drawings) == page.count("<svg ") == 14
    for title, description in drawings:
        assert re.search(
            rf'<title id="{title}">[^<]+</title><desc id="{description}">[^<]+</desc>', page
        )
    for section in page.split("<section ")[1:]:
        assert section.count("<table>") >= min(1, section.count("<figure>"))


HOSTILE = (
    "</td><script>alert(1)</script>\"'><img src=x onerror=y>&amp;<!-- $\\frac{1$ \u202e\x00\x1b ]]>"
)


@pytest.mark.parametrize(
    "evil",
    [HOSTILE, ' id="x" url(#a) #0072b2 ', "</style></svg></desc>", "\u12a0\u121b\u122d\n\n\t"],
)
def test_escapes_what_came_from_the_lake(evil: str) -> None:
    page = render_card(facts(evil=evil))
    seen = check_harmless(page)
    assert "<script" not in page
    assert "<img" not in page
    assert not re.search("[\x00\x1b\u202e]", page)
    visible = " ".join(
        evil.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\u202e", "\ufffd").split()
    )
    assert visible in seen.text


def test_mutant_with_an_unescaped_field_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(text: object) -> card_html.Markup:
        return card_html.Markup(f"<bdi>{text}</bdi>")

    monkeypatch.setattr(card_sections_rows, "foreign", careless)
    known = CardFacts(title="<script>alert(1)</script>")
    with pytest.raises(AssertionError):
        check_harmless(render_card(known))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=60)
@given(TEXTS)
@example("<a href=javascript:x>")
@example("&lt;script&gt;")
def test_any_text_comes_back_as_it_was(text: str) -> None:
    seen = Reader(f'<p title="{escape(text)}">{escape(text)}</p>')
    assert seen.tags == {"p"}
    kept = re.sub(r"\ufffd", "", "".join(seen.texts))
    assert len(kept) <= len(text)
    if text.isprintable() and max(text, default="") < "\u2060":
        assert "".join(seen.texts) == text


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True), st.integers(0, 10**12))
def test_any_group_name_and_count_is_drawn(names: list[str], rows: int) -> None:
    known = CardFacts(
        group_name="group",
        fates=frame("fates", [(name, name, name, rows) for name in names]),
        fates_by_group=frame("fates_by_group", [(name, "published", rows) for name in names]),
        edges=frame("edges", [(name, "all", 0.5, True, rows, rows) for name in names]),
        allocation=frame(
            "allocation", [(name, 0, rows, rows // 2, rows // 2, 1.0, 0.5, None) for name in names]
        ),
    )
    check_harmless(render_card(known))


def test_equal_facts_give_equal_bytes_in_any_order_of_rows(page: str) -> None:
    known = facts()
    shuffled = {
        name: getattr(known, name).sample(fraction=1.0, shuffle=True, seed=5) for name in COLUMNS
    }
    again = dataclasses.replace(
        known,
        **shuffled,
        scores=dict(reversed(known.scores.items())),
        versions=dict(reversed(known.versions.items())),
        policy=dict(reversed(known.policy.items())),
    )
    assert render_card(again) == page


def test_a_users_plot_settings_change_nothing(page: str) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert render_card(facts()) == page
        assert mpl.rcParams["font.size"] == 30


def test_empty_facts_say_why() -> None:
    page = render_card(CardFacts())
    seen = check_harmless(page)
    assert "<svg" not in page
    for sentence in (
        "the ledger of this release holds no line",
        "No table was found in the lake",
        "none is redundant as a whole",
        "No row has a twin",
        "No scorer gave a score",
        "There are no training curves",
        "No plans were compared",
        "No policy stated.",
        "There is no allocation",
        "The recipe names no group",
    ):
        assert sentence in seen.text


@pytest.mark.parametrize("absent", sorted([*COLUMNS, "scores", "warnings", "policy"]))
def test_any_one_part_may_be_absent(absent: str, page: str) -> None:
    known = facts()
    hollow = pl.DataFrame() if absent in COLUMNS else type(getattr(known, absent))()
    check_harmless(render_card(dataclasses.replace(known, **{absent: hollow})))


@pytest.mark.parametrize(("groups", "pools"), [(1, 1), (60, 12)])
def test_few_and_many_groups_and_pools(groups: int, pools: int) -> None:
    page = render_card(facts(groups=groups, pools=pools, points=5))
    seen = check_harmless(page)
    for place in range(groups):
        assert f"g{place}" in seen.text


@pytest.mark.slow
def test_a_huge_lake_still_gives_a_small_page() -> None:
    long = '&<>"' * 200
    known = facts(groups=80, pools=12, points=40, evil=long)
    known = dataclasses.replace(
        known,
        tables=frame("tables", [(f"{long}{n}", long, n, n, n, long, long) for n in range(5_000)]),
        quarantine=frame("quarantine", [(f"{long}{n}", n, long) for n in range(5_000)]),
        edges=frame("edges", [(f"{long}{n}", f"p{n % 7}", 1.0, True, n, n) for n in range(5_000)]),
        samples=frame("samples", [("best", f"{n}", long, n, 0.5, long * 50) for n in range(500)]),
        silences=frame("silences", [(f"{n}", long, n) for n in range(500)]),
        warnings=[{"code": f"{n}", "message": long, "remedy": long} for n in range(500)],
    )
    text = check_harmless(render_card(known)).text
    assert "470 further samples not shown" in text
    assert "is left out, to keep the page small" in text


def test_nulls_and_infinities_are_drawn() -> None:
    nothing, endless = float("nan"), float("inf")
    known = CardFacts(
        group_name="g",
        curves=frame(
            "curves",
            [
                ("0", 10, None, "loss", None, None, None, None, None, None),
                ("0", None, 1, None, nothing, endless, 1, nothing, None, endless),
            ],
        ),
        curve_bands=frame(
            "curve_bands", [("0", 1.0, nothing, None, endless), ("0", None, None, None, None)]
        ),
        plans=frame(
            "plans",
            [
                (None, None, None, None, None, None, None, None),
                (10.0, "0", nothing, None, None, None, None, True),
            ],
        ),
        quality_by_pool=frame("quality_by_pool", [(None, None, nothing, None, None)]),
        allocation=frame(
            "allocation",
            [
                (None, None, None, None, None, None, None, None),
                ("a", 0, 0, 0, 0, nothing, 0.0, endless),
            ],
        ),
        survival=frame("survival", [(None, "read", 0), ("a", "read", None)]),
        clusters=frame("clusters", [(None, None, None)]),
        edges=frame(
            "edges",
            [
                (None, "p", None, None, None, None),
                ("c", "p", None, None, None, None),
                ("p", "p", 1.0, True, 1, 1),
            ],
        ),
        fates=frame("fates", [(None, None, None, None)]),
        retention=frame("retention", [(None, None, None, None, None)]),
        tables=frame("tables", [(None,) * 7]),
        samples=frame("samples", [(None,) * 6]),
    )
    check_harmless(render_card(known))


def test_only_budgets_are_counted_in_tokens() -> None:
    text = Reader(render_card(dataclasses.replace(facts(), unit="tokens"))).text
    assert "For 5,000 tokens the chosen plan is" in text
    assert "budget (tokens)" in text
    assert "from this many tokens" in text
    # curves and the allocation count draws of records, whatever a budget counts
    assert "records seen in training" in text
    assert "tokens seen in training" not in text
    assert "records drawn in all" in text
    assert "tokens drawn" not in text


def _two_plans(*, tie: bool | None, published: bool) -> str:
    plans = frame(
        "plans",
        [
            (900.0, "0+1", 0.5, 0.25, 0.75, 0.125, 0.0625, True),
            (900.0, "0", 0.375, 0.25, 0.75, 0.875, 0.0, False),
        ],
    ).with_columns(tie=pl.lit(tie, pl.Boolean), published=pl.col("chosen") & published)
    return Reader(render_card(CardFacts(plans=plans))).text


@pytest.mark.parametrize("tie", [True, False, None])
def test_a_choice_against_the_least_regret_is_explained(tie: bool | None) -> None:
    text = _two_plans(tie=tie, published=True)
    assert "The least expected regret is that of 0 (predicted 0.375, best with" in text
    # a reason is given only where it is known
    assert ("counts as a tie" in text) is (tie is True)
    assert "This release follows it." in text
    assert "This release follows it." not in _two_plans(tie=tie, published=False)


def test_the_chosen_plan_of_least_regret_needs_no_excuse(page: str) -> None:
    assert "The least expected regret" not in Reader(page).text


def test_rows_that_no_rule_reads_are_counted() -> None:
    known = facts()
    some = known.tables.with_columns(read=pl.col("table") != "b.parquet")
    text = Reader(render_card(dataclasses.replace(known, tables=some))).text
    assert "No rule of the recipe reads 1 table of these, with 3,003 rows" in text
    every = known.tables.with_columns(read=pl.lit(value=True))
    text = Reader(render_card(dataclasses.replace(known, tables=every))).text
    assert "A rule of the recipe reads each of them." in text


def test_each_step_is_explained_as_what_it_is() -> None:
    steps = [("g", step, 9 - place) for place, step in enumerate(("read", "offered", "published"))]
    text = Reader(render_card(CardFacts(survival=frame("survival", steps)))).text
    assert "“offered” is what the plan could choose from" in text
    assert "“planned”" not in text


def test_a_groups_band_is_not_sold_as_an_interval(page: str) -> None:
    assert "four of five single runs fall" in Reader(page).text


def test_columns_that_nobody_filled_are_left_out(page: str) -> None:
    assert "law, low" in Reader(page).text
    known = facts()
    bare = known.curves.with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("law_value", "lo80", "hi80")
    )
    assert "law, low" not in Reader(render_card(dataclasses.replace(known, curves=bare))).text


def test_a_missing_column_is_named() -> None:
    with pytest.raises(CardFactsError, match=r"fates lacks the columns \['stage', 'reason'\]"):
        CardFacts(fates=pl.DataFrame({"fate": ["published"], "rows": [1]}))
    with pytest.raises(CardFactsError, match=r"scores\['dsir'\] lacks"):
        CardFacts(scores={"dsir": pl.DataFrame({"low": [1.0]})})
    with pytest.raises(CardFactsError, match="'records' or 'tokens'"):
        CardFacts(unit="rows")


def test_more_columns_are_welcome() -> None:
    known = facts()
    page = render_card(
        dataclasses.replace(known, clusters=known.clusters.with_columns(bytes=pl.lit(2_500_000)))
    )
    assert "7.5 MB" in page or "5 MB" in page


# --- the pure parts -------------------------------------------------------------------------------


def links(*pairs: tuple[str, str, float]) -> pl.DataFrame:
    return frame("edges", [(child, parent, part, True, 1, 2) for child, parent, part in pairs])


def test_copies_are_one_node_and_implied_arrows_are_dropped() -> None:
    placed = layout(
        links(
            ("a", "b", 1),
            ("b", "a", 1),
            ("a", "c", 1),
            ("b", "c", 1),
            ("c", "d", 1),
            ("a", "d", 1),
            ("d", "e", 0.5),
        )
    )
    assert placed.nodes == (("a", "b"), ("c",), ("d",), ("e",))
    assert placed.edges == ((0, 1, 1.0, True), (1, 2, 1.0, True), (2, 3, 0.5, True))
    assert placed.layers == ((0,), (1,), (2,), (3,))


@settings(max_examples=80)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from([1.0, 0.5])),
        max_size=24,
        unique_by=lambda e: e[:2],
    )
)
def test_a_graph_keeps_what_it_says(pairs: list[tuple[int, int, float]]) -> None:
    pairs = [pair for pair in pairs if pair[0] != pair[1]]
    placed = layout(links(*[(str(a), str(b), part) for a, b, part in pairs]))
    tables = {str(end) for a, b, _ in pairs for end in (a, b)}
    assert {name for node in placed.nodes for name in node} == tables
    assert sorted(node for layer in placed.layers for node in layer) == list(
        range(len(placed.nodes))
    )
    home = {name: place for place, node in enumerate(placed.nodes) for name in node}
    level = {node: place for place, layer in enumerate(placed.layers) for node in layer}

    def reach(start: int, edges: set[tuple[int, int]]) -> set[int]:
        seen, waiting = {start}, [start]
        while waiting:
            at = waiting.pop()
            new = {b for a, b in edges if a == at} - seen
            seen |= new
            waiting += new
        return seen

    whole = {(home[str(a)], home[str(b)]) for a, b, part in pairs if part == 1.0}
    drawn = {(a, b) for a, b, part, _ in placed.edges if part == 1.0}
    for node in range(len(placed.nodes)):  # dropping implied arrows loses no holder
        assert reach(node, whole) == reach(node, drawn)
    assert all(level[a] < level[b] for a, b in drawn)
    partial = [(a, part) for a, _, part, _ in placed.edges if part < 1.0]
    assert len(partial) == len({a for a, _ in partial})
    assert not {a for a, _ in partial} & {a for a, _ in drawn}
    assert {a for a, _, _, _ in placed.edges} == {
        home[str(a)]
        for a, b, _ in pairs
        if home[str(a)] != home[str(b)] and ((home[str(b)], home[str(a)]) not in whole)
    }


def test_a_graph_too_large_says_so() -> None:
    placed = layout(links(*[(f"t{n}", "all", 1.0) for n in range(100)]), most_nodes=40)
    assert len(placed.nodes) == 40
    assert placed.left_out == 61
    assert ("all",) in placed.nodes


def test_the_frontier_follows_regret_and_not_the_value() -> None:
    plans = frame(
        "plans",
        [
            (1.0, "a", 9.0, None, None, 0.1, 0.5, False),
            (1.0, "b", 2.0, None, None, 0.9, 0.0, True),
            (2.0, "a", 5.0, None, None, 0.5, 0.0, False),
            (2.0, "b", 7.0, None, None, 0.4, 0.0, False),
        ],
    )
    assert frontier(plans)["pools"].to_list() == ["b", "a"]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (number(0.00012345), "0.0001234"),
        (number(1.5e-7), "1.500×10⁻⁷"),
        (number(-2.5), "−2.5"),
        (number(12_345.6), "12,346"),
        (number(3_239.4), "3,239"),
        (number(1_000.4), "1,000"),
        (shorten_path("a/b/report.csv", 14), "a/b/report.csv"),
        (shorten_path("a/b/report.csv", 13), "…/report.csv"),
        (shorten_path("a/a-very-long-name.csv", 12), "…/a-v…me.csv"),
        (number(float("nan")), "—"),
        (number(float("-inf")), "−∞"),
        (number(None), "—"),
        (count(None), "—"),
        (count(-1_234), "-1,234"),
        (share(1, 3), "33.3 %"),
        (share(1, 10**6), "<0.1 %"),
        (share(10**6 - 1, 10**6), ">99.9 %"),
        (share(0, 5), "0 %"),
        (share(5, 5), "100 %"),
        (share(1, 0), "—"),
        (size(999), "999 B"),
        (size(1_500_000), "1.5 MB"),
        (size(None), "—"),
        (compact(1_500), "1.5k"),
        (compact(0), "0"),
        (shorten("a/very/long/path/to/a/table.parquet", 18), "a/very/…le.parquet"),
    ],
)
def test_numbers_as_people_read_them(made: str, wanted: str) -> None:
    assert made == wanted


def test_natural_order() -> None:
    assert sorted(["p10", "p2", "", "2", "b", "10"], key=natural) == [
        "",
        "2",
        "10",
        "b",
        "p2",
        "p10",
    ]


def test_a_png_is_small_and_always_the_same() -> None:
    known = facts(groups=30)
    first, second = (plots.png(plots.survival_panels(known.survival)) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert len(first) <= 110_000


def test_importing_the_card_imports_no_plotting() -> None:
    code = (
        "import sys, assets.publication.card, assets.publication.plots;"
        "assert not {'matplotlib', 'scipy', 'torch', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
