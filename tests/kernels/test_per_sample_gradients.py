"""Closed form, ghost norms and vmap against one backward pass a record."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from assets.kernels.per_sample_gradients import (
    GradientError,
    ghost_norms,
    last_layer_gradients,
    per_sample_gradients,
)


def summed(outputs, targets):
    return torch.nn.functional.cross_entropy(outputs, targets, reduction="sum")


def pooled(outputs, targets):
    return summed(outputs.mean(dim=1), targets)


def one_by_one(module, loss, inputs, targets):
    """The oracle: a backward pass a record."""
    rows = []
    for x, y in zip(inputs, targets, strict=True):
        module.zero_grad()
        loss(module(x[None]), y[None]).backward()
        rows.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    return torch.stack(rows)


def network(*sizes, bias=True, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in pairwise(sizes):
        layers += [torch.nn.Linear(a, b, bias=bias), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1]).double().eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [0, 2, 40])  # few tokens by Gram matrices, many materialised
def test_all_ways_agree_with_one_backward_pass_a_record(bias, tokens):
    module = network(5, 7, 4, bias=bias)
    generator = torch.Generator().manual_seed(1)
    shape = (9, tokens, 5) if tokens else (9, 5)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (9,), generator=generator)
    loss = pooled if tokens else summed
    exact = one_by_one(module, loss, x, y)
    assert torch.allclose(ghost_norms(module, loss, x, y), exact.norm(dim=1), atol=1e-12)
    for chunk in (1, 4, 64):
        got = per_sample_gradients(module, loss, x, y, chunk=chunk)
        assert torch.allclose(got, exact, atol=1e-12)


def test_the_closed_form_of_a_last_layer():
    module = network(6, 3)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = torch.arange(8) % 3
    p = torch.softmax(module(x), dim=1).detach().numpy()
    errors = p - np.eye(3)[y.numpy()]
    exact = one_by_one(module, summed, x, y).numpy()
    ours = last_layer_gradients(errors, x.numpy()).reshape(8, 3, 7)
    assert np.allclose(ours[:, :, :6].reshape(8, -1), exact[:, :18])
    assert np.allclose(ours[:, :, 6], exact[:, 18:])
    bare = last_layer_gradients(errors, x.numpy(), bias=False)
    assert np.allclose(bare, exact[:, :18])


def test_a_mutant_that_averages_the_loss_is_seen():
    def mean(outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets)

    module = network(5, 4, 3)
    x = torch.randn(6, 5, dtype=torch.float64)
    y = torch.arange(6) % 3
    whole = ghost_norms(module, mean, x, y)
    assert not torch.allclose(ghost_norms(module, mean, x[:2], y[:2]), whole[:2])
    assert torch.allclose(
        ghost_norms(module, summed, x[:2], y[:2]), ghost_norms(module, summed, x, y)[:2]
    )


def test_what_mixes_records_is_refused():
    mixing = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    x, y = torch.randn(4, 3), torch.zeros(4, dtype=torch.long)
    for way in (ghost_norms, per_sample_gradients):
        with pytest.raises(GradientError, match=r"call eval\(\)"):
            way(mixing, summed, x, y)
    with pytest.raises(GradientError, match=r"1\.weight, 1\.bias is in none"):
        ghost_norms(mixing.eval(), summed, x, y)
    assert per_sample_gradients(mixing, summed, x, y).shape == (4, 18)
    assert per_sample_gradients(mixing, summed, x[:0], y[:0]).shape == (0, 18)
    layer = torch.nn.Linear(3, 3)
    twice = torch.nn.Sequential(layer, layer).eval()
    with pytest.raises(GradientError, match="used twice"):
        ghost_norms(twice, summed, x, y)
