"""Writes the training set, the held-out rows, the ledger, the card and the release."""
