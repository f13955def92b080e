def render_card(facts):
    return "<html></html>"
