"""Finds which tables are contained in which others, and what could be retired."""
