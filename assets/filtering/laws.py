"""Name the laws and predict with any of them, for many parameter draws at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from assets.filtering import data_constrained, power, saturation, utility
from assets.filtering.decay import Array
from assets.filtering.utility import Form

LawName = Literal["utility", "saturation", "power", "data_constrained"]
LAWS: tuple[LawName, ...] = ("utility", "saturation", "power", "data_constrained")


class LawError(ValueError):
    """A law, form or parameter that does not exist or cannot be used."""


@dataclass(frozen=True)
class Parameters:
    """Hold draws of a law's parameters.

    Attributes
    ----------
    law, form, kappa
        Names and the diversity exponent used for mixtures.
    pools
        Names, in the order of the last axis below.
    floor, log_anchor
        Shape (draws,): irreducible error; ln n0.
    b, tau, log_height
        Shape (draws, pools): exponents (< 0), half-lives in passes, ln of the reducible error at
        n0.
    size_height, size_exponent, largest_model
        Extra floor of a smaller model, C ((N/N_max)^{-alpha} - 1): shape (draws,), (draws,),
        scalar or None.
    reference_unique
        Shape (pools,): the pool size that ``tau`` belongs to.
    size_kappa
        Exponent by which the half-life of a random part of a pool shrinks with its size.
    """

    law: LawName
    form: Form
    kappa: float
    pools: tuple[str, ...]
    floor: Array
    log_anchor: Array
    b: Array
    tau: Array
    log_height: Array
    reference_unique: Array
    size_kappa: float = 0.0
    size_height: Array | None = None
    size_exponent: Array | None = None
    largest_model: float | None = None

    @property
    def draws(self) -> int:
        """Return the number of draws."""
        return int(self.floor.shape[0])


def model_floor(parameters: Parameters, model_size: float | None) -> Array:
    """Return the floor for one model size (default the largest), shape (draws,)."""
    p = parameters
    if p.size_height is None or p.size_exponent is None or p.largest_model is None:
        return p.floor
    if model_size is None or not np.isfinite(model_size):
        return p.floor
    log_ratio = np.log(model_size / p.largest_model)
    return np.asarray(p.floor + p.size_height * np.expm1(-p.size_exponent * log_ratio))


def mixture_error(
    parameters: Parameters,
    samples: Array,
    weights: Array,
    unique: Array,
    *,
    model_size: float | None = None,
) -> Array:
    """Predict the error of mixtures for every draw.

    Parameters
    ----------
    parameters
        Draws of a law's parameters.
    samples
        Shape (points,).
    weights, unique
        Shape (points, pools); a weight of zero leaves a pool out.
    model_size
        One size for all points; None: the largest.

    Returns
    -------
    ndarray
        float64, shape (draws, points). A single pool is the mixture with one weight of one: every
        law then equals its one-pool formula exactly.
    """
    p = parameters
    n = np.asarray(samples, float)[None, :]
    w = np.asarray(weights, float)[None, :, :]
    u = np.where(w > 0.0, np.asarray(unique, float)[None, :, :], p.reference_unique)
    # a random part of a pool has less diversity than the pool: tau ~ size^kappa, of the unshared
    # pool
    if p.size_kappa == 0.0:
        scale = np.ones_like(u)
    else:
        scale = (u / p.reference_unique) ** p.size_kappa
    tau = p.tau[:, None, :] * scale
    floor = model_floor(p, model_size)[:, None]
    anchor = np.exp(p.log_anchor)[:, None]
    b, height = p.b[:, None, :], p.log_height[:, None, :]
    if p.law == "utility":
        return utility.mixture_error(
            n,
            w,
            u,
            b=b,
            tau=tau,
            floor=floor,
            anchor=anchor,
            log_height=height,
            kappa=p.kappa,
            form=p.form,
        )
    if p.law == "saturation":
        return saturation.mixture_error(
            n, w, u, b=b, tau=tau, floor=floor, anchor=anchor, log_height=height, kappa=p.kappa
        )
    if p.law == "data_constrained":
        return data_constrained.mixture_error(
            n, w, u, b=b, tau=tau, floor=floor, anchor=anchor, log_height=height, kappa=p.kappa
        )
    if p.law == "power":
        return power.mixture_error(n, w, b=b, floor=floor, anchor=anchor, log_height=height)
    message = f"law {p.law!r} does not exist; choose one of {', '.join(LAWS)}"
    raise LawError(message)
