"""Reads rows into records and finds exact and near duplicates."""
