"""Registers every table of the lake and sets aside what can't be read."""
