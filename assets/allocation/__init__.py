"""Fits learning curves per group and divides the budget by the stated objective."""
