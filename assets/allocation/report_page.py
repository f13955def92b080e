"""One HTML page about a division: its policy, pictures, warnings, and what rules ask for."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

CLAUSES = (
    (
        "EU AI Act 10(2)(a)-(c): design choices, collection, preparation",
        "the stated problem: objective, level, weights, costs, floors, with owner and time",
        "allocation/report",
    ),
    (
        "EU AI Act 10(2)(e): availability, quantity and suitability",
        "available, samples and passes by group and pool; unallocatable groups",
        "allocation/plan",
    ),
    (
        "EU AI Act 10(2)(f)-(g): bias examined and mitigated",
        "worst group, gap, before and after with intervals; levelling down",
        "this page",
    ),
    (
        "EU AI Act 10(2)(h): gaps and how to close them",
        "marginal value by group: where to collect next",
        "allocation/plan",
    ),
    (
        "EU AI Act 10(3): relevant, representative, statistical properties for the groups concerned",
        "learning curves by group with intervals; sampling probabilities",
        "allocation/group_curves",
    ),
    (
        "EU AI Act 10(4): geographical, contextual, behavioural, functional setting",
        "the group's definition in the recipe",
        "deduplication/records",
    ),
    (
        "EU AI Act 10(5): special categories only where strictly necessary",
        "groups as columns of their own that can be dropped; no membership of a row is published where it was inferred",
        "publication/training_set",
    ),
    (
        "GDPR 5(1)(c)-(d): minimisation, accuracy",
        "small cells suppressed; the ledger says why each row is in or out",
        "publication/ledger",
    ),
)
"""Clause, artefact, table. Not legal advice: which rule applies is for a lawyer to say."""


def croissant_rai(
    problem: Mapping[str, Any], answer: Mapping[str, Any], policy: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the fields of Croissant-RAI 1.0 that a division can fill."""
    stated = ", ".join(f"{k} {v}" for k, v in problem["objective"].items())
    floors = {g["name"]: g["floor"] for g in problem["groups"] if g.get("floor")}
    weights = {g["name"]: g["weight"] for g in problem["groups"] if g.get("weight") is not None}
    who = "; ".join(f"{k}: {v}" for k, v in (policy or {}).items())
    f = [e["performance"] for e in answer["allocation"] if e["performance"] is not None]
    gap = f"predicted performance from {min(f):.4g} to {max(f):.4g} over groups" if f else "unknown"
    capped = [str(e["group"]) for e in answer["allocation"] if e["bound"] == "available"]
    return {
        "rai:dataManipulationProtocol": (
            f"records divided over groups by {stated}; budget {problem.get('budget')}; "
            f"weights {weights or 'none'}; floors {floors or 'none'}" + (f"; {who}" if who else "")
        ),
        "rai:dataBiases": gap,
        "rai:dataLimitations": (
            f"all data is taken of {', '.join(capped)}" if capped else "no group is at its cap"
        ),
    }


def report_page(
    problem: Mapping[str, Any],
    answer: Mapping[str, Any],
    figures: Sequence[Figure],
    policy: Mapping[str, str] | None = None,
) -> str:
    """Return the page, complete in one file, pictures inside."""
    columns = ("group", "samples", "records", "passes", "performance", "bound", "marginal_value")
    rows = [[_shown(e[c]) for c in columns] for e in answer["allocation"]]
    rules = [
        [name, _shown(found["objective"]), _shown(found["worst"])]
        for name, found in answer["baselines"].items()
    ]
    who = [[k, str(v)] for k, v in (policy or {}).items()]
    stated = [[k, str(v)] for k, v in problem["objective"].items()]
    warnings = "".join(f"<li>{html.escape(w)}</li>" for w in answer["warnings"])
    rai = croissant_rai(problem, answer, policy)
    parts = [
        "<h1>Equitable allocation</h1>",
        f"<p>Objective {_shown(answer['objective'])}, spend {_shown(answer['spend'])} of "
        f"{_shown(problem.get('budget'))}, shadow price {_shown(answer['shadow_price'])}, KKT "
        f"residual {answer['kkt_residual']:.2g}.</p>",
        "<h2>Policy</h2>" + _table(("setting", "value"), stated + who),
        f"<ul>{warnings}</ul>",
        "<h2>Groups</h2>" + _table(columns, rows),
        "<h2>Simple rules</h2>" + _table(("rule", "objective", "worst"), rules),
        *[_picture(figure) for figure in figures],
        "<h2>Croissant-RAI</h2>" + _table(("field", "value"), [[k, v] for k, v in rai.items()]),
        "<h2>Clauses and artefacts</h2>" + _table(("clause", "artefact", "where"), CLAUSES),
        "<p>Not legal advice.</p>",
    ]
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;font-size:13px}td,th{border-bottom:1px solid #ddd;"
        "padding:.25rem .6rem;text-align:left;vertical-align:top}img{max-width:100%}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Equitable allocation'
        f"</title><style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _shown(value: Any) -> str:  # noqa: ANN401 - numbers and names
    if isinstance(value, float):
        return f"{value:,.6g}"
    return "none" if value is None else str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _picture(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    title = html.escape(figure.axes[0].get_title(loc="left"))
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{title}" src="data:image/png;base64,{data}"></p>'
