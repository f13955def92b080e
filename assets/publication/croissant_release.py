"""A release as Croissant 1.0 metadata (JSON-LD) with the fields of Croissant-RAI 1.0 that a program can fill.

What only people know (how the sources were collected and annotated, what they may be used for) is left out, never
guessed; `unfilled` names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.publication.card_format import count, number, plain, plural
from assets.publication.card_plots_rows import fate_rows

if TYPE_CHECKING:
    from assets.publication.card_facts import CardFacts

CROISSANT, RAI = "http://mlcommons.org/croissant/", "http://mlcommons.org/croissant/RAI/"
CONFORMS = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0")
#: Names of Croissant-RAI 1.0, under the prefix `rai:`.
RAI_NAMES = (
    "dataCollection",
    "dataCollectionType",
    "dataCollectionMissingData",
    "dataCollectionRawData",
    "dataCollectionTimeframe",
    "dataImputationProtocol",
    "dataManipulationProtocol",
    "dataPreprocessingProtocol",
    "dataAnnotationProtocol",
    "dataAnnotationPlatform",
    "dataAnnotationAnalysis",
    "annotationsPerItem",
    "annotatorDemographics",
    "machineAnnotationTools",
    "dataUseCases",
    "dataLimitations",
    "dataBiases",
    "personalSensitiveInformation",
    "dataSocialImpact",
    "dataReleaseMaintenancePlan",
)
_REQUIRED = ("name", "description", "license", "url", "creator", "datePublished", "version")
_KNOWN = {"@context", "@type", "conformsTo", *_REQUIRED}
_MOST = 20


def document(facts: CardFacts) -> dict[str, Any]:
    """Return the document; equal facts give equal documents."""
    pairs = fate_rows(facts.fates)
    published, total = dict(pairs).get("published", 0), sum(rows for _, rows in pairs)
    made: dict[str, Any] = {
        "@context": {
            "@language": "en",
            "@vocab": "https://schema.org/",
            "sc": "https://schema.org/",
            "dct": "http://purl.org/dc/terms/",
            "cr": CROISSANT,
            "rai": RAI,
            "conformsTo": "dct:conformsTo",
        },
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS),
        "name": plain(facts.title) or "training set",
        "description": (
            f"Release {facts.release} of a training set: {count(published)} of {plural(total, 'row')} that were found. "
            "The rows are a Delta table (publication/training_set), of which the release pins the version; its Parquet "
            "files are not to be read without it."
        ),
        "license": "not stated; that of each source table holds",
        "url": plain(facts.output) or "not stated",
        "creator": {
            "@type": "Organization",
            "name": plain(facts.policy.get("owner", "not stated")) or "not stated",
        },
        "datePublished": plain(facts.time)[:10] or "not stated",
        "version": f"{facts.release}.0.0",
    }
    return made | {f"rai:{name}": value for name, value in _fields(facts, pairs).items() if value}


def _fields(facts: CardFacts, pairs: list[tuple[str, int]]) -> dict[str, str | list[str]]:
    tables = facts.tables
    read = int(tables["read"].sum()) if "read" in tables.columns else tables.height
    formats = tables["format"].drop_nulls().value_counts().sort("format")
    policy = "; ".join(f"{plain(k)}: {plain(v)}" for k, v in sorted(facts.policy.items()))
    drawn = int(facts.allocation["samples"].sum() or 0)
    limits = [plain(one.get("message", "")) for one in facts.warnings][:_MOST]
    return {
        "dataCollection": (
            f"{plural(tables.height, 'table')} found in a data lake, {read} of them read by the recipe's rules; "
            + ", ".join(f"{plain(name)}: {rows}" for name, rows in formats.iter_rows())
            if tables.height
            else ""
        ),
        "dataCollectionRawData": (
            "Every record names its source table, position and source version; "
            f"release {facts.release} pins {plural(len(facts.versions), 'table version')}."
        ),
        "dataCollectionMissingData": (
            f"{count(dict(pairs).get('quarantined', 0))} rows could not be read and are set aside with the reason; "
            f"scorers were silent on {count(int(facts.silences['rows'].sum() or 0))} scores."
        ),
        "dataPreprocessingProtocol": "Rows by fate: "
        + ", ".join(f"{plain(fate)} {count(rows)}" for fate, rows in pairs)
        if pairs
        else "",
        "machineAnnotationTools": [f"scorer {plain(name)}" for name in sorted(facts.scores)],
        "dataManipulationProtocol": (
            f"Records divided over groups by a stated policy ({policy}); {count(drawn)} drawn, repeats included."
            if policy
            else "No policy is stated: nothing was reallocated between groups."
        ),
        "dataBiases": (
            f"Predicted performance: overall {number(facts.chosen[0])} ({plain(facts.weighted)}), worst group "
            f"{number(facts.chosen[1])}."
            if facts.chosen is not None
            else "Performance by group is not predicted: no policy, no budget, or no curves."
        ),
        "dataLimitations": " ".join(text if text.endswith(".") else f"{text}." for text in limits),
        "personalSensitiveInformation": (
            f"Records carry the group {plain(facts.group_name)} as a column of its own; whether it is a special "
            "category of personal data is not known to the program."
            if facts.group_name
            else ""
        ),
        "dataReleaseMaintenancePlan": (
            "Releases are numbered and pin table versions; what became of a row is in publication/ledger."
        ),
    }


def unfilled(made: dict[str, Any]) -> list[str]:
    """Return the RAI fields that the document leaves to people."""
    return [f"rai:{name}" for name in RAI_NAMES if f"rai:{name}" not in made]


def faults(made: dict[str, Any]) -> list[str]:
    """Return what is wrong with the shape of a document: prefixes, type, conformance, keys and values."""
    found = []
    context = made.get("@context")
    prefixes = {
        "cr": CROISSANT,
        "rai": RAI,
        "conformsTo": "dct:conformsTo",
        "@vocab": "https://schema.org/",
    }
    if not isinstance(context, dict):
        found.append("@context: missing")
    else:
        found += [
            f"@context.{key}: {context.get(key)!r} is not {value!r}"
            for key, value in prefixes.items()
            if context.get(key) != value
        ]
    if made.get("@type") != "sc:Dataset":
        found.append(f"@type: {made.get('@type')!r} is not 'sc:Dataset'")
    found += [
        f"conformsTo: lacks {one}" for one in CONFORMS if one not in made.get("conformsTo", [])
    ]
    found += [f"{key}: missing" for key in _REQUIRED if not made.get(key)]
    allowed = _KNOWN | {f"rai:{name}" for name in RAI_NAMES}
    found += [f"{key}: no such field" for key in made if key not in allowed]
    for key, value in made.items():
        if key.startswith("rai:"):
            texts = value if isinstance(value, list) else [value]
            if not texts or not all(isinstance(text, str) and text for text in texts):
                found.append(f"{key}: {value!r} is no text, nor a list of some")
    return found
