"""Random sequences of releases: incumbents replay them, `content` rebuilds, and a dropped twin comes back."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.deduplication.fates import decide
from assets.deduplication.near import NearDuplicates
from tests.deduplication.corpora import corpus, key_of, sketches_of
from tests.oracles.jaccard import near_pairs

SIMILARITY, SHINGLE = 0.5, "word:1"
POOL = [*corpus(77, size=24, words=5, vocabulary=9).values()]
# each release is some of the records; a record is (text number, copy)
releases = st.lists(
    st.sets(st.tuples(st.integers(0, len(POOL) - 1), st.integers(0, 1)), min_size=1, max_size=14),
    min_size=1,
    max_size=5,
)


def record_of(text, copy):
    return key_of(("record", text, copy))


def frame_of(release):
    rows = [
        (record_of(t, c), key_of(POOL[t]), "t", "train", None, c, len(POOL[t]), False)
        for t, c in sorted(release)
    ]
    names = ("record_id", "content_id", "table", "role", "label", "rule", "length", "empty")
    kinds = [pl.String] * 5 + [pl.Int32, pl.Int64, pl.Boolean]
    return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")


class Incremental:
    """Finds near duplicates of each release with the sketches of all former ones."""

    def __init__(self):
        self.known = None
        self.sketched = 0

    def find(self, release):
        texts = {key_of(POOL[t]): POOL[t] for t, _ in release}
        near = NearDuplicates(SIMILARITY, SHINGLE)
        old = set() if self.known is None else set(self.known["key"])
        fresh = [k for k in texts if k not in old]
        near.add([texts[k] for k in fresh], fresh)
        self.sketched += len(fresh)
        made = sketches_of(near)
        if self.known is not None:
            near.add_sketches(self.known.filter(pl.col("key").is_in(list(texts))))
        self.known = made if self.known is None else pl.concat([self.known, made])
        return near.collapsed(lambda: iter([(list(texts), list(texts.values()))]))


def whole(release):
    texts = {key_of(POOL[t]): POOL[t] for t, _ in release}
    near = NearDuplicates(SIMILARITY, SHINGLE)
    near.add(list(texts.values()), list(texts))
    return near.collapsed(lambda: iter([(list(texts), list(texts.values()))]))


def kept_of(done):
    return set(done.fates.filter(pl.col("fate").is_null())["record_id"])


def replayed(history):
    kept = set()
    finder = Incremental()
    for release in history:
        near = finder.find(release)
        done = decide(frame_of(release), near.pairs, near.twins, incumbents=kept)
        yield release, kept, done
        kept = kept_of(done)


def greedy(release, before):
    """Walk the records in the stated order and keep each that no kept one is like: the plain model."""
    rows = {record_of(t, c): (POOL[t], c) for t, c in release}
    texts = {record: text for record, (text, _) in rows.items()}
    alike = near_pairs(texts, SIMILARITY, SHINGLE)
    order = sorted(
        rows, key=lambda r: (r not in before, rows[r][1], -len(texts[r]), key_of(texts[r]), r)
    )
    # records of one text stand where the first of them stands
    place = {}
    for record in order:
        place.setdefault(texts[record], len(place))
    kept = []
    for record in sorted(order, key=lambda r: (place[texts[r]], order.index(r))):
        like = [k for k in kept if tuple(sorted((k, record))) in alike or texts[k] == texts[record]]
        if not like:
            kept.append(record)
    return set(kept)


@settings(max_examples=60)
@given(releases)
def test_incumbents_are_a_replay_of_the_releases(history):
    before = set()
    for release, _, done in replayed(history):
        before = greedy(release, before)
        assert kept_of(done) == before


@settings(max_examples=60)
@given(releases)
def test_no_incumbent_is_dropped_for_what_is_new_and_the_id_it_matched_is_named(history):
    for release, before, done in replayed(history):
        fates = {row["record_id"]: row for row in done.fates.to_dicts()}
        present = {record_of(t, c) for t, c in release}
        for record in before & present:
            assert fates[record]["fate"] is None
        for row in fates.values():
            if row["fate"] == "duplicate":
                assert row["by"] in kept_of(done)


@settings(max_examples=60)
@given(releases)
def test_content_equals_a_rebuild_after_any_history(history):
    finder = Incremental()
    for release in history:
        near = finder.find(release)
        again = whole(release)
        assert near.pairs.equals(again.pairs)
        assert near.twins.equals(again.twins)
    frame = frame_of(history[-1])
    one = decide(frame, near.pairs, near.twins)
    two = decide(frame, again.pairs, again.twins)
    assert one.fates.equals(two.fates)
    assert finder.sketched == len({POOL[t] for release in history for t, _ in release})


@settings(max_examples=60)
@given(releases, st.data())
def test_a_twin_that_was_dropped_comes_back_when_its_keepers_go(history, data):
    for mode in ("content", "incumbent"):
        *_, (release, _, done) = replayed(history)
        if mode == "content":
            near = whole(release)
            done = decide(frame_of(release), near.pairs, near.twins)
        dropped = done.fates.filter(pl.col("fate") == "duplicate")["record_id"].to_list()
        if not dropped:
            continue
        lost = data.draw(st.sampled_from(sorted(dropped)))
        texts = {record_of(t, c): POOL[t] for t, c in release}
        alike = near_pairs(texts, SIMILARITY, SHINGLE)
        keepers = {
            k
            for k in texts
            if k != lost and (tuple(sorted((k, lost))) in alike or texts[k] == texts[lost])
        }
        rest = {(t, c) for t, c in release if record_of(t, c) not in keepers}
        near = whole(rest)
        before = kept_of(done) if mode == "incumbent" else set()
        again = decide(frame_of(rest), near.pairs, near.twins, incumbents=before)
        assert lost in kept_of(again)


def test_forgetting_the_incumbents_would_be_told():
    """A mutant that lets the longer newcomer win: the incumbent goes."""
    short, long = (1, 0), (0, 0)
    texts = ["a b c d e", "a b c d"]
    rows = pl.DataFrame(
        [
            (record_of(*which), key_of(texts[which[0]]), "t", "train", None, 0, n, False)
            for which, n in ((long, 9), (short, 7))
        ],
        schema=frame_of({(0, 0)}).schema,
        orient="row",
    )
    pair = sorted(key_of(text) for text in texts)
    pairs = pl.DataFrame({"left": pair[:1], "right": pair[1:], "similarity": [0.8]})
    none = pl.DataFrame(schema={"key": pl.String, "representative": pl.String})
    stays = {record_of(*short)}
    assert kept_of(decide(rows, pairs, none, incumbents=stays)) == stays
    assert kept_of(decide(rows, pairs, none)) == {record_of(*long)}
