"""GraNd, forgetting, TracIn, LESS and TRAK against gradients by autograd, and leverage against the hat matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from assets.kernels.projection import Projection
from assets.kernels.unit_vectors import SCALE, to_grid
from assets.scoring import small_network
from assets.scoring.less import Less, adam_update
from assets.scoring.leverage import Leverage
from assets.scoring.linear_head import LabelledSample
from assets.scoring.network_scorer import unstacked
from assets.scoring.network_training import Training, train
from assets.scoring.protocol import ScoreBatch, ScoreContext, ScoringError, fit
from assets.scoring.small_network import flat, with_bias
from assets.scoring.tracin import TracIn
from assets.scoring.training_difficulty import Forgetting, Grand, forgotten
from assets.scoring.trak import Trak, margin_slopes
from tests.scoring.test_against_target import batch, clouds

CONTEXT = ScoreContext(seed=2)
SMALL = {"hidden": 5, "epochs": 3, "runs": 1}
KINDS = [Grand, Forgetting, TracIn, Less, Trak]


def scored(scorer, given):
    state = fit(scorer, [given], CONTEXT)
    return scorer.score(given, state).values, state


def classes_of(given, state):
    from assets.scoring.samples import label_hashes

    return np.searchsorted(state.arrays["classes"], label_hashes(given))


def gradients(network, rows, own, margin=False):
    """The oracle: autograd, a record at a time, on the same weights."""
    first = torch.tensor(network.first, requires_grad=True)
    second = torch.tensor(network.second, requires_grad=True)
    found = []
    for row, y in zip(torch.tensor(rows), own.tolist(), strict=True):
        hidden = torch.cat([torch.relu(first @ row), torch.ones(1, dtype=torch.float64)])
        logits = second @ hidden
        if margin:
            others = torch.cat([logits[:y], logits[y + 1 :]])
            told = logits[y] - torch.logsumexp(others, 0)
        else:
            told = torch.logsumexp(logits, 0) - logits[y]
        parts = torch.autograd.grad(told, (first, second))
        found.append(torch.cat([p.flatten() for p in parts]).numpy())
    return np.stack(found)


@pytest.fixture(scope="module")
def small():
    rows, role, label, wrong = clouds(n=60, m=25, dim=6)
    return batch(rows, role, label), np.array(role), wrong


def test_grand_is_the_length_of_the_gradient(small):
    given, _, _ = small
    rows = with_bias(given.embedding)
    for layers in ("all", "last"):
        scorer = Grand(**{**SMALL, "runs": 2}, layers=layers)
        got, state = scored(scorer, given)
        own = classes_of(given, state)
        lengths = []
        for network in unstacked(state):
            exact = gradients(network, rows, own)
            if layers == "last":
                exact = exact[:, network.first.size :]
            lengths.append(np.linalg.norm(exact, axis=1))
        assert np.allclose(got, np.mean(lengths, axis=0))


def test_a_uniform_network_has_the_gradient_of_a_uniform_guess():
    from assets.scoring.small_network import Network

    uniform = Network(np.zeros((3, 7)), np.zeros((4, 4)))
    rows = with_bias(np.random.default_rng(0).normal(size=(5, 6)))
    seen = uniform.look(rows)
    _, last = seen.squared_norms(seen.errors(np.array([0, 1, 2, 3, 0])))
    assert np.allclose(np.sqrt(last), np.sqrt(1 - 1 / 4))  # no hidden unit is on: the bias alone
    moved = Network(np.zeros((3, 7)), np.zeros((4, 4)) + np.array([0, 0, 0, 5.0]))
    assert np.allclose(moved.look(rows).p, seen.p)  # a constant on all logits changes nothing


def test_forgetting_counts_what_its_name_says():
    right = np.array([[0, 1, 0, 0], [1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
    #        epochs down; records: learned-lost-learned, always, learned-lost, lost and never again
    assert forgotten(right).tolist() == [1, 0, 1, 1]
    assert forgotten(np.zeros((5, 1), dtype=bool)).tolist() == [5]
    # mutants: counting what is learned, or wrong epochs, differs
    assert (right[1:] & ~right[:-1]).sum(axis=0).tolist() == [2, 0, 1, 1]


def test_forgetting_is_read_off_the_checkpoints(small):
    given, _, _ = small
    got, state = scored(Forgetting(hidden=4, epochs=5, runs=2), given)
    rows, own = with_bias(given.embedding), classes_of(given, state)
    events = []
    for run in range(2):
        right = [n.look(rows).p.argmax(1) == own for n in unstacked(state)[5 * run : 5 * run + 5]]
        events.append(forgotten(np.stack(right)))
    assert np.array_equal(got, np.mean(events, axis=0))


def test_tracin_is_the_sum_over_checkpoints(small):
    given, role, _ = small
    scorer = TracIn(**SMALL)
    got, state = scored(scorer, given)
    rows, own = with_bias(given.embedding), classes_of(given, state)
    want = 0
    for rate, network in zip(state.arrays["rates"], unstacked(state), strict=True):
        exact = gradients(network, rows, own)
        want = want + rate * exact @ exact[role == "target"].mean(axis=0)
    assert np.allclose(got, want)
    assert len(state.arrays["rates"]) == 3
    assert (np.diff(state.arrays["rates"]) < 0).all()


def test_tracin_foretells_what_a_step_does(small):
    given, role, _ = small
    _, state = scored(TracIn(**{**SMALL, "epochs": 1}), given)
    rows, own = with_bias(given.embedding), classes_of(given, state)
    network, goal = unstacked(state)[0], role == "target"

    def loss(weights):
        at = small_network.shaped(weights, network)
        p = at.look(rows[goal]).p
        return -np.log(p[np.arange(goal.sum()), own[goal]]).mean()

    got = TracIn(**{**SMALL, "epochs": 1}).score(given, state).values
    exact = gradients(network, rows, own)
    step = 1e-5
    for i in range(0, 60, 7):
        fall = loss(flat(network)) - loss(flat(network) - step * exact[i])
        assert fall / step * state.arrays["rates"][0] == pytest.approx(got[i], rel=0.02, abs=1e-6)


def test_less_is_the_cosine_of_adams_update(small):
    given, role, _ = small
    rows = with_bias(given.embedding)
    for compat in ("paper", "reference"):
        got, state = scored(Less(**SMALL, compat=compat), given)
        own = classes_of(given, state)
        want = 0
        for i, network in enumerate(unstacked(state)):
            exact = gradients(network, rows, own)
            mean, square = (flat(unstacked(state, n)[i]) for n in ("mean/", "square/"))
            t = state.arrays["steps"][i] + 1
            m, v = 0.9 * mean + 0.1 * exact, 0.999 * square + 0.001 * exact**2
            if compat == "paper":
                m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
            update = m / np.sqrt(v + 1e-8)
            unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (update, exact)]
            near = unit[0] @ unit[1][role == "target"].T
            want = want + state.arrays["rates"][i] * near.mean(axis=1)
        assert np.allclose(got, want)
        assert np.abs(got).max() <= 1


def test_less_takes_the_best_subtask_and_does_not_mind_length(small):
    given, role, _ = small
    tasks = ["a" if i % 2 else "b" for i in range(len(given))]

    def with_groups(groups):
        return ScoreBatch(
            given.ids, label=given.label, embedding=given.embedding, group=groups, role=given.role
        )

    import pyarrow as pa

    best, _ = scored(Less(**SMALL), with_groups(pa.array(tasks)))
    each = []
    for task in "ab":
        keep = (role == "train") | (np.array(tasks) == task)
        part = with_groups(pa.array(tasks)).take(np.flatnonzero(keep))
        state = fit(Less(**SMALL), [part], CONTEXT)
        each.append(Less(**SMALL).score(given, state).values)
    assert np.allclose(best, np.maximum(*each))
    assert not np.allclose(best, np.mean(each, axis=0))


def test_less_projected_agrees_the_better_the_more_numbers(small):
    given, role, _ = small
    whole, _ = scored(Less(**SMALL), given)
    train_rows = role == "train"
    agreement = [
        spearmanr(
            scored(Less(**SMALL, projection=k), given)[0][train_rows], whole[train_rows]
        ).statistic
        for k in (4, 64, 1024)
    ]
    assert agreement[0] < agreement[1] < agreement[2]
    assert agreement[2] > 0.95


def test_adams_first_update_is_the_sign():
    slope = np.array([[0.3, -2.0, 40.0]])
    first = adam_update(slope, np.zeros(3), np.zeros(3), 1)
    assert np.allclose(first, np.sign(slope), atol=1e-6)


def test_trak_is_the_linear_effect_with_materialised_gradients(small):
    given, role, _ = small
    scorer = Trak(**{**SMALL, "runs": 2}, projection=40, penalty=0.01)
    got, state = scored(scorer, given)
    rows, own = with_bias(given.embedding), classes_of(given, state)
    inside = role == "train"
    effect, doubt = [], []
    for run, network in enumerate(unstacked(state)):
        exact = gradients(network, rows, own, margin=True)
        small = Projection(exact.shape[1], 40, run, "trak").apply(exact)
        matrix = small[inside].T @ small[inside]
        matrix += 0.01 * np.trace(matrix) / 40 * np.eye(40)
        effect.append(small @ np.linalg.inv(matrix) @ small[~inside].mean(axis=0))
        doubt.append(1 - network.look(rows).p[np.arange(len(own)), own])
    assert np.allclose(got, np.mean(effect, axis=0) * np.mean(doubt, axis=0))


def test_margin_slopes_sum_to_nought_and_are_finite_where_all_is_certain():
    p = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    got = margin_slopes(p, np.array([1, 0]))
    assert np.allclose(got[0], [-0.4, 1, -0.6])
    assert np.isfinite(got).all()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_labels_are_told_from_right_ones(kind):
    rows, role, label, wrong = clouds(n=400, m=150)
    scorer = kind()
    got, _ = scored(scorer, batch(rows, role, label))
    inside = np.array(role) == "train"
    bad = got if kind in (Grand, Forgetting) else -got
    found = roc_auc_score(wrong[inside], bad[inside])
    # TracIn gives next to nothing to whatever the network is sure of, a wrong label learned by heart too
    assert found > (0.9 if kind is not TracIn else 0.8)
    if kind in (Grand, Forgetting):
        assert scorer.direction() == "high"
        assert kind(keep="easy").direction() == "low"
    else:
        assert scorer.direction() == "high"


@pytest.mark.parametrize("kind", [TracIn, Less, Trak])
def test_what_is_useful_for_another_target_is_not_for_this_one(kind):
    # records of the target's classes help, those of a class that the target lacks less
    rows, role, label, _ = clouds(n=300, m=150, flipped=0.0)
    keep = (np.array(role) == "train") | (label == 0)
    given = batch(rows[keep], np.array(role)[keep].tolist(), label[keep])
    got, _ = scored(kind(), given)
    inside = np.array(role)[keep] == "train"
    own = label[keep][inside] == 0
    assert np.median(got[inside][own]) > np.median(got[inside][~own])


def test_training_learns_and_is_the_same_again():
    rows, _, label, _ = clouds(n=300, m=0, flipped=0)
    sample = LabelledSample(np.asarray(rows, np.float32), label.astype(np.uint64))
    for optimiser, rate in (("sgd", 0.2), ("adam", 0.02)):
        how = Training(16, 8, rate, optimiser, 0)
        points = train(sample, how)
        train.cache_clear()
        again = train(sample, how)
        assert all(
            np.array_equal(flat(a.network), flat(b.network))
            for a, b in zip(points, again, strict=True)
        )
        right = [p.network.look(with_bias(rows)).p.argmax(1) == label for p in points]
        assert right[-1].mean() > 0.9
        assert points[-1].steps == 8 * 10
        other = train(sample, Training(16, 8, rate, optimiser, 0, run=1))
        assert not np.array_equal(flat(other[0].network), flat(points[0].network))


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_is_refused(kind):
    rows, role, label, _ = clouds(n=20, m=10)
    with pytest.raises(ScoringError, match=f"{kind.name}: the labels are of one class"):
        fit(kind(), [batch(rows, role, np.zeros(30))], CONTEXT)
    with pytest.raises(ScoringError, match=f"{kind.name} found no train record"):
        fit(kind(), [batch(rows, ["target"] * 30, label)], CONTEXT)
    with pytest.raises(ScoringError, match="cannot use hidden=0"):
        kind(hidden=0)
    with pytest.raises(ScoringError, match="cannot use"):
        kind(rate=0)
    given = batch(rows, role, label)
    scorer = kind(**SMALL)
    state = fit(scorer, [given], CONTEXT)
    stranger = batch(np.vstack([rows[:2], rows[:1] * np.nan]), role[:3], [77, None, 1])
    told = scorer.score(stranger, state).reasons.to_list()
    assert told == [
        "the label is not among those that the network has learned",
        "no label",
        "no embedding",
    ]
    if kind in (Grand, Forgetting):
        with pytest.raises(ScoringError, match="hard or easy"):
            kind(keep="best")
        return
    with pytest.raises(ScoringError, match=f"{kind.name} found no target record"):
        fit(scorer, [batch(rows, ["train"] * 30, label)], CONTEXT)
    other = np.where(np.array(role) == "target", label + 100, label)
    with pytest.raises(ScoringError, match="no label of the target occurs"):
        fit(scorer, [batch(rows, role, other)], CONTEXT)
    with pytest.raises(ScoringError, match="target_rows=0"):
        kind(target_rows=0)


def test_settings_of_single_methods():
    for make in (
        lambda: Grand(layers="first"),
        lambda: Less(projection=-1),
        lambda: Less(compat="x"),
        lambda: Trak(projection=0),
        lambda: Trak(penalty=0),
        lambda: Leverage(penalty=0),
        lambda: Leverage(keep="x"),
    ):
        with pytest.raises(ScoringError, match="cannot use"):
            make()


def test_leverage_of_records_is_that_of_the_hat_matrix():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 5)) * [3, 3, 3, 1, 0.2]
    got, _ = scored(Leverage(penalty=0.02), batch(rows, ["train"] * 40 + ["target"] * 10))
    unit = to_grid(rows.astype(np.float16).astype(np.float32)).astype(float) / SCALE
    inside = unit[:40]
    matrix = inside.T @ inside
    matrix += 0.02 * np.trace(matrix) / 5 * np.eye(5)
    assert np.allclose(got, np.einsum("nd,de,ne->n", unit, np.linalg.inv(matrix), unit))
    assert ((got[:40] > 0) & (got[:40] < 1)).all()


def test_a_record_that_points_where_no_other_does_has_the_largest_leverage():
    rows = np.random.default_rng(1).normal(size=(60, 6))
    rows[:, 5] = 0
    rows[17] = [0, 0, 0, 0, 0, 1]
    got, state = scored(Leverage(), batch(rows, ["train"] * 60))
    assert got.argmax() == 17
    assert Leverage().direction(state) == "high"
    assert Leverage(keep="common").direction() == "low"
    # a copy halves what each decides alone
    twice, _ = scored(Leverage(), batch(np.vstack([rows, rows[17:18]]), ["train"] * 61))
    assert twice[17] == pytest.approx(got[17] / 2, rel=0.1)
    with pytest.raises(ScoringError, match="no train record with a vector"):
        scored(Leverage(), batch(rows, ["target"] * 60))
    with pytest.raises(ScoringError, match="two lengths"):
        Leverage().summarise(
            [batch(rows, ["train"] * 60), batch(rows[:, :4], ["train"] * 60)], CONTEXT
        )
