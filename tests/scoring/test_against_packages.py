"""Agreement with other people's packages; which, and to which tolerance: docs/methods/compared.md."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.stats import kendalltau

from assets.kernels.sinkhorn import sinkhorn
from assets.kernels.unit_vectors import UNIT, to_grid
from assets.scoring.difficulty import Loss, Margin
from assets.scoring.dsir import Dsir
from assets.scoring.knn_shapley import KnnShapley
from assets.scoring.ngram_buckets import ngram_buckets
from assets.scoring.protocol import ScoreBatch, ScoreContext, fit
from assets.scoring.selectors.facility_location import FacilityLocation
from assets.scoring.selectors.k_center import KCenter
from assets.scoring.selectors.protocol import Candidates
from tests.scoring.samples import records

pytestmark = [
    pytest.mark.compare,
    pytest.mark.filterwarnings("ignore"),  # what the packages warn of is not ours to mend
]
CONTEXT = ScoreContext()
MARKED = ["naïve Straße ΑΒΓΣ İstanbul ½", "🙂🙂 e\u0301 \u200b zero"]  # İ in lower case holds one
ODD = [
    "",
    "one",
    "Don't  panic!!! (3.14 %) …",
    *MARKED,
    "日本語のテキスト、です。",
    "tab\tand\r\nline\u2028ends\x85 a_b __c",
    "!!! ??? ... ---",
]


def package(name):
    """A package, or the test is skipped; one that is there but broken counts as absent."""
    return pytest.importorskip(name, exc_type=ImportError)


def corpus(wpt):
    sample, _ = records(200)
    text = [t or "" for t in sample.text.to_pylist()]
    role = sample.role.to_pylist()
    # from 3.10 on nltk counts a combining mark as part of its word, which Python's re never did
    marks_join = len(wpt.tokenize("e\u0301")) == 1
    odd = [t for t in ODD if t not in MARKED] if marks_join else ODD
    raw = [t for t, r in zip(text, role, strict=True) if r == "train"] + odd
    return raw, [t for t, r in zip(text, role, strict=True) if r == "target"] + odd[2:4]


def test_dsir_has_the_buckets_and_the_log_weights_of_data_selection(tmp_path):
    theirs = package("data_selection.hashed_ngram_dsir")
    raw, target = corpus(theirs.wpt)
    found, offsets = ngram_buckets(pa.array(raw), 10_000, "sha256")
    for i, text in enumerate(raw):
        counts = theirs.get_ngram_counts(text, n=2, num_buckets=10_000)
        own = np.bincount(found[offsets[i] : offsets[i + 1]], minlength=10_000)
        assert np.array_equal(own, counts), text

    def saved(name, texts):
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
        return str(path)

    package_dsir = theirs.HashedNgramDSIR(
        [saved("raw", raw)], [saved("target", target)], str(tmp_path / "cache"), num_proc=1
    )
    package_dsir.fit_importance_estimator(num_tokens_to_fit="all")
    package_dsir.compute_importance_weights()
    want = np.load(tmp_path / "cache" / "log_importance_weights" / "0.npy")
    lengths = np.load(package_dsir.perexample_metadata_dir / "0.npy")

    def batch(texts, role):
        ids = [f"{role}{i}" for i in range(len(texts))]
        return ScoreBatch(ids, text=pa.array(texts, pa.string()), role=role)

    scorer = Dsir(compat="reference")
    rows = batch(raw, "train")
    column = scorer.score(rows, fit(scorer, [rows, batch(target, "target")], CONTEXT))
    scored = lengths > 0  # a text without words has weight 0 there and none here
    assert np.array_equal(~np.isnan(column.values), scored)
    assert np.allclose(column.values[scored], want[scored], rtol=0, atol=1e-9)
    assert np.abs(want[scored]).max() > 100


def vectors(n=400, dim=24, seed=5):
    """Ids, vectors, and their similarities on the grid that ours works on."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(12, dim))[rng.integers(12, size=n)] + 0.6 * rng.normal(size=(n, dim))
    rows = rows.astype(np.float32)
    grid = to_grid(rows).astype(np.float64)
    return pl.Series([f"{i:032x}" for i in range(n)]), rows, (1 + grid @ grid.T / UNIT) / 2


def own_picks(most, **data):
    ids, rows, similar = vectors(**data)
    picks = list(FacilityLocation().picks(Candidates(ids, embedding=rows), most, 0))
    return [int(row[0]) for row, _ in picks], np.array([gain[0] for _, gain in picks]), similar


@pytest.mark.parametrize("optimizer", ["NaiveGreedy", "LazyGreedy"])
def test_facility_location_picks_what_submodlib_picks(optimizer):
    submodlib = package("submodlib")
    picked, gains, similar = own_picks(60)
    theirs = submodlib.FacilityLocationFunction(
        n=len(similar), mode="dense", sijs=similar.astype(np.float32), separate_rep=False
    ).maximize(budget=60, optimizer=optimizer, stopIfZeroGain=False, show_progress=False)
    assert [row for row, _ in theirs] == picked
    assert np.allclose([gain for _, gain in theirs], gains, rtol=1e-5)  # float32 there


def test_k_center_picks_what_disparity_min_of_submodlib_picks():
    submodlib = package("submodlib")
    ids, rows, similar = vectors()
    picks = list(KCenter().picks(Candidates(ids, embedding=rows), 60, 0))
    picked = [int(row[0]) for row, _ in picks]
    # all first rows are worth 0 there, and the last of equals is taken: it is given ours
    order = np.array([i for i in range(len(ids)) if i != picked[0]] + picked[:1])
    theirs = submodlib.DisparityMinFunction(
        n=len(ids), mode="dense", sijs=similar[np.ix_(order, order)].astype(np.float32)
    ).maximize(
        budget=60,
        optimizer="NaiveGreedy",
        stopIfZeroGain=False,
        stopIfNegativeGain=False,
        show_progress=False,
    )
    assert [int(order[row]) for row, _ in theirs] == picked
    # what it adds up to is the least distance between picks, 1 - (1 + cos) / 2, half of ours
    least = np.cumsum([gain for _, gain in theirs])[1:]
    assert np.allclose(least, [gain[0] / 2 for _, gain in picks[1:]], rtol=0, atol=1e-5)


def test_facility_location_picks_what_apricot_picks():
    apricot = package("apricot")
    picked, gains, similar = own_picks(60)
    theirs = apricot.FacilityLocationSelection(60, metric="precomputed", optimizer="lazy")
    theirs.fit(similar)
    assert theirs.ranking.tolist() == picked
    assert np.allclose(theirs.gains, gains, rtol=1e-9)


@pytest.mark.parametrize("eps", [1.0, 0.2, 0.05])
def test_transport_has_the_plan_the_duals_and_the_cost_of_pot(eps):
    ot = package("ot")
    rng = np.random.default_rng(2)
    a, b = rng.dirichlet(np.full(40, 3.0)), rng.dirichlet(np.full(30, 3.0))
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.4
    costs = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    found = sinkhorn(lambda rows: costs[rows], a, b, eps, tolerance=1e-12, most=200_000)
    plan, log = ot.sinkhorn(
        a, b, costs, eps, method="sinkhorn_log", numItermax=200_000, stopThr=1e-13, log=True
    )
    ours = a[:, None] * b * np.exp((found.f[:, None] + found.g - costs) / eps)
    assert np.allclose(ours, plan, rtol=0, atol=1e-10)
    # POT's plan is exp(log_u + log_v - C / eps): its duals hold the masses, and a free constant
    f, g = eps * (log["log_u"] - np.log(a)), eps * (log["log_v"] - np.log(b))
    shift = (b * g).sum()
    assert np.allclose(found.f, f + shift, rtol=0, atol=1e-7)
    assert np.allclose(found.g, g - shift, rtol=0, atol=1e-7)
    assert (ours * costs).sum() == pytest.approx((plan * costs).sum(), rel=1e-9)
    divergence = (plan * np.log(plan / (a[:, None] * b))).sum()
    assert found.value == pytest.approx((plan * costs).sum() + eps * divergence, rel=1e-9)


def test_margin_and_loss_are_the_label_qualities_of_cleanlab():
    rank = package("cleanlab.rank")
    rng = np.random.default_rng(4)
    p = rng.dirichlet(np.full(6, 0.4), size=3000)
    labels = rng.integers(6, size=len(p))
    margin, loss = Margin().measure(p, labels), Loss().measure(p, labels)
    confidence = rank.get_self_confidence_for_each_label(labels, p)
    normalised = rank.get_normalized_margin_for_each_label(labels, p)
    assert np.allclose(np.exp(-loss), confidence, rtol=0, atol=1e-12)
    assert np.allclose((margin + 1) / 2, normalised, rtol=0, atol=1e-12)
    # worst label first, the same order: least confident is largest loss
    assert kendalltau(-loss, confidence).statistic == pytest.approx(1, abs=1e-12)
    assert kendalltau(margin, normalised).statistic == pytest.approx(1, abs=1e-12)
    # and they are two scores, not one
    assert kendalltau(-loss, margin).statistic < 0.99


def test_knn_shapley_has_the_values_of_pydvl(tmp_path):
    # pyDVL needs numpy below 2, so it runs in an environment of its own (extra compare-old)
    python = os.environ.get("SLUICE_COMPARE_OLD_PYTHON")
    if not python:
        pytest.skip("SLUICE_COMPARE_OLD_PYTHON names no python that has pyDVL")
    rng = np.random.default_rng(8)
    n, targets = 250, 40
    truth = rng.integers(3, size=n + targets)
    rows = (np.eye(8)[truth] + 0.4 * rng.normal(size=(n + targets, 8))).astype(np.float32)
    label = np.where(rng.random(n + targets) < 0.15, (truth + 1) % 3, truth)
    grid = to_grid(rows).astype(np.float64)
    # ties, which pyDVL breaks as it happens, are broken by the rank here too: products are whole
    far = 2 * UNIT - grid @ grid[:n].T + np.arange(n) / n
    np.savez(tmp_path / "in.npz", x=far, y=label, train=n, ks=[1, 5, 250])
    script = Path(__file__).with_name("pydvl_values.py")
    done = subprocess.run(
        [python, "-P", "-W", "ignore", script, tmp_path / "in.npz", tmp_path / "out.npz"],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
    )
    assert not done.returncode, done.stderr[-2000:]
    batch = ScoreBatch(
        [f"{i:032x}" for i in range(n + targets)],
        label=pa.array([str(v) for v in label]),
        embedding=rows,
        role=pa.array(["train"] * n + ["target"] * targets),
    )
    with np.load(tmp_path / "out.npz") as theirs:
        for k in (1, 5, 250):
            ours, _ = KnnShapley(k).score_all(batch, np.arange(n + targets), CONTEXT)
            assert np.allclose(ours.values[:n], theirs[f"k{k}"], rtol=0, atol=1e-12)
            assert np.abs(ours.values[:n]).max() > 1e-4
