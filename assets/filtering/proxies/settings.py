"""State the size of proxy models and how much work their runs may cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

VERSION = "proxy/1"
MOST_PARAMETERS = 300_000


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
    vocabulary, vocabulary_size, tokens_per_byte
        Identity, codes and mean length of a trained vocabulary; empty, 256 and 1 for bytes.
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
    vocabulary: str = ""
    vocabulary_size: int = 256
    tokens_per_byte: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, the version of the training code included."""
        plain = asdict(self)
        if not self.vocabulary:
            for name in ("vocabulary", "vocabulary_size", "tokens_per_byte"):
                del plain[name]
        return plain | {"version": VERSION}

    @property
    def largest_vocabulary(self) -> int:
        """Return the most codes for which the model keeps to 0.3 million parameters."""
        shared = (self.context * self.embedding_size + 1) * self.hidden
        return int((MOST_PARAMETERS - shared) // (self.embedding_size + self.hidden + 1))

    @property
    def parameters(self) -> int:
        """Return the number of parameters of the language model."""
        return (
            self.vocabulary_size * self.embedding_size
            + (self.context * self.embedding_size + 1) * self.hidden
            + (self.hidden + 1) * self.vocabulary_size
        )

    @property
    def flops_per_token(self) -> float:
        """Return multiply-add operations of training on one token: 6 a weight used."""
        used = self.context * self.embedding_size + self.vocabulary_size
        return 6.0 * used * self.hidden

    @property
    def flops_per_byte(self) -> float:
        """Return multiply-add operations of training on one byte of a text of mean tokens."""
        return self.flops_per_token * self.tokens_per_byte


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
