"""Sections of a recipe for containment, deduplication and scoring."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from resources.recipe_base import Place, Section


class Spans(Section):
    """Spans of at least so many tokens that two texts share: reported, and cut out of all but one where asked."""

    tokens: Annotated[int, Field(ge=1, le=10_000)] = 50
    remove: bool = False


class Containment(Section):
    """Which edges are looked for beyond those of equal column names, and what keeping and rebuilding tables costs."""

    renamed: bool = False
    costs: Place | None = None


class Deduplication(Section):
    """What counts as a duplicate, and which of the twins stays."""

    similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    shingle: str = "word:5"
    normalise: str = "none"
    survivor: Literal["content", "incumbent"] = "content"
    order: tuple[str, ...] = ("source", "longest")
    mode: Literal["star", "components"] = "star"
    label_conflicts: Literal["keep", "drop_all"] = "keep"
    contamination_tokens: Annotated[int, Field(ge=1, le=1000)] | None = None
    spans: Spans | None = None

    @model_validator(mode="after")
    def _incumbents_need_stars(self) -> Self:
        if self.survivor == "incumbent" and self.mode == "components":
            message = (
                "survivor: incumbent needs mode: star, because a new row can join two components "
                "and then one of the rows that are kept would have to go"
            )
            raise ValueError(message)
        return self


class Encoder(Section):
    """How a trained encoder reads texts; what is None is taken from the model's own files, or from the device."""

    pooling: Literal["mean", "cls", "last"] | None = None
    max_tokens: Annotated[int, Field(ge=3)] | None = None
    long_texts: Literal["windows", "cut"] = "windows"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    tokenising_processes: Annotated[int, Field(ge=0)] = 1


class Classifier(Section):
    """Files of good and of bad records, from which `quality_classifier` learns."""

    positives: Annotated[tuple[str, ...], Field(min_length=1)]
    negatives: Annotated[tuple[str, ...], Field(min_length=1)]
    text: str = "text"

    @field_validator("positives", "negatives", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Scoring(Section):
    """Which scores are computed and how they become one quality."""

    embedder: str = "hashed"
    encoder: Encoder = Field(default_factory=Encoder)
    language_model: str | None = None
    classifier: Classifier | None = None
    dimensions: Annotated[int, Field(ge=8, le=4096)] = 256
    scorers: tuple[str | dict[str, dict[str, Any] | None], ...] = (
        "dsir",
        "prototype",
        "heuristics",
    )
    combine: Literal["borda", "reciprocal_rank", "topsis"] = "borda"
