"""Proxy runs: small real trainings that yield the curves from which laws are fitted."""
