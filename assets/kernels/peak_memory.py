"""The most memory that this process held so far."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int | None:
    """Return what the kernel noted: all resident pages, those of mapped files, too; None where it doesn't tell."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:  # no Linux; `ru_maxrss` would tell the parent's peak, too
        return None
    told = next((line for line in lines if line.startswith("VmHWM")), None)
    return None if told is None else int(told.split()[1]) << 10
