"""The Dagster code location and the `sluice` command; knows everything below it.

`assets` and `resources` are common names. If another package of that name comes first on the
import path, every later error would be a riddle, so it is told here, by the path that is in the way.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent


def _check_siblings() -> None:
    for name in ("assets", "resources"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != _HOME / name:
            message = (
                f"the package {name!r} is {found or 'missing'}, not Sluice's own {_HOME / name}; "
                "run from another folder, or "
                "take that path off PYTHONPATH"
            )
            raise ImportError(message)


_check_siblings()
