"""State the size of proxy models and how much work their runs may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VERSION = "proxy/1"


@dataclass(frozen=True)
class ProxySettings:
    """Hold settings of proxy runs; those that change results are part of every run_id.

    Attributes
    ----------
    bytes_per_record
        The first bytes of a text that are trained on and evaluated.
    context, embedding_size, hidden
        Shape of the language model: bytes seen before the predicted one, their vectors, hidden
        units. The defaults give 37 k parameters.
    batch_records, learning_rate, cooldown
        Records a step, Adam's constant rate, and the last share of steps over which it falls to
        zero.
    evaluation_records
        Held-out records an evaluation reads at most (and a third of it for one group).
    head_batch, head_learning_rate
        The same for the softmax head.
    """

    bytes_per_record: int = 64
    context: int = 8
    embedding_size: int = 12
    hidden: int = 96
    batch_records: int = 4
    learning_rate: float = 4e-3
    cooldown: float = 0.3
    evaluation_records: int = 384
    head_batch: int = 32
    head_learning_rate: float = 2e-2

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, the version of the training code included."""
        return asdict(self) | {"version": VERSION}

    @property
    def parameters(self) -> int:
        """Return the number of parameters of the language model."""
        return (
            256 * self.embedding_size
            + (self.context * self.embedding_size + 1) * self.hidden
            + (self.hidden + 1) * 256
        )

    @property
    def flops_per_byte(self) -> float:
        """Return multiply-add operations of training on one byte: 6 a weight used."""
        return 6.0 * (self.context * self.embedding_size * self.hidden + self.hidden * 256)


@dataclass(frozen=True)
class ProxyLimits:
    """Hold limits of a whole design.

    ``seconds`` is turned into work at ``flops_per_second``, a stated constant and not a
    measurement, so that the design (and with it every result) does not depend on the machine's
    load.
    """

    seconds: float = 60.0
    flops_per_second: float = 1e10
    seeds: int = 1
    group_seeds: int = 1
    largest: int = 5000
    largest_group: int = 512
    mixtures: int = 1
    held_out_mixtures: int = 2
    group_share: float = 0.35

    @property
    def flops(self) -> float:
        """Return the work that all runs together may do."""
        return self.seconds * self.flops_per_second
