"""Whether figures are drawn, and texts of records shown."""

from __future__ import annotations

import os


def figures_wanted() -> bool:
    """Say whether figures are drawn for the UI and the card; `SLUICE_FIGURES=off` leaves them out."""
    return os.environ.get("SLUICE_FIGURES", "").lower() != "off"


def texts_wanted() -> bool:
    """Say whether the UI may show the beginnings of a few records; `SLUICE_TEXTS=on` allows it, nothing else does."""
    return os.environ.get("SLUICE_TEXTS", "").lower() == "on"
