"""Turn compute into what a training run can see: FLOPs = 6 N D (Kaplan et al. 2020, arXiv 2001.08361).

6 operations a parameter and token: 2 for the forward pass, 4 for the backward pass; attention over
the context is left out, as is usual. What scoring cost comes off first: a forward pass of the scorer
is 2 operations a parameter and token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

TRAINING, FORWARD = 6.0, 2.0
UNITS = ("samples", "tokens", "flops", "gpu_hours")
#: nothing that trains is slower; a smaller number was meant in TFLOP/s
LEAST_PEAK = 1e9


class BudgetError(ValueError):
    """A budget that is not stated exactly once, or that nothing is left of."""


@dataclass(frozen=True)
class Compute:
    """State a budget in exactly one of four units, with what converts it.

    Attributes
    ----------
    samples, tokens, flops, gpu_hours
        Exactly one, positive.
    parameters
        N of the model to be trained. Needed for flops and gpu_hours.
    peak, utilisation
        FLOP/s of one GPU at the precision used, and the share of it that training reaches, in
        (0, 1]. Needed for gpu_hours.
    tokens_per_sample
        Mean tokens of a sample; 1 where the curves count tokens.
    scoring_flops
        What choosing the data cost, or
    scorer_parameters, scored_tokens
        what gives it: 2 operations a parameter and token.
    """

    samples: float | None = None
    tokens: float | None = None
    flops: float | None = None
    gpu_hours: float | None = None
    parameters: float | None = None
    peak: float | None = None
    utilisation: float | None = None
    tokens_per_sample: float | None = None
    scoring_flops: float | None = None
    scorer_parameters: float | None = None
    scored_tokens: float | None = None

    def __post_init__(self) -> None:
        """Check that the statement is complete and possible."""
        stated = [name for name in UNITS if getattr(self, name) is not None]
        if len(stated) != 1:
            told = f"{' and '.join(stated)} are stated" if stated else "none is stated"
            message = f"state exactly one of {', '.join(UNITS)}: {told}"
            raise BudgetError(message)
        for name, value in asdict(self).items():
            if value is None:
                continue
            if not np.isfinite(value) or value < 0 or (value == 0 and name != "scoring_flops"):
                message = f"{name} is {value:g}, which is not a positive number; correct it"
                raise BudgetError(message)
        if stated[0] in ("flops", "gpu_hours"):
            self._need(stated[0], "parameters")
        if stated[0] == "gpu_hours":
            self._need("gpu_hours", "peak")
            self._need("gpu_hours", "utilisation")
        if self.utilisation is not None and self.utilisation > 1:
            message = f"utilisation is {self.utilisation:g}; it is a share of the peak: 0.4, not 40"
            raise BudgetError(message)
        if self.peak is not None and self.peak < LEAST_PEAK:
            message = f"peak is {self.peak:g}; give FLOP/s of one GPU, as in peak=989e12"
            raise BudgetError(message)
        if (self.scorer_parameters is None) != (self.scored_tokens is None):
            message = (
                "scorer_parameters and scored_tokens give the cost of scoring together; state both"
            )
            raise BudgetError(message)
        if self.scoring_flops is not None and self.scored_tokens is not None:
            message = "the cost of scoring is stated twice; give scoring_flops or scorer_parameters and scored_tokens"
            raise BudgetError(message)
        if self.cost_of_scoring and self.parameters is None:
            self._need("the cost of scoring", "parameters")

    def _need(self, what: str, name: str) -> None:
        if getattr(self, name) is None:
            message = f"{what} needs {name} to become samples; add {name}=…"
            raise BudgetError(message)

    @property
    def cost_of_scoring(self) -> float:
        """Return what choosing the data cost, in FLOPs."""
        if self.scorer_parameters is not None and self.scored_tokens is not None:
            return FORWARD * self.scorer_parameters * self.scored_tokens
        return self.scoring_flops or 0.0

    def converted(self) -> dict[str, Any]:
        """Return the budget in every unit that is known, after scoring; `samples` and `tokens` always.

        Returns
        -------
        dict
            stated, samples, tokens, tokens_per_sample, and where known training_flops,
            scoring_flops, scoring_share, gpu_hours; `text` says it in words.

        Raises
        ------
        BudgetError
            Scoring cost as much as there was.
        """
        stated = next(name for name in UNITS if getattr(self, name) is not None)
        each = self.tokens_per_sample or 1.0
        per_token = None if self.parameters is None else TRAINING * self.parameters
        if stated == "samples":
            tokens = float(self.samples or 0.0) * each
        elif stated == "tokens":
            tokens = float(self.tokens or 0.0)
        else:
            tokens = self._all_flops() / (per_token or 1.0)
        total = None if per_token is None else tokens * per_token
        scoring = self.cost_of_scoring
        if total is not None and scoring >= total:
            message = (
                f"scoring cost {scoring:.4g} FLOPs of the {total:.4g} that there are: nothing is left to train with; "
                "raise the budget or score with a smaller model"
            )
            raise BudgetError(message)
        if per_token is not None:
            tokens -= scoring / per_token
        out: dict[str, Any] = {
            "stated": {stated: float(getattr(self, stated))},
            "samples": tokens / each,
            "tokens": tokens,
            "tokens_per_sample": each,
        }
        if total is not None and per_token is not None:
            out |= {
                "parameters": self.parameters,
                "training_flops": total - scoring,
                "scoring_flops": scoring,
                "scoring_share": scoring / total,
            }
            if self.peak is not None and self.utilisation is not None:
                rate = self.peak * self.utilisation
                out |= {"gpu_hours": (total - scoring) / rate / 3600.0, "flops_per_second": rate}
        return out | {"text": _in_words(stated, out)}

    def _all_flops(self) -> float:
        if self.flops is not None:
            return self.flops
        return float(self.gpu_hours or 0) * 3600.0 * (self.peak or 0) * (self.utilisation or 0)


def _in_words(stated: str, out: dict[str, Any]) -> str:
    parts = [f"{stated} {out['stated'][stated]:.6g}"]
    if "flops_per_second" in out:
        parts.append(f"at {out['flops_per_second']:.4g} FLOP/s")
    if out.get("scoring_flops"):
        parts.append(
            f"less {out['scoring_flops']:.4g} FLOPs ({out['scoring_share']:.2%}) for scoring"
        )
    if "training_flops" in out:
        parts.append(f"leave {out['training_flops']:.6g} FLOPs of training")
        parts.append(f"at 6 x {out['parameters']:.4g} parameters: {out['tokens']:.6g} tokens")
    elif stated == "samples":
        parts.append(f"of {out['tokens_per_sample']:.6g} tokens: {out['tokens']:.6g} tokens")
    parts.append(f"of {out['tokens_per_sample']:.6g} a sample: {out['samples']:.6g} samples")
    if stated == "samples" and "training_flops" not in out:
        parts = parts[:1] if out["tokens_per_sample"] == 1.0 else parts[:2]
    return ", ".join(parts)


def parse_compute(text: str) -> Compute:
    """Read ``flops=1e21,parameters=1e9,tokens_per_sample=512`` as on the command line.

    Raises
    ------
    BudgetError
        An unknown name, a name twice, or a value that is no number.
    """
    known = list(Compute.__dataclass_fields__)
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in known:
            message = (
                f"--budget {text}: {name!r} is not known; write NAME=NUMBER of {', '.join(known)}"
            )
            raise BudgetError(message)
        if name in found:
            message = f"--budget {text}: {name} is stated twice; state it once"
            raise BudgetError(message)
        try:
            found[name] = float(value.replace("_", ""))
        except ValueError as error:
            message = (
                f"--budget {text}: {name} is {value!r}, which is no number; write {name}=640e6"
            )
            raise BudgetError(message) from error
    try:
        return Compute(**found)
    except BudgetError as error:
        message = f"--budget {text}: {error}"
        raise BudgetError(message) from error
