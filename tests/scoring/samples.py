"""Batches that every scorer can be tried on."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from assets.scoring.hashed import HashedEmbedder
from assets.scoring.protocol import ScoreBatch

TOPICS = {
    "cooking": [
        "salt",
        "pepper",
        "onion",
        "garlic",
        "butter",
        "oven",
        "bake",
        "stir",
        "simmer",
        "boil",
        "sauce",
        "spoon",
        "flour",
        "sugar",
    ],
    "sailing": [
        "mast",
        "sail",
        "rudder",
        "tide",
        "harbour",
        "anchor",
        "wind",
        "knot",
        "keel",
        "hull",
        "wave",
        "deck",
        "rope",
        "compass",
    ],
    "law": [
        "court",
        "judge",
        "appeal",
        "statute",
        "clause",
        "contract",
        "plaintiff",
        "verdict",
        "counsel",
        "evidence",
        "oath",
    ],
}
GLUE = [
    "the",
    "of",
    "and",
    "to",
    "that",
    "is",
    "for",
    "with",
    "was",
    "this",
    "be",
    "not",
    "it",
    "you",
    "from",
    "by",
]


def sentence(rng, words):
    body = [
        str(rng.choice(words if rng.random() < 0.5 else GLUE)) for _ in range(rng.integers(8, 25))
    ]
    return " ".join(body).capitalize() + "."


def document(rng, words):
    return " ".join(sentence(rng, words) for _ in range(rng.integers(3, 9)))


def records(n=240, seed=0, with_target=True):
    """Train rows on all topics, target rows on cooking, and some rows that no method can score."""
    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    topic = [names[i % 3] for i in range(n)]
    text: list[str | None] = [document(rng, TOPICS[t]) for t in topic]
    role = ["train"] * n
    group: list[str | None] = ["en"] * n
    text[1], text[2], text[4] = None, "", "   \n "
    text[5] = "ሰላም ለዓለም ይህ ጽሑፍ በአማርኛ ነው። " * 3
    group[5] = "am"
    text[7] = text[6]
    text[8] = "\U0001f600" * 40
    text[10] = "x" * 20_000
    if with_target:
        for _ in range(n // 4):
            text.append(document(rng, TOPICS["cooking"]))
            role.append("target")
            group.append("en")
            topic.append("cooking")
    ids = [f"{int(rng.integers(2**63)):016x}{i:016x}" for i in range(len(text))]
    column = pa.array(text, type=pa.string())
    return ScoreBatch(
        ids=pl.Series("id", ids),
        text=column,
        label=pa.array([None if i == 9 else t for i, t in enumerate(topic)]),
        embedding=HashedEmbedder(64).embed(column),
        group=pa.array(group),
        role=pa.array(role),
    ), topic
