"""Estimate the loss of mixtures by averaging the weights of models of single pools.

One model a pool, all from the same initial weights, gives an estimate for every subset of pools at
no further training; training each subset would cost 2^P - 1 runs (Na et al. 2024, arXiv
2410.15661, who found that losses of merged models rank mixtures as trained ones do). It is an
option for screening. The merged loss is no forecast of the trained one, so its error is measured
against trained mixtures and reported with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from assets.filtering.proxies import language_model
from assets.filtering.proxies.data import ProxyData, ProxyError
from assets.filtering.proxies.design import run_on
from assets.filtering.proxies.run import order_of_training, rows_of
from assets.filtering.proxies.settings import ProxySettings
from assets.filtering.proxies.spec import RunSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Merged:
    """Hold estimates for mixtures, and their error where mixtures were trained.

    Attributes
    ----------
    pools
        The mixtures.
    merged
        Loss of the averaged weights, shape (mixtures,), in bits a byte / 8.
    trained
        Loss of a model trained on the mixture with as many samples in all; NaN where none was.
    """

    pools: tuple[tuple[int, ...], ...]
    merged: tuple[float, ...]
    trained: tuple[float, ...]

    @property
    def error(self) -> tuple[float, float] | None:
        """Return mean and standard deviation of merged less trained; None below two trained ones."""
        gap = np.array(self.merged) - np.array(self.trained)
        gap = gap[np.isfinite(gap)]
        return None if gap.size < 2 else (float(gap.mean()), float(gap.std(ddof=1)))

    @property
    def rank_correlation(self) -> float | None:
        """Return Spearman's correlation with the trained losses; None below three trained ones."""
        from scipy.stats import spearmanr

        known = np.isfinite(self.trained)
        if known.sum() < 3:
            return None
        return float(
            spearmanr(np.array(self.merged)[known], np.array(self.trained)[known]).statistic
        )


def measure_merged(
    spec: RunSpec,
    parts: Sequence[tuple[RunSpec, float]],
    data: ProxyData,
    *,
    settings: ProxySettings,
    device: str = "cpu",
) -> language_model.Measured:
    """Train one model a part, average their weights by share, and measure the average.

    Parameters
    ----------
    spec
        The mixture; its held-out contents are evaluated on and its seed gives the start.
    parts
        A run on each pool's part, and its share.
    data, settings, device
        As for proxy runs; records with text.

    Returns
    -------
    Measured
        Bytes and work of all parts.
    """
    if data.text is None:
        message = "merging averages weights of language models; the records have no text"
        raise ProxyError(message)
    at = rows_of(data, spec.content_ids + spec.evaluation_ids)

    def encoded(contents: Sequence[str], text: pa.Array = data.text) -> language_model.Encoded:
        rows = np.array([at[c] for c in contents], dtype=np.int64)
        return language_model.encode(text, rows, settings, data.vocabulary)

    total: list[torch.Tensor] = []
    seen, tokens = 0, 0
    for part, share in parts:
        train, order = encoded(part.content_ids), order_of_training(part)
        weights = language_model.train_weights(
            train, order, settings=settings, seed=spec.seed, device=device
        )
        scaled = [share * layer for layer in weights]
        total = [a + b for a, b in zip(total, scaled, strict=True)] if total else scaled
        seen += int(train.bytes[order].sum())
        tokens += int(train.lengths[order].sum())
    held = encoded(spec.evaluation_ids)
    value, se = language_model.measure(total, held, settings=settings, device=device)
    flops = tokens * settings.flops_per_token
    return language_model.Measured(value, se, seen, flops, settings.parameters)


def merge_pools(
    data: ProxyData,
    mixtures: Sequence[tuple[int, ...]],
    *,
    samples: int,
    check: Sequence[tuple[int, ...]] = (),
    settings: ProxySettings | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Merged:
    """Train one model a pool, average weights for each mixture, and train the mixtures of ``check``.

    Parameters
    ----------
    data
        Records with text.
    mixtures
        Pools of each mixture; shares are by the records drawn.
    samples
        Fresh records of each pool.
    check
        Mixtures to train as well, to measure the error.
    settings, seed, device
        As for proxy runs.

    Returns
    -------
    Merged
        Cost: as many runs as pools, and one for each of ``check``.

    Raises
    ------
    ProxyError
        The records have no text, or ``check`` names what is not among the mixtures.
    """
    import torch

    settings = settings or ProxySettings()
    if data.kind != "language_model" or data.text is None:
        message = "merging averages weights of language models; the records have no text"
        raise ProxyError(message)
    if set(check) - set(mixtures):
        message = (
            f"check names mixtures that are not asked for: {sorted(set(check) - set(mixtures))}"
        )
        raise ProxyError(message)

    text = data.text

    def trained(pools: tuple[int, ...]) -> tuple[RunSpec, list[torch.Tensor]]:
        draws = sum(min(samples, len(data.train_rows(pool=p))) for p in pools)
        spec = run_on(data, pools, draws, largest=samples, settings=settings, seed=seed)
        at = rows_of(data, spec.content_ids)
        rows = np.array([at[c] for c in spec.content_ids], dtype=np.int64)
        encoded = language_model.encode(text, rows, settings, data.vocabulary)
        weights = language_model.train_weights(
            encoded, order_of_training(spec), settings=settings, seed=seed, device=device
        )
        return spec, weights

    parts = {p: trained((p,)) for p in sorted({p for pools in mixtures for p in pools})}
    spec = next(iter(parts.values()))[0]
    at = rows_of(data, spec.evaluation_ids)
    held = language_model.encode(
        text,
        np.array([at[c] for c in spec.evaluation_ids], dtype=np.int64),
        settings,
        data.vocabulary,
    )

    def loss(weights: list[torch.Tensor]) -> float:
        return language_model.measure(weights, held, settings=settings, device=device)[0]

    merged, checked = [], []
    for pools in mixtures:
        sizes = np.array([parts[p][0].samples for p in pools], dtype=float)
        shares = sizes / sizes.sum()
        average = [
            torch.stack([w * x for w, x in zip(shares.tolist(), layer, strict=True)]).sum(dim=0)
            for layer in zip(*[parts[p][1] for p in pools], strict=True)
        ]
        merged.append(loss(average))
        checked.append(loss(trained(pools)[1]) if pools in check else float("nan"))
    return Merged(tuple(mixtures), tuple(merged), tuple(checked))
