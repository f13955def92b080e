"""Load a model by transformers, in the precision that its device multiplies fast."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from assets.scoring.models.model_files import ModelFiles, needed
from assets.scoring.protocol import ScoringError

Precision = Literal["auto", "float32", "bfloat16"]
Kind = Literal["encoder", "causal"]


def precision_for(wanted: Precision, device: torch.device) -> torch.dtype:
    """Choose bfloat16 where the device multiplies it natively, unless one is asked for by name."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return torch.bfloat16 if native else torch.float32


def load_model(
    model: ModelFiles, kind: Kind, precision: Precision, device: torch.device, *, setting: str
) -> Any:  # noqa: ANN401 - a module of transformers, whose types are its own
    """Load a model's weights for use without training.

    Raises
    ------
    ScoringError
        If the files are no such model, or its weights do not fit its configuration.
    """
    needed("transformers", setting=setting)
    from transformers import AutoModel, AutoModelForCausalLM

    maker: Any = AutoModel if kind == "encoder" else AutoModelForCausalLM
    dtype = precision_for(precision, device)
    try:
        with _quiet():
            loaded, about = maker.from_pretrained(
                str(model.folder), dtype=dtype, output_loading_info=True, local_files_only=True
            )
    except Exception as error:  # the library raises many unrelated types
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        message = (
            f"{setting}: {model.name} can't be loaded as a model ({type(error).__name__}: {first})"
        )
        raise ScoringError(message) from error
    missing = [name for name in about.get("missing_keys", ()) if "pooler" not in name]
    if missing:
        what = "a causal language model" if kind == "causal" else "an encoder"
        message = f"{setting}: {model.name} is not {what}: it has no weights for {missing[0]}"
        raise ScoringError(message)
    return loaded.eval().requires_grad_(requires_grad=False).to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging as messages

    before, shown = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity(logging.ERROR)
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(before)
        if shown:
            messages.enable_progress_bar()
