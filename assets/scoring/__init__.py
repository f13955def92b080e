"""Embeds and scores records."""
