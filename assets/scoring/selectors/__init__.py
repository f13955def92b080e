"""Selectors: which records to keep within a budget."""
