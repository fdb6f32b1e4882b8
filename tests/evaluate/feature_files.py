"""Features of a small made-up run, for the tests of the protocols."""

from __future__ import annotations

from pathlib import Path

import torch

from cpd.config import Config
from cpd.evaluate.features import Features, features_path, save
from cpd.evaluate.result import hash_inputs, model_path

CLASSES = ("hop left", "hop right", "roll left", "roll right")


def put_model(config: Config, run: str, *, content: bytes = b"weights") -> Path:
    path = model_path(config, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.with_name("config.json").write_text("{}")
    return path


def put_features(
    config: Config, run: str, *, source: str, split: str, n: int = 24, text: bool = True, unlabelled: int = 0
) -> Features:
    """Features of `n` videos whose class shows in the first four dimensions; folds alternate."""
    model = put_model(config, run)
    labels = ["" if i < unlabelled else CLASSES[i % 4] for i in range(n)]
    generator = torch.Generator().manual_seed(n)
    emb_ND = torch.nn.functional.one_hot(torch.arange(n) % 4, 16) + 0.1 * torch.randn(n, 16, generator=generator)
    features = Features(
        emb_ND=torch.nn.functional.normalize(emb_ND, dim=1),
        res5_NF=torch.randn(n, 8, generator=generator),
        text_ND=torch.nn.functional.normalize(emb_ND + 0.1, dim=1) if text else torch.empty(0, 16),
        keys=[f"{split}-{i}" for i in range(n)],
        labels=labels,
        titles=[f"title {i}" for i in range(n)],
        folds=[{"1": "train" if i % 8 < 4 else "test"} for i in range(n)],
        failed=[("broken", "no frames")],
        provenance={"inputs": hash_inputs(model)},
    )
    save(features_path(config, run, source=source, split=split), features)
    return features
