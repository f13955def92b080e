"""Definitions that `dg scaffold` adds; Sluice's own are built from the recipe in `orchestration.definitions`."""
