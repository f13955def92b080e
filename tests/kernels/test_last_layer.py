"""EL2N and last-layer GraNd from logits, against autograd and the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assets.kernels.last_layer import LogitsError, error_lengths, last_layer_lengths


def by_definition(logits, labels):
    """The oracle: one record at a time, in long doubles."""
    found = []
    for row, own in zip(logits.astype(np.longdouble), labels, strict=True):
        odds = np.exp(row - row.max())
        error = odds / odds.sum()
        error[own] -= 1
        found.append(float(np.sqrt((error * error).sum())))
    return np.array(found)


def drawn(n, c, scale, seed, kind=np.float64):
    rng = np.random.default_rng(seed)
    return (scale * rng.normal(size=(n, c))).astype(kind), rng.integers(c, size=n)


@given(
    st.integers(0, 30), st.integers(1, 40), st.sampled_from([0.1, 3.0, 300.0]), st.integers(0, 99)
)
def test_lengths_of_errors_are_those_of_the_definition(n, c, scale, seed):
    logits, labels = drawn(n, c, scale, seed)
    found = error_lengths(logits, labels)
    # as far as long doubles tell: they too lose what is less than 1e-19 of the label's one
    assert np.allclose(found, by_definition(logits, labels), rtol=1e-12, atol=1e-18)
    assert ((found >= 0) & (found <= np.sqrt(2) + 1e-12)).all()
    single = error_lengths(logits.astype(np.float32), labels)
    assert np.allclose(
        single, by_definition(logits.astype(np.float32), labels), rtol=2e-6, atol=1e-18
    )


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_a_last_layer_are_those_of_autograd(bias):
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4, bias=bias).double()
    inputs, labels = torch.randn(9, 6, dtype=torch.float64), torch.arange(9) % 4
    want = []
    for x, y in zip(inputs, labels, strict=True):
        loss = torch.nn.functional.cross_entropy(layer(x[None]), y[None])
        slopes = torch.autograd.grad(loss, list(layer.parameters()))
        want.append(float(sum(s.square().sum() for s in slopes)) ** 0.5)
    logits = layer(inputs).detach().numpy()
    found = last_layer_lengths(logits, inputs.numpy(), labels.numpy(), bias=bias)
    assert np.allclose(found, want, rtol=1e-12)
    other = last_layer_lengths(logits, inputs.numpy(), labels.numpy(), bias=not bias)
    assert not np.allclose(other, want, rtol=1e-3)
    alone = [last_layer_lengths(logits[i : i + 1], inputs.numpy()[i : i + 1], labels.numpy()[i : i + 1],
                                bias=bias)[0] for i in range(9)]  # fmt: skip
    assert np.array_equal(alone, found)


def test_a_label_that_is_all_but_certain_keeps_its_digits():
    # wrong: a share less one is 0 from about 37 on, and records that are learned cannot be told apart
    logits = np.array([[40.0, 0.0, 0.0], [45.0, 0.0, 0.0]])
    found = error_lengths(logits, np.zeros(2, dtype=int))
    assert np.allclose(found, np.sqrt(6) * np.exp([-40.0, -45.0]), rtol=1e-12)


def test_logits_are_left_as_they_are_and_nan_stays():
    logits, labels = drawn(3, 3, 1.0, 0)
    logits[1, 1] = np.nan
    given_ = logits.copy()
    found = error_lengths(logits, labels)
    assert np.array_equal(logits, given_, equal_nan=True)
    assert np.isnan(found).tolist() == [False, True, False]


def test_what_does_not_fit_is_refused():
    logits, labels = drawn(3, 3, 1.0, 0)
    for wrong in (labels + 3, labels - 3):
        with pytest.raises(LogitsError, match="classes"):
            error_lengths(logits, wrong)
    with pytest.raises(LogitsError, match="a label a row"):
        error_lengths(logits, labels[:2])
    with pytest.raises(LogitsError, match="inputs"):
        last_layer_lengths(logits, np.ones((2, 4)), labels)
