"""What every section of a recipe is, and the addresses that it may hold."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveCount = Annotated[int, Field(gt=0)]

_URI_WITH_SECRET = re.compile(
    r"^[a-z0-9+.-]+://[^/\s]*:[^/\s]*@"
    r"|[?&;#][^=&;#/\s]*(?:sig|token|secret|key|password|credential)[^=&;#/\s]*=",
    re.IGNORECASE,
)


def holds_credential(value: str) -> bool:
    """Say whether an address holds what belongs into the environment."""
    return _URI_WITH_SECRET.search(value) is not None


def _without_secret(value: str) -> str:
    if holds_credential(value):
        message = (
            "the address holds a credential; take it out and set it in the environment instead"
        )
        raise ValueError(message)
    return value


Place = Annotated[str, AfterValidator(_without_secret)]


class Section(BaseModel):
    """Refuses unknown keys, and is never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
