"""CPD: spatiotemporal features from videos and the titles people wrote for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.1.0"


def load(path: str | Path) -> Any:
    """Load a run folder or an export, ready to embed videos and sentences.

    Args:
        path: a folder of `cpd pretrain`, `cpd import` or `cpd export`, holding `model.safetensors` and `config.json`.

    Returns:
        A `cpd.models.embedder.Embedder`: `embed_file`, `embed_clips`, `embed_sentences`.

    Raises:
        CpdError: the folder, its weights or its config is missing or does not fit.
    """
    from cpd.models.checkpoint import load_embedder

    return load_embedder(path)
