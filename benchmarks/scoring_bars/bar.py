"""Contenders of a bar, run in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Bar:
    """Contenders, of which the first is ours, and what to say of their answers.

    Attributes
    ----------
    contenders
        Names and work.
    times
        How many times its work each contender's rows are of ours; 1 where not named.
    flops
        Of our work, told after it has run; None where that says nothing.
    about
        Sizes, and after a run what the answers are like.
    """

    contenders: dict[str, Callable[[], Any] | None]
    about: Callable[[dict[str, Any]], dict[str, Any]]
    times: dict[str, float] = field(default_factory=dict)
    flops: Callable[[Any], float] | None = None

    def run(self, rounds: int) -> dict[str, Any]:
        """Run all contenders in turn."""
        import torch

        from resources.device import matmul_rate

        works = {name: work for name, work in self.contenders.items() if work is not None}
        wall: dict[str, list[float]] = {name: [] for name in works}
        answers: dict[str, Any] = {}
        next(iter(works.values()))()  # compiled
        rates = []
        for _ in range(rounds):
            for name, work in works.items():
                start = time.perf_counter()
                answers[name] = work()
                took = time.perf_counter() - start
                wall[name].append(took * self.times.get(name, 1.0))
            if self.flops is not None:
                rates.append(matmul_rate(torch.device("cpu")))
        ours = next(iter(works))
        found: dict[str, Any] = {
            "seconds": {name: statistics.median(took) for name, took in wall.items()},
            "times_faster_than": {
                name: statistics.median(b / a for a, b in zip(wall[ours], took, strict=True))
                for name, took in wall.items()
                if name != ours
            },
            "rounds": rounds,
            "absent": [name for name, work in self.contenders.items() if work is None],
        }
        if self.flops is not None:
            work = self.flops(answers[ours]) / 1e9
            found["gflops"] = work / found["seconds"][ours]
            found["matmul_gflops"] = statistics.median(rates)
            found["share_of_matmul"] = statistics.median(
                work / took / rate for took, rate in zip(wall[ours], rates, strict=True)
            )
        return {**found, **self.about(answers)}
