"""Paths of data that must be there, and what became of one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class DataPath(click.Path):
    """A file or folder that exists; where a table was retired, the refusal says so.

    Notes
    -----
    A retired table leaves a tombstone beside its place, so that what is gone on purpose is not taken for a wrong name.
    """

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(exists=True, file_okay=file_okay, path_type=Path)

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click declares it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401
        """Return the path, or fail with the reason why there is none."""
        from resources.errors import StoreError
        from resources.retired import read_tombstone, tombstone_of

        path = Path(value)
        if not path.exists() and path.name and (stone := tombstone_of(path)).is_file():
            try:
                reason = read_tombstone(stone).reason
            except StoreError as error:
                reason = f"retired, and its tombstone is damaged: {error}"
            self.fail(f"{path} is {reason}", param, ctx)
        return super().convert(value, param, ctx)
