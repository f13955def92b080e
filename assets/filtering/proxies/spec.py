"""Describe a proxy run by all that determines its result, and hash that to its identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
import xxhash

from assets.filtering.proxies.data import ProxyData
from assets.filtering.proxies.settings import ProxySettings
from assets.kernels.keyed_random import hash64

Rows = npt.NDArray[np.int64]
#: why a run is made: the law is fitted to it, it only checks the mixture rule, or intervals asked for it
DESIGN, VALIDATION, WIDENING = "design", "validation", "widening"


@dataclass(frozen=True)
class RunSpec:
    """Describe one run completely: ``run_id`` is a hash of everything that determines its result.

    Attributes
    ----------
    kind
        ``pool``, ``mixture`` or ``group``. ``pools``: names joined for mixtures; ``group``: value
        or None.
    proxy
        ``language_model``, ``head`` or None where none applies (``reason`` says why).
    content_ids
        Distinct training contents, sorted. ``samples``: draws, repeats included. ``passes``:
        samples / unique.
    shares
        Sampling shares of the pools of a mixture.
    pool_unique
        Unique records of the pool as a whole that the design uses.
    evaluation_ids
        Contents evaluated on, sorted.
    purpose
        ``design``, ``validation`` (kept out of every fit) or ``widening``; no part of ``run_id``,
        because it changes nothing that is measured.
    """

    run_id: str
    kind: str
    pools: tuple[int, ...]
    group: str | None
    proxy: str | None
    content_ids: tuple[str, ...]
    samples: int
    passes: float
    seed: int
    shares: tuple[float, ...]
    pool_unique: int
    evaluation_ids: tuple[str, ...]
    reason: str | None = None
    purpose: str = DESIGN


@dataclass(frozen=True)
class Maker:
    """Make runs on one set of records under one setting of the models."""

    data: ProxyData
    settings: ProxySettings

    def pool(
        self,
        pool: int,
        rows: Rows,
        samples: int,
        *,
        seed: int,
        whole: int,
        held: tuple[str, ...],
        reason: str | None = None,
        purpose: str = DESIGN,
    ) -> RunSpec:
        """Return a run on ``rows`` of one pool that holds ``whole`` usable records."""
        return self._make("pool", rows, samples, seed, whole, held, reason, purpose, pools=(pool,))

    def mixture(
        self,
        pools: tuple[int, ...],
        parts: list[Rows],
        samples: int,
        *,
        seed: int,
        held: tuple[str, ...],
        purpose: str = DESIGN,
    ) -> RunSpec:
        """Return a run on parts of several pools, sampled in proportion to the parts."""
        total = sum(len(part) for part in parts)
        shares = tuple(len(part) / total for part in parts)
        rows = np.concatenate(parts)
        return self._make(
            "mixture", rows, samples, seed, total, held, None, purpose, pools=pools, shares=shares
        )

    def group(
        self,
        group: str,
        rows: Rows,
        samples: int,
        *,
        seed: int,
        whole: int,
        held: tuple[str, ...],
        reason: str | None = None,
    ) -> RunSpec:
        """Return a run on ``rows`` of one group that holds ``whole`` usable records."""
        return self._make("group", rows, samples, seed, whole, held, reason, DESIGN, group=group)

    def evaluation(self, group: str | None = None) -> tuple[str, ...]:
        """Return the contents to evaluate on, chosen by a hash of content, sorted."""
        data, most = self.data, self.settings.evaluation_records
        keep = data.held_out & data.usable()
        if group is not None and data.group is not None:
            keep = keep & (data.group == group)
            most = max(most // 3, 32)
        contents = np.unique(data.content_ids[keep])
        if not contents.size:
            return ()
        order = np.lexsort((contents, hash64(contents.tolist(), 0, "proxy evaluation")))
        return tuple(sorted(str(c) for c in contents[order[:most]]))

    def _make(
        self,
        kind: str,
        rows: Rows,
        samples: int,
        seed: int,
        whole: int,
        held: tuple[str, ...],
        reason: str | None,
        purpose: str,
        *,
        pools: tuple[int, ...] = (),
        group: str | None = None,
        shares: tuple[float, ...] = (1.0,),
    ) -> RunSpec:
        contents = tuple(sorted(str(c) for c in self.data.content_ids[rows]))
        proxy = None if reason else self.data.kind
        # pool numbers are names: what a run yields is set by the records themselves
        identity = {
            "kind": kind,
            "pools": pools,
            "group": group,
            "proxy": proxy,
            "contents": contents,
            "samples": samples,
            "seed": seed,
            "held": held,
            "settings": self.settings.as_dict(),
            "shares": shares,
            "reason": reason,
        }
        packed = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        return RunSpec(
            run_id=xxhash.xxh3_128_hexdigest(packed),
            kind=kind,
            pools=pools,
            group=group,
            proxy=proxy,
            content_ids=contents,
            samples=int(samples),
            passes=samples / max(len(contents), 1),
            seed=seed,
            shares=shares,
            pool_unique=whole,
            evaluation_ids=held,
            reason=reason,
            purpose=purpose,
        )
