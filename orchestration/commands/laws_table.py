"""Print the answer of `sluice laws` to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

MOST_PLANS = 8


def show(answer: dict[str, Any]) -> None:
    """Print laws, plan, baselines, schedules, predictions and warnings."""
    console = Console()
    _laws(console, answer)
    if answer["plans"]:
        _plans(console, answer)
        _beyond(console, answer)
    _switches(console, answer["switch_points"])
    if answer["predictions"]:
        _predictions(console, answer["predictions"])
    _held_out_mixtures(console, answer["mixture_check"])
    for warning in answer["warnings"]:
        console.print(f"[yellow]{warning['code']}[/yellow]: {warning['message']}.", highlight=False)
        console.print(f"  remedy: {warning['remedy']}", highlight=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    made = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*[_cell(value) for value in row])
    return made


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        return " ".join(_cell(v) for v in value)
    return str(value)


def _span(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:.4g} to {bounds[1]:.4g}"


def _same(values: Sequence[float]) -> str:
    """Write equal passes once, different ones by pool."""
    shown = [f"{value:.3g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else " ".join(shown)


def _held_out_mixtures(console: Console, check: dict[str, Any]) -> None:
    """Print predicted and measured metric of mixtures that were kept out of every fit."""
    if not check["mixtures"]:
        return
    rows = [
        (
            "+".join(row["pools"]),
            row["samples_seen"],
            row["passes"],
            row["predicted"],
            _span((row["lo"], row["hi"])),
            row["measured"],
            "yes" if row["inside"] else "NO",
        )
        for row in check["mixtures"]
    ]
    columns = ("mixture", "samples", "passes", "predicted", "bounds", "measured", "inside")
    title = f"Mixtures kept out of the fit: the mixture rule {check['verdict']}"
    console.print(_table(title, columns, rows))


def _laws(console: Console, answer: dict[str, Any]) -> None:
    rows = []
    for name, law in answer["laws"].items():
        shared = law["shared"]
        for i, (pool, fitted) in enumerate(law["pools"].items()):
            first = i == 0
            rows.append(
                (
                    name if first else "",
                    pool,
                    fitted["b"],
                    _span(fitted["b_interval"]),
                    fitted["tau"],
                    _span(fitted["tau_interval"]),
                    shared["floor"] if first else None,
                    fitted.get("anchor", shared["anchor"] if first else None),
                    law["rmse"] if first else None,
                    law["log_score"] if first else None,
                    law["weight"] if first else None,
                )
            )
    columns = (
        "law", "pool", "b", "80 %", "tau (passes)", "80 %", "floor", "anchor n0", "rmse", "score", "weight",
    )  # fmt: skip
    console.print(_table("Fitted laws", columns, rows))


def _plans(console: Console, answer: dict[str, Any]) -> None:
    if "budget" in answer:
        console.print(f"Budget: {answer['budget']['text']}", highlight=False)
    columns = (
        "pools", "shares", "passes", "predicted", "80 %", "90 %", "P(best)", "regret", "tie",
    )  # fmt: skip

    def row(plan: dict[str, Any], name: str) -> tuple[object, ...]:
        return (
            name,
            _same(plan["weights"]),
            _same(plan["passes"]),
            plan["predicted"],
            _span(plan["interval80"]),
            _span(plan["interval90"]),
            plan.get("p_best"),
            plan.get("regret"),
            "tie" if plan.get("tie") else "",
        )

    plans = answer["plans"]
    shown = [row(plan, "+".join(plan["pools"])) for plan in plans[:MOST_PLANS]]
    console.print(_table(f"Plans, best first ({len(plans)} ranked)", columns, shown))
    if answer["tie_note"]:
        console.print(f"  {answer['tie_note']}")
    rules = [
        row(plan, f"{name}: {'+'.join(plan['pools'])}")
        for name, plan in answer["baselines"].items()
    ]
    console.print(_table("Fixed rules", columns, rules))
    console.print(f"The plan is {answer['beats_baselines']['message']}.", highlight=False)
    if answer["unspent"] > 0:
        console.print(f"{answer['unspent']:.6g} samples stay unspent: the passes are capped.")


def _beyond(console: Console, answer: dict[str, Any]) -> None:
    for plan in answer["free_shares"][:1]:
        shares = ", ".join(
            f"{p} {w:.0%}" for p, w in zip(plan["pools"], plan["weights"], strict=True)
        )
        console.print(
            f"With free shares: {shares} predicts {plan['predicted']:.5g} "
            f"(better than the plan with probability {plan['p_better_than_plan']:.2f}); {plan['note']}.",
            highlight=False,
        )
    marginal = answer["marginal"]
    if "next_pool" in marginal:
        following = marginal["next_pool"]
        pays = following["pays_from_samples"]
        told = "never up to 100 times the budget" if pays is None else f"from {pays:.4g} samples"
        console.print(
            f"Next pool: {following['pool']} changes the error by {following['error_change']:+.4g}; it pays {told}.",
            highlight=False,
        )
    worth = ", ".join(f"{p} {-0.01 * v:.2g}" for p, v in marginal["unique_data"].items())
    console.print(f"1 % more unique data lowers the error by: {worth}.", highlight=False)
    console.print(
        f"1 % more compute lowers the error by: {-0.01 * marginal['compute']:.2g}.", highlight=False
    )
    if answer["laws_disagree"]["flag"]:
        for law, pools in answer["laws_disagree"]["choices"].items():
            console.print(f"  {law} chooses {'+'.join(pools)}", highlight=False)
    columns = ("schedule", "phase", "samples", "pools", "shares", "passes so far")
    rows = [
        (
            name if i == 0 else "",
            phase["phase"],
            f"{phase['start']:.4g} to {phase['end']:.4g}",
            "+".join(phase["pools"]),
            " ".join(f"{w:.3f}" for w in phase["weights"]),
            " ".join(f"{w:.3g}" for w in phase["passes_after"]),
        )
        for name, schedule in answer["schedules"].items()
        for i, phase in enumerate(schedule["phases"])
    ]
    console.print(_table("Schedules", columns, rows))


def _switches(console: Console, points: Sequence[dict[str, Any]]) -> None:
    rows = [(f"{p['samples']:.5g}", "+".join(p["from"]), "+".join(p["to"])) for p in points]
    if rows:
        console.print(_table("Where the best plan changes", ("samples", "from", "to"), rows))


def _predictions(console: Console, points: Sequence[dict[str, Any]]) -> None:
    rows = [
        (
            p.get("pools") or p.get("pool"),
            p["samples_seen"],
            p["predicted"],
            _span((p["lo80"], p["hi80"])),
            _span((p["lo90"], p["hi90"])),
        )
        for p in points
    ]
    console.print(_table("Predictions", ("pools", "samples", "predicted", "80 %", "90 %"), rows))
