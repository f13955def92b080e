"""Fields of Croissant-RAI 1.0 that an allocation can fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.publication.card_format import number

if TYPE_CHECKING:
    from assets.publication.allocation_page import AllocationFacts


def problem_fields(facts: AllocationFacts) -> dict[str, str]:
    """Return the fields that a stated problem and its answer fill: how data is divided, and what gap is left."""
    problem, answer = facts.problem, facts.answer
    stated = ", ".join(f"{k} {v}" for k, v in problem["objective"].items() if v is not None)
    floors = {g["name"]: g["floor"] for g in problem["groups"] if g.get("floor")}
    weights = {g["name"]: g["weight"] for g in problem["groups"] if g.get("weight") is not None}
    who = "; ".join(f"{k}: {v}" for k, v in (problem.get("policy") or {}).items())
    f = [e["performance"] for e in answer["allocation"] if e["performance"] is not None]
    gap = (
        f"predicted performance from {number(min(f))} to {number(max(f))} over groups"
        if f
        else "no performance can be predicted"
    )
    capped = [str(e["group"]) for e in answer["allocation"] if e["bound"] == "available"]
    blind = [str(name) for name in facts.curves.without["group"]]
    limits = [
        f"all data is taken of {', '.join(capped)}" if capped else "no group is at its cap",
        *([f"unallocatable without a pilot: {', '.join(blind)}"] if blind else []),
    ]
    return {
        "rai:dataManipulationProtocol": (
            f"records divided over groups by {stated}; budget {problem.get('budget')}; "
            f"weights {weights or 'none'}; floors {floors or 'none'}" + (f"; {who}" if who else "")
        ),
        "rai:dataBiases": gap,
        "rai:dataLimitations": "; ".join(limits),
    }
