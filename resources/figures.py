"""Whether figures are drawn."""

from __future__ import annotations

import os


def figures_wanted() -> bool:
    """Say whether figures are drawn for the UI and the card; `SLUICE_FIGURES=off` leaves them out."""
    return os.environ.get("SLUICE_FIGURES", "").lower() != "off"
