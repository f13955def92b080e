"""Progress of a command, on standard error."""

from __future__ import annotations

import sys
import time

import click


class Watch:
    """Shows people which stage is at work and how far it is; silent lines only where nobody watches."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.live = sys.stderr.isatty()
        self.started = time.monotonic()
        self.stage = ""
        self.shown = 0.0

    def __call__(
        self, stage: str, message: str, done: int | None = None, total: int | None = None
    ) -> None:
        """Report progress; called as often as a stage likes."""
        now = time.monotonic()
        finished = done is None and total is None
        if self.quiet or (not finished and now - self.shown < (0.2 if self.live else 5.0)):
            return
        self.shown = now
        counted = ""
        if done is not None:
            counted = f" {done:,}" + (f" of {total:,}" if total is not None else "")
        line = f"{now - self.started:6.1f} s  {stage:<22} {message}{counted}"
        if self.live:
            click.echo("\r\x1b[2K" + line, err=True, nl=finished)
        else:
            click.echo(line, err=True)
