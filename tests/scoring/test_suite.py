"""Properties that every registered scorer must have; a registry line suffices to be tested."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from assets.scoring.protocol import ScoreContext, ScorerState, fit
from assets.scoring.registry import NEEDS_MODEL, create, exemptions
from assets.scoring.registry import SCORERS as ALL
from tests.scoring.samples import records

# those with a model of the user's are tested where the tests make one: tests/scoring/models
SCORERS = {name: kind for name, kind in ALL.items() if name not in NEEDS_MODEL}
ROW_LOCAL = sorted(name for name, kind in SCORERS.items() if kind.row_local)
SEEDED = {"random"}  # whose scores must change with the seed
CONTEXT = ScoreContext(seed=3)


def ranks(batch):
    # a total order by content: here the order of ids
    return np.argsort(np.argsort(batch.ids.to_numpy()))


def scored(name, batch, *, order=None, settings=None, context=CONTEXT):
    """Fit and score in one go; returns the values by id."""
    given = batch if order is None else batch.take(order)
    scorer = create(name, settings)
    if scorer.row_local:
        column = scorer.score(given, fit(scorer, [given], context))
    else:
        column, _ = scorer.score_all(given, ranks(given), context)
    return dict(zip(given.ids.to_list(), column.values.tolist(), strict=True)), column


def equal(a, b):
    return a.keys() == b.keys() and all(
        a[k] == b[k] or (np.isnan(a[k]) and np.isnan(b[k])) for k in a
    )


@pytest.fixture(scope="module")
def sample():
    return records()[0]


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_order_does_not_matter(name, sample):
    want, _ = scored(name, sample)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(sample))
        assert equal(scored(name, sample, order=order)[0], want)


@pytest.mark.parametrize("name", ROW_LOCAL)
def test_shards_merge_to_the_whole(name, sample):
    scorer = create(name)
    whole = scorer.finish(scorer.summarise([sample], CONTEXT), CONTEXT)
    bounds = np.linspace(0, len(sample), 8).astype(int)
    parts = [sample.slice(int(a), int(b)) for a, b in pairwise(bounds)]
    stream = scorer.summarise(parts, CONTEXT)
    summaries = [scorer.summarise([p], CONTEXT) for p in parts][::-1]
    tree = summaries[0]
    for summary in summaries[1:]:
        tree = scorer.merge(tree, summary)
    for summary in (stream, tree):
        assert scorer.finish(summary, CONTEXT).digest() == whole.digest()


@pytest.mark.parametrize("name", ROW_LOCAL)
@pytest.mark.parametrize("size", [1, 3, 64])
def test_batch_size_does_not_matter(name, size, sample):
    scorer = create(name)
    state = fit(scorer, [sample], CONTEXT)
    want = scorer.score(sample, state).values
    few = min(len(sample), 90)
    got = [
        scorer.score(sample.slice(i, min(i + size, few)), state).values for i in range(0, few, size)
    ]
    assert np.array_equal(np.concatenate(got), want[:few], equal_nan=True)


@pytest.mark.parametrize("name", ROW_LOCAL)
def test_state_survives_storage(name, sample):
    scorer = create(name)
    state = fit(scorer, [sample], CONTEXT)
    stored = state.to_bytes()
    again = ScorerState.from_bytes(stored)
    assert again.digest() == state.digest()
    assert again.to_bytes() == stored
    assert np.array_equal(
        scorer.score(sample, again).values, scorer.score(sample, state).values, equal_nan=True
    )


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_every_row_without_a_score_has_a_reason(name, sample):
    _, column = scored(name, sample)
    missing = np.isnan(column.values)
    assert (column.reasons.is_not_null().to_numpy() == missing).all()
    assert sum(column.reason_counts().values()) == missing.sum()
    assert not np.isinf(column.values).any()
    if name != "random":
        assert missing[1]  # null text
        assert missing[2]  # empty text
        assert column.reasons[1] is not None


@pytest.mark.parametrize("name", ROW_LOCAL)
def test_a_copy_changes_no_others_and_gets_the_same_score(name, sample):
    scorer = create(name)
    state = fit(scorer, [sample], CONTEXT)
    values = scorer.score(sample, state).values
    doubled = sample.take(np.array([*range(20), 0, 3]))
    again = scorer.score(doubled, state).values
    assert np.array_equal(again[:20], values[:20], equal_nan=True)
    assert again[20] == values[0]
    assert again[21] == values[3]


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_seeds(name, sample):
    a, _ = scored(name, sample)
    b, _ = scored(name, sample)
    c, _ = scored(name, sample, context=ScoreContext(seed=4))
    assert equal(a, b)
    if name in SEEDED:
        assert not equal(a, c)
    elif "seed" not in exemptions(SCORERS[name]):
        assert equal(a, c)


@pytest.mark.parametrize("name", sorted(set(SCORERS) - {"random"}))
def test_ids_and_position_are_no_shortcut(name, sample):
    # the same contents under other ids, in another order, keep their scores
    scorer = create(name)
    renamed = type(sample)(
        ids=[f"{i:032x}" for i in range(len(sample))],
        text=sample.text,
        label=sample.label,
        embedding=sample.embedding,
        group=sample.group,
        role=sample.role,
    )
    if scorer.row_local:
        state = fit(scorer, [sample], CONTEXT)
        want, got = scorer.score(sample, state).values, scorer.score(renamed, state).values
    else:
        want = scorer.score_all(sample, ranks(sample), CONTEXT)[0].values
        got = scorer.score_all(renamed, ranks(sample), CONTEXT)[0].values
    assert np.array_equal(want, got, equal_nan=True)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_nothing_to_score_is_no_error(name, sample):
    scorer = create(name)
    nothing = sample.slice(0, 0)
    if scorer.row_local:
        assert len(scorer.score(nothing, fit(scorer, [sample], CONTEXT)).values) == 0
    else:
        assert len(scorer.score_all(nothing, np.zeros(0, dtype=int), CONTEXT)[0].values) == 0


class OrderDependent:
    """A mutant: its state keeps the first row that it sees."""

    def run(self, batch):
        return batch.ids[0]


def test_a_mutant_that_depends_on_order_is_seen(sample):
    order = np.arange(len(sample))[::-1]
    assert OrderDependent().run(sample) != OrderDependent().run(sample.take(order))
