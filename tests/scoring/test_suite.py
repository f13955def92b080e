"""Properties that every registered scorer must have; a registry line suffices to be tested.

A method that legitimately lacks one says so, with the reason, in its class (`exempt`), which `sluice score --list`
prints.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import Needs, ScoreBatch, ScoreContext, ScorerState, fit
from assets.scoring.registry import NEEDS_MODEL, SCORERS, create, exemptions
from tests.scoring.samples import TOPICS, document, records
from tests.scoring.tiny_models import cooking_model, examples

PROPERTIES = {
    "bits",
    "order",
    "shards",
    "batch",
    "resume",
    "copy",
    "null",
    "relabel",
    "direction",
    "seed",
    "shortcut",
    "noise",
}
ROW_LOCAL = sorted(name for name, kind in SCORERS.items() if kind.row_local)
ALL = tuple(sorted(SCORERS))
CONTEXT = ScoreContext(seed=3)


MODELS = {}


@pytest.fixture(scope="module", autouse=True)
def _places(tmp_path_factory):
    MODELS["folder"] = tmp_path_factory.mktemp("models") / "cooking"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what is so small is only slowed down by a second one
    yield
    torch.set_num_threads(threads)
    MODELS.clear()


def made(name, dim=64):
    """A scorer; one that works with a model or examples of the user's gets small ones."""
    if name == "lm_perplexity":
        folder = MODELS["folder"]
        given = {"model": str(folder if folder.exists() else cooking_model(folder))}
        return create(name, {**given, "precision": "float32", "device": "cpu"})
    if name == "quality_classifier":
        return create(name, {"examples": examples(dim)})
    assert name not in NEEDS_MODEL, "make a small model of this scorer's kind here"
    return create(name)


def same(name, got, want):
    """Compare values: bit for bit, unless the scorer's card says that it rounds."""
    if "bits" in exemptions(SCORERS[name]):
        return np.allclose(got, want, rtol=1e-4, atol=0, equal_nan=True)
    return np.array_equal(got, want, equal_nan=True)


def having(property_, names=ALL):
    return [name for name in names if property_ not in exemptions(SCORERS[name])]


def ranks(batch):
    # a total order by content: here the order of ids
    return np.argsort(np.argsort(batch.ids.to_numpy()))


def scored(name, batch, *, order=None, context=CONTEXT):
    """Fit and score in one go; returns the values by id."""
    given = batch if order is None else batch.take(order)
    scorer = made(name, batch.embedding.shape[1])
    if scorer.row_local:
        column = scorer.score(given, fit(scorer, [given], context))
    else:
        column, _ = scorer.score_all(given, ranks(given), context)
    return dict(zip(given.ids.to_list(), column.values.tolist(), strict=True)), column


def equal(name, a, b):
    return a.keys() == b.keys() and same(name, [a[k] for k in a], [b[k] for k in a])


def direction_of(name, column):
    return 1.0 if column.direction == "high" else -1.0


@pytest.fixture(scope="module")
def sample():
    given = records()[0]
    cohort = pa.array([("a", "b", "c")[i % 3] for i in range(len(given))])
    return replace(given, cohort=cohort)


class Fitted(dict):
    """The state of every row-local scorer, fitted once, when it is asked for."""

    def __init__(self, sample):
        super().__init__()
        self.sample = sample

    def __missing__(self, name):
        self[name] = fit(made(name), [self.sample], CONTEXT)
        return self[name]


@pytest.fixture(scope="module")
def fitted(sample):
    return Fitted(sample)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_exemptions_are_of_known_properties_and_say_why(name):
    said = exemptions(SCORERS[name])
    assert set(said) <= PROPERTIES
    assert all(len(why.split()) > 4 for why in said.values())


@pytest.mark.parametrize("name", having("order"))
def test_order_does_not_matter(name, sample):
    want, _ = scored(name, sample)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(sample))
        assert equal(name, scored(name, sample, order=order)[0], want)


@pytest.mark.parametrize("name", having("shards", ROW_LOCAL))
def test_shards_merge_to_the_whole(name, sample, fitted):
    scorer = made(name)
    bounds = np.linspace(0, len(sample), 8).astype(int)
    parts = [sample.slice(int(a), int(b)) for a, b in pairwise(bounds)]
    stream = scorer.summarise(parts, CONTEXT)
    summaries = [scorer.summarise([p], CONTEXT) for p in parts][::-1]
    tree = summaries[0]
    for summary in summaries[1:]:
        tree = scorer.merge(tree, summary)
    for summary in (stream, tree):
        assert scorer.finish(summary, CONTEXT).digest() == fitted[name].digest()


@pytest.mark.parametrize("name", having("resume", ROW_LOCAL))
def test_a_fit_that_was_killed_half_way_goes_on_from_what_it_stored(name, sample, fitted):
    scorer = made(name)
    cut = len(sample) // 2
    stored = scorer.summarise([sample.slice(0, cut)], CONTEXT).to_bytes()
    rest = scorer.summarise([sample.slice(cut, len(sample))], CONTEXT)
    again = made(name).merge(ScorerState.from_bytes(stored), rest)
    assert made(name).finish(again, CONTEXT).digest() == fitted[name].digest()


@pytest.mark.parametrize("name", having("batch", ROW_LOCAL))
@pytest.mark.parametrize("size", [1, 3, 64])
def test_batch_size_does_not_matter(name, size, sample, fitted):
    scorer, state = made(name), fitted[name]
    want = scorer.score(sample, state).values
    few = min(len(sample), 90)
    got = [
        scorer.score(sample.slice(i, min(i + size, few)), state).values for i in range(0, few, size)
    ]
    assert same(name, np.concatenate(got), want[:few])


@pytest.mark.parametrize("name", ROW_LOCAL)
def test_a_state_survives_storage(name, sample, fitted):
    scorer, state = made(name), fitted[name]
    stored = state.to_bytes()
    again = ScorerState.from_bytes(stored)
    assert again.digest() == state.digest()
    assert again.to_bytes() == stored
    assert np.array_equal(
        scorer.score(sample, again).values, scorer.score(sample, state).values, equal_nan=True
    )


@pytest.mark.parametrize("name", having("null"))
def test_every_row_without_a_score_has_a_reason(name, sample):
    _, column = scored(name, sample)
    missing = np.isnan(column.values)
    assert (column.reasons.is_not_null().to_numpy() == missing).all()
    assert sum(column.reason_counts().values()) == missing.sum()
    assert not np.isinf(column.values).any()
    if SCORERS[name].needs:
        assert missing[1]  # null text
        assert missing[2]  # empty text
        assert column.reasons[1] is not None


@pytest.mark.parametrize("name", having("copy", ROW_LOCAL))
def test_a_copy_changes_no_others_and_gets_the_same_score(name, sample, fitted):
    scorer, state = made(name), fitted[name]
    values = scorer.score(sample, state).values
    doubled = sample.take(np.array([*range(20), 0, 3]))
    again = scorer.score(doubled, state).values
    assert same(name, again, values[[*range(20), 0, 3]])


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_seeds(name, sample):
    a, _ = scored(name, sample)
    assert equal(name, a, scored(name, sample)[0])
    other, _ = scored(name, sample, context=ScoreContext(seed=4))
    assert equal(name, a, other) == ("seed" not in exemptions(SCORERS[name]))


@pytest.mark.parametrize("name", having("relabel"))
def test_names_of_classes_and_groups_do_not_matter(name, sample):
    names = dict(zip(sorted(TOPICS), ["zebra", "apple", "mango"], strict=True))
    groups = {"a": "third", "b": "first", "c": "second"}
    renamed = replace(
        sample,
        label=pa.array([names.get(v) for v in sample.label.to_pylist()]),
        cohort=pa.array([groups[v] for v in sample.cohort.to_pylist()]),
    )
    want, got = (scored(name, given)[1].values for given in (sample, renamed))
    spread = np.nanstd(want) or 1.0
    # classes stand in another order for the solver, whose last digits differ
    assert np.allclose(got, want, atol=5e-3 * max(spread, 1.0), equal_nan=True)


@pytest.mark.parametrize("name", having("shortcut"))
def test_ids_position_and_what_is_not_declared_are_no_shortcut(name, sample):
    # the same contents under other ids, and whatever the scorer does not say it needs replaced
    needs, n = SCORERS[name].needs, len(sample)
    changes = {"ids": [f"{i:032x}" for i in range(n)]}
    if Needs.LABEL not in needs:
        changes["label"] = pa.array([str(i % 5) for i in range(n)])
    if Needs.GROUP not in needs and name != "less":  # whose subtasks are groups where there are any
        changes["cohort"] = pa.array([str(i % 4) for i in range(n)])
    if Needs.TEXT not in needs:
        changes["text"] = pa.array(["x" * (i % 50) for i in range(n)])
    if Needs.EMBEDDING not in needs:
        changes["embedding"] = np.ones((n, 3), dtype=np.float32)
    renamed = replace(sample, **changes)
    scorer = made(name)
    if scorer.row_local:
        state = fit(scorer, [sample], CONTEXT)
        want, got = scorer.score(sample, state).values, scorer.score(renamed, state).values
    else:
        want = scorer.score_all(sample, ranks(sample), CONTEXT)[0].values
        got = scorer.score_all(renamed, ranks(sample), CONTEXT)[0].values
    assert same(name, got, want)


@pytest.mark.parametrize(
    "name", [n for n in ROW_LOCAL if Needs.TARGET not in SCORERS[n].needs and SCORERS[n].needs]
)
def test_a_target_that_is_not_asked_for_is_not_read(name, sample, fitted):
    # so a state stands where only the target changes
    train = sample.take(np.flatnonzero(sample.has_role("train")))
    assert fit(made(name), [train], CONTEXT).digest() == fitted[name].digest()


BY_TEXT_AND_TARGET = [
    name
    for name in having("shortcut")
    if Needs.TARGET in SCORERS[name].needs and not SCORERS[name].needs & (Needs.LABEL | Needs.GROUP)
]


@pytest.mark.parametrize("name", BY_TEXT_AND_TARGET)
def test_length_is_no_shortcut_to_the_target(name):
    # where it is fitted the target is long and all else short; where it is judged it is the other way round
    rng = np.random.default_rng(1)

    def texts(topic, count, pieces):
        return [" ".join(document(rng, TOPICS[topic]) for _ in range(pieces)) for _ in range(count)]

    short = [t for topic in TOPICS for t in texts(topic, 30, 1)]
    goal = texts("cooking", 40, 5)
    on, off = texts("cooking", 20, 1), texts("law", 20, 5)
    text = pa.array([*short, *goal, *on, *off])
    role = ["train"] * len(short) + ["target"] * len(goal) + ["train"] * 40
    whole = ScoreBatch(
        [f"{i:032x}" for i in range(len(text))],
        text=text,
        embedding=HashedEmbedder(64).embed(text),
        group=pa.array(["en"] * len(text)),
        role=pa.array(role),
    )
    scorer = made(name)
    state = fit(scorer, [whole.slice(0, len(short) + len(goal))], CONTEXT)
    column = scorer.score(whole.slice(len(short) + len(goal), len(text)), state)
    better = direction_of(name, column) * column.values
    assert (better[:20, None] > better[None, 20:]).mean() > 0.9


WRONG, GARBAGE, RARE, COPY, HARMFUL = "wrong label", "garbage", "rare", "copy", "harmful group"
PLANTS = {  # what is planted, and at which end it must come out
    **dict.fromkeys(["el2n", "loss", "margin", "grand", "forgetting"], (WRONG, "best")),
    **dict.fromkeys(
        ["knn_shapley", "influence", "tracin", "less", "trak", "lava"], (WRONG, "worst")
    ),
    **dict.fromkeys(
        ["dsir", "perplexity", "lm_perplexity", "quality_classifier", "rds", "got_d"],
        ("on target", "best"),
    ),
    **dict.fromkeys(["heuristics", "repetition"], (GARBAGE, "worst")),
    "redundancy": (COPY, "worst"),
    "leverage": (RARE, "best"),
    "entropy": ("between", "best"),
    "group_shapley": (HARMFUL, "worst"),
}


def planted(kind, name):
    """Return a batch and the rows that are planted in it."""
    given, _ = records(with_target=True)
    rows = np.array([30, 61, 92, 123, 154])
    label, text = given.label.to_pylist(), given.text.to_pylist()
    vectors = given.embedding.copy()
    cohort = ["a" if i % 2 else "b" for i in range(len(label))]
    if kind == WRONG:
        # of the target's kind but for the label, so that it misleads most
        vectors[rows] = vectors[33 + 3 * np.arange(5)]
        for row in rows:
            label[row] = "law"
    elif kind == "on target":
        vectors[rows] = vectors[240 + np.arange(5)]
        for at, row in enumerate(rows):
            text[row] = text[240 + at]
    elif kind == GARBAGE:
        for row in rows:
            text[row] = "buy now ### " * 60
    elif kind == RARE:
        vectors[rows] = np.random.default_rng(0).normal(size=(5, vectors.shape[1]))
        vectors[rows] = np.eye(vectors.shape[1])[[3, 9, 20, 33, 50]] * 5
    elif kind == COPY:
        order = [i for i in np.argsort(ranks(given)) if 20 <= i < 240]
        rows, first = np.array(order[-5:]), np.array(order[:5])
        vectors[rows] = vectors[first]
    elif kind == "between":
        usable = [i for i in range(20, 240) if i not in rows]
        centres = [vectors[[i for i in usable if label[i] == t]].mean(0) for t in TOPICS]
        vectors[rows] = np.sum(centres, axis=0)
    elif kind == HARMFUL:
        rows = np.arange(15, 240, 4)
        topics = sorted(TOPICS)
        for row in rows:
            label[row] = topics[(topics.index(label[row]) + 1) % 3]
            cohort[row] = "wrong"
    return (
        replace(
            given,
            label=pa.array(label),
            text=pa.array(text),
            embedding=vectors,
            cohort=pa.array(cohort),
        ),
        rows,
    )


@pytest.mark.parametrize("name", having("direction"))
def test_what_is_planted_comes_out_at_its_end(name):
    assert name in PLANTS, "say in PLANTS what this scorer puts at which end, or exempt it"
    kind, end = PLANTS[name]
    batch, rows = planted(kind, name)
    _, column = scored(name, batch)
    train = np.flatnonzero(batch.has_role("train") & ~np.isnan(column.values))
    better = direction_of(name, column) * column.values
    others = np.setdiff1d(train, rows)
    if kind == WRONG and end == "worst":  # worse than the rightly labelled of its kind
        others = others[(np.array(batch.label.to_pylist()) == "cooking")[others]]
    rest = better[others]
    wins = np.mean([(better[row] > rest).mean() + (better[row] == rest).mean() / 2 for row in rows])
    assert wins > 0.8 if end == "best" else wins < 0.2


@pytest.mark.parametrize("name", having("noise"))
def test_on_pure_noise_a_selection_learns_nothing(name):
    # labels are drawn without looking: what beats chance on held-out records has leaked
    rng = np.random.default_rng(5)
    n, goal, held = 240, 120, 1000
    vectors = rng.normal(size=(n + goal + held, 24)).astype(np.float32)
    label = rng.integers(2, size=len(vectors))
    text = pa.array([document(rng, list(TOPICS.values())[i % 3]) for i in range(n + goal)])
    batch = ScoreBatch(
        [f"{i:032x}" for i in range(n + goal)],
        text=text,
        label=pa.array([str(v) for v in label[: n + goal]]),
        embedding=vectors[: n + goal],
        group=pa.array(["en"] * (n + goal)),
        role=pa.array(["train"] * n + ["target"] * goal),
        cohort=pa.array(["ab"[i % 2] for i in range(n + goal)]),
    )
    _, column = scored(name, batch)
    better = np.nan_to_num(direction_of(name, column) * column.values[:n], nan=-np.inf)
    kept = np.argsort(-better, kind="stable")[: n // 2]
    if len(set(label[kept])) < 2:
        return  # nothing is learned of one class
    head = LogisticRegression(C=1.0).fit(vectors[kept], label[kept])
    right = int((head.predict(vectors[n + goal :]) == label[n + goal :]).sum())
    low, high = binom.ppf([1e-4, 1 - 1e-4], held, 0.5)
    assert low <= right <= high


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_nothing_to_score_is_no_error(name, sample, fitted):
    scorer = made(name)
    nothing = sample.slice(0, 0)
    if scorer.row_local:
        assert len(scorer.score(nothing, fitted[name]).values) == 0
    else:
        assert len(scorer.score_all(nothing, np.zeros(0, dtype=int), CONTEXT)[0].values) == 0


class OrderDependent:
    """A mutant: its state keeps the first row that it sees."""

    def run(self, batch):
        return batch.ids[0]


def test_a_mutant_that_depends_on_order_is_seen(sample):
    order = np.arange(len(sample))[::-1]
    assert OrderDependent().run(sample) != OrderDependent().run(sample.take(order))
