"""Every figure of the card by name, for the card and for asset metadata alike.

Each function returns a matplotlib figure that is bound to no window and no global state; `png` turns
one into bytes for a data URI below 150 kB, `inline_svg` into an element of a page. Both clear it.
Importing this module does not import matplotlib.
"""

from __future__ import annotations

from assets.publication.card_plots_allocation import allocation_bars
from assets.publication.card_plots_budget import plan_frontier
from assets.publication.card_plots_cells import intersections
from assets.publication.card_plots_change import before_and_after
from assets.publication.card_plots_curves import curve_panels
from assets.publication.card_plots_graph import containment_graph
from assets.publication.card_plots_marginal import where_to_collect
from assets.publication.card_plots_price import price_of_fairness
from assets.publication.card_plots_quality import pool_quality, score_histograms
from assets.publication.card_plots_rows import (
    cluster_sizes,
    fates_bar,
    fates_by_group_bars,
    survival_panels,
)
from assets.publication.card_svg import inline_svg, png

__all__ = [
    "allocation_bars",
    "before_and_after",
    "cluster_sizes",
    "containment_graph",
    "curve_panels",
    "fates_bar",
    "fates_by_group_bars",
    "inline_svg",
    "intersections",
    "plan_frontier",
    "png",
    "pool_quality",
    "price_of_fairness",
    "score_histograms",
    "survival_panels",
    "where_to_collect",
]
