"""Gradients of each record's loss, and their lengths, without a backward pass for each record.

Three ways, from the cheapest to the most general:

* the closed form of a linear last layer under cross-entropy: the gradient is ``(p - onehot(y)) x [h, 1]`` (its length
  alone is in `last_layer`);
* ghost norms (Goodfellow 2015, arXiv 1510.01799; sequences: Li et al. 2022, arXiv 2110.05679): one backward pass of
  the summed loss gives every linear layer's inputs a and output gradients d, and the squared length of a record's
  gradient is ``norm(a)^2 norm(d)^2``, or of T tokens ``sum over t, t' of (a_t . a_t')(d_t . d_t')``;
* `torch.func`: a vectorised gradient of the module, in chunks, which materialises all of it.

The loss must be a sum over records. Layers that mix records (batch normalisation in training) have no gradient of one
record and are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""From outputs (n, …) and targets (n, …) to the losses of the records, summed."""


class GradientError(ValueError):
    """A module whose gradients cannot be told apart by record."""


def last_layer_gradients(
    errors: NDArray[np.floating], activations: NDArray[np.floating], *, bias: bool = True
) -> NDArray[np.float64]:
    """Return each record's last-layer gradient: float64, shape (n, c x (d + 1)), or (n, c x d) without bias.

    A row is the weight matrix's gradient with the bias as its last column, row after row.
    """
    inner = np.asarray(activations, dtype=np.float64)
    if bias:
        inner = np.column_stack([inner, np.ones(len(inner))])
    outer = np.asarray(errors, dtype=np.float64)[:, :, None] * inner[:, None, :]
    return outer.reshape(len(inner), -1)


def ghost_norms(
    module: torch.nn.Module, loss: Loss, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Return the length of each record's gradient in all weights of the module's linear layers.

    Parameters
    ----------
    module
        All of its weights in ``torch.nn.Linear`` layers, each of them used once in a forward pass; in evaluation mode.
    loss
        Summed over records.
    inputs, targets
        n records; linear layers see (n, d) or (n, T, d).

    Returns
    -------
    torch.Tensor
        Shape (n,), on the device of the inputs.

    Raises
    ------
    GradientError
        A weight is not that of a linear layer, the module is in training mode, or a layer is used twice.

    Notes
    -----
    One forward and one backward pass. For T tokens two T x T Gram matrices a record where that is less than the
    weights, else the gradient of one layer at a time.
    """
    import torch

    layers = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    _check(module, {id(p) for layer in layers for p in layer.parameters()})
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def remember(layer: torch.nn.Module, given: Any, output: torch.Tensor) -> None:  # noqa: ANN401
        if id(layer) in seen:
            message = "a linear layer is used twice in a forward pass; use per_sample_gradients"
            raise GradientError(message)
        output.retain_grad()
        seen[id(layer)] = (given[0].detach(), output)

    handles = [layer.register_forward_hook(remember) for layer in layers]
    try:
        with torch.enable_grad():
            total = loss(module(inputs), targets)
            outputs = [seen[id(layer)][1] for layer in layers if id(layer) in seen]
            slopes = torch.autograd.grad(total, outputs)
    finally:
        for handle in handles:
            handle.remove()
    squared = torch.zeros(len(inputs), dtype=slopes[0].dtype, device=inputs.device)
    used = [layer for layer in layers if id(layer) in seen]
    for layer, d in zip(used, slopes, strict=True):
        squared += _squared(seen[id(layer)][0], d, layer.bias is not None)
    return squared.sqrt()


def _squared(a: torch.Tensor, d: torch.Tensor, bias: bool) -> torch.Tensor:  # noqa: FBT001
    """Return the squared length of each record's gradient in one layer (n,)."""
    if a.ndim == 2:
        return d.square().sum(1) * (a.square().sum(1) + float(bias))
    a, d = a.flatten(1, -2), d.flatten(1, -2)
    tokens, weights = a.shape[1], a.shape[2] * d.shape[2]
    if tokens * tokens < weights:
        inner = a @ a.mT + float(bias)
        return (inner * (d @ d.mT)).sum((1, 2))
    squared = (d.mT @ a).square().sum((1, 2))
    return squared + d.sum(1).square().sum(1) if bias else squared


def per_sample_gradients(
    module: torch.nn.Module,
    loss: Loss,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    *,
    chunk: int = 64,
) -> torch.Tensor:
    """Return each record's gradient in all weights: shape (n, weights), in the order of ``named_parameters``.

    Parameters
    ----------
    module
        Any that keeps records apart; in evaluation mode.
    loss
        Summed over records.
    inputs, targets
        n records.
    chunk
        Records whose gradients are computed together; changes memory, never the answer but in the last digits.

    Raises
    ------
    GradientError
        The module is in training mode.
    """
    import torch
    from torch.func import functional_call, grad, vmap

    _check(module, None)
    weights = {name: p.detach() for name, p in module.named_parameters()}
    buffers = {name: b.detach() for name, b in module.named_buffers()}

    def one(
        held: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:  # a batch of one record
        return loss(functional_call(module, (held, buffers), (x[None],)), y[None])

    each = vmap(grad(one), in_dims=(None, 0, 0))
    parts = []
    for start in range(0, len(inputs), chunk):
        found = each(weights, inputs[start : start + chunk], targets[start : start + chunk])
        parts.append(torch.cat([g.flatten(1) for g in found.values()], dim=1))
    size = sum(w.numel() for w in weights.values())
    return torch.cat(parts) if parts else torch.empty((0, size), device=inputs.device)


def _check(module: torch.nn.Module, known: set[int] | None) -> None:
    if module.training and any(True for _ in module.children()):
        message = "the module is in training mode, where records may depend on each other; call eval() first"
        raise GradientError(message)
    if known is None:
        return
    others = [name for name, p in module.named_parameters() if id(p) not in known]
    if others:
        message = (
            f"ghost norms know linear layers only, and {', '.join(others[:5])} is in none; "
            "use per_sample_gradients"
        )
        raise GradientError(message)
