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
    from assets.publication import card_sections_data as data
    from assets.publication import card_sections_plan as plan
    from assets.publication import card_sections_rows as rows
    from assets.publication.card_html import Page

    page = Page()
    rows.fates(page, facts)
    rows.read(page, facts)
    data.redundancy(page, facts)
    data.duplicates(page, facts)
    data.quality(page, facts)
    plan.budget(page, facts)
    plan.allocation(page, facts)
    rows.groups(page, facts)
    rows.lineage(page, facts)
    return page.render(f"{facts.title} · release {facts.release}", rows.header(facts))
