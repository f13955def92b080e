from __future__ import annotations

import pytest

from resources.compute import BudgetError, Compute, parse_compute


def test_flops_become_tokens_and_samples_after_scoring():
    # 6e18 FLOPs at 6 x 1e8 are 1e10 tokens; scoring 5e9 tokens with 6e7 parameters costs 6e17
    found = Compute(
        flops=6e18, parameters=1e8, tokens_per_sample=500, scorer_parameters=6e7, scored_tokens=5e9
    ).converted()
    assert found["scoring_flops"] == pytest.approx(6e17)
    assert found["training_flops"] == pytest.approx(5.4e18)
    assert found["tokens"] == pytest.approx(9e9)
    assert found["samples"] == pytest.approx(1.8e7)
    assert "10.00%" in found["text"]


def test_gpu_hours_are_flops_at_the_utilisation():
    hours = Compute(gpu_hours=10, peak=1e15, utilisation=0.4, parameters=1e9).converted()
    flops = Compute(flops=10 * 3600 * 4e14, parameters=1e9).converted()
    assert hours["tokens"] == pytest.approx(flops["tokens"])
    assert hours["gpu_hours"] == pytest.approx(10)


def test_samples_and_tokens_stay_what_they_are():
    assert Compute(samples=640e6).converted()["samples"] == 640e6
    assert Compute(tokens=1e9, tokens_per_sample=4).converted()["samples"] == pytest.approx(2.5e8)
    less = Compute(samples=1e6, tokens_per_sample=10, parameters=1e6, scoring_flops=6e12)
    assert less.converted()["samples"] == pytest.approx(9e5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "samples=1,tokens=2",
            "exactly one of samples, tokens, flops, gpu_hours: samples and tokens",
        ),
        ("parameters=1e9", "none is stated"),
        ("flops=1e18", "flops needs parameters"),
        ("gpu_hours=3,parameters=1e9,utilisation=0.4", "gpu_hours needs peak"),
        ("gpu_hours=3,parameters=1e9,peak=1e15", "gpu_hours needs utilisation"),
        ("gpu_hours=3,parameters=1e9,peak=1e15,utilisation=40", "0.4, not 40"),
        ("gpu_hours=3,parameters=1e9,peak=989,utilisation=0.4", "FLOP/s of one GPU"),
        ("samples=-3", "not a positive number"),
        ("samples=nan", "not a positive number"),
        ("samples=much", "no number"),
        ("hours=3", "'hours' is not known"),
        ("samples=1,samples=2", "stated twice"),
        ("samples=10,scoring_flops=1e9", "the cost of scoring needs parameters"),
        ("flops=1,parameters=1,scorer_parameters=3", "state both"),
    ],
)
def test_what_is_no_budget_says_what_to_write(text, words):
    with pytest.raises(BudgetError, match=words):
        parse_compute(text)


def test_a_budget_that_scoring_ate_is_refused():
    with pytest.raises(BudgetError, match="nothing is left to train with"):
        Compute(flops=1e15, parameters=1e6, scoring_flops=2e15).converted()
