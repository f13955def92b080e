from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _figures() -> Iterator[None]:
    """Draw the card's figures, which other tests leave out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_FIGURES", "on")
        yield
