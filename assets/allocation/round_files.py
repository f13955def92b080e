"""Keep the rounds of a study in a folder, one JSON file a round, written whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from assets.allocation.errors import AllocationError
from assets.allocation.study import Round, Study


def read_rounds(folder: Path, study: Study) -> list[Round]:
    """Return the rounds in `folder` in order; none where it is empty or not there.

    Raises
    ------
    AllocationError
        A file is missing in between, can't be read, or belongs to a study with other settings.
    """
    files = sorted(folder.glob("round-*.json"))
    rounds = []
    for number, file in enumerate(files):
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            found = Round(**stored["round"])
            # a setting that is newer than the file stands at its default there
            bought_under = Study.model_validate(stored["study"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            msg = f"{file}: can't be read as a round: {error}; restore it or start a new folder"
            raise AllocationError(msg) from error
        if found.number != number:
            msg = f"{folder}: round {number} is missing before {file.name}; restore it"
            raise AllocationError(msg)
        if bought_under != study:
            msg = (
                f"{file}: was bought under other settings of the study; what is bought can't be "
                "planned again: keep the study as it was, or start a new folder"
            )
            raise AllocationError(msg)
        rounds.append(found)
    return rounds


def write_round(folder: Path, study: Study, made: Round) -> Path:
    """Write one round beside the others; a killed write leaves nothing behind under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"round-{made.number:03d}.json"
    draft = file.with_suffix(".json.part")
    text = json.dumps({"round": asdict(made), "study": study.model_dump()}, indent=2)
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, file)  # noqa: PTH105 - atomic on every platform
    return file
