"""Show how the mixture rule did on mixtures that were trained and kept out of the fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.publication.card_format import count, number
from assets.publication.card_html import element, foreign, paragraph, table

SAID = {
    "held": "The rule predicted every mixture that was kept out of the fit within its bounds.",
    "failed": "The rule missed a mixture that was kept out of the fit: plans of several pools are "
    "less certain than the law alone says, and their intervals are widened.",
    "not validated": "Trained mixtures weighed the assumptions of the rule, and none was kept out to check it.",
    "unchecked": "No mixture was trained: that plans of several pools do what the rule says is an assumption.",
}


def held_out_mixtures(check: Mapping[str, Any]) -> list[object]:
    """Return a heading, a sentence and a table; nothing where there is one pool or no law."""
    said = SAID.get(check.get("verdict", ""))
    if said is None:
        return []
    parts: list[object] = [element("h3", "Does the mixture rule hold"), paragraph(said)]
    if check["mixtures"]:
        rows = [
            (
                foreign("+".join(row["pools"])),
                count(row["samples_seen"]),
                number(row["passes"]),
                number(row["predicted"]),
                f"{number(row['lo'])} to {number(row['hi'])}",
                number(row["measured"]),
                "yes" if row["inside"] else "no",
            )
            for row in check["mixtures"]
        ]
        columns = ("mixture", "seen", "passes", "predicted", "bounds", "measured", "inside")
        title = "Mixtures kept out of the fit"
        parts.append(
            table(title, columns, rows, numeric=(1, 2, 3, 5), elsewhere="filtering/analysis")
        )
    return parts
