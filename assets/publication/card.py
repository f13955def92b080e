"""The card: one page that shows a person what became of every row, and why."""

from __future__ import annotations

from assets.publication.card_facts import CardFacts, CardFactsError

__all__ = ["CardFacts", "CardFactsError", "render_card"]


def render_card(facts: CardFacts) -> str:
    """Render one release as a self-contained HTML page.

    Parameters
    ----------
    facts
        What the page shows. Each part may be empty; its section then says why.

    Returns
    -------
    str
        A page without scripts that loads nothing from outside, below 2 MB, for screens and paper.
        Equal facts give equal bytes, in whatever order the rows of their frames come.

    Notes
    -----
    All text is escaped, and the page's own security policy forbids scripts and loads besides. Tables
    are cut at fixed lengths, figures at 60 panels, texts at 1,200 characters, and the page says what
    it leaves out. About 0.2 s a figure of a few panels, 3 s one of 60.
    """
    # the sections import matplotlib when they draw; nothing of it is needed to gather facts
    from assets.publication import (
        card_sections_allocation,
        card_sections_data,
        card_sections_groups,
        card_sections_lineage,
        card_sections_plan,
        card_sections_quality,
        card_sections_rows,
    )
    from assets.publication.card_html import Page

    page = Page()
    card_sections_rows.fates(page, facts)
    card_sections_rows.read(page, facts)
    card_sections_data.redundancy(page, facts)
    card_sections_data.duplicates(page, facts)
    card_sections_quality.quality(page, facts)
    card_sections_plan.budget(page, facts)
    card_sections_allocation.allocation(page, facts)
    card_sections_groups.groups(page, facts)
    card_sections_lineage.lineage(page, facts)
    return page.render(f"{facts.title} · release {facts.release}", card_sections_rows.header(facts))
