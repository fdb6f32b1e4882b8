"""A foreign checkpoint as a run folder that every evaluation command takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from cpd.errors import CpdError
from cpd.fileio import write_json
from cpd.models.checkpoint import WEIGHTS, save_run
from cpd.models.two_tower import TwoTower

if TYPE_CHECKING:
    from cpd.config import Encoder, Experiment
    from cpd.models.adopt import Adopted

REPORT = "import.json"
METRICS = "metrics.json"


def import_run(folder: str | Path, exp: Experiment, encoder: Encoder, *, seed: int = 0) -> Adopted:
    """Write model.safetensors, config.json, import.json and metrics.json of the network in `exp.backbone.weights`.

    Args:
        folder: the run folder, made when absent; an earlier import there is replaced.
        exp: the network that the checkpoint holds.
        encoder: the language model, or the one whose weights the checkpoint holds.
        seed: of the parts that the checkpoint does not hold.

    Returns:
        What became of every tensor; import.json holds the same.

    Raises:
        CpdError: the checkpoint cannot be read or does not fit, or the folder holds a run that was trained here.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).exists() and not (folder / REPORT).exists():
        raise CpdError(f"{folder}: holds a trained run", hint="import under another name, or remove the folder")
    torch.manual_seed(seed)
    model = TwoTower(exp, encoder).eval()
    assert model.adopted is not None, "the experiment names no weights"
    report = msgspec.to_builtins(model.adopted)
    write_json(folder / REPORT, report)
    save_run(folder, model, exp, encoder)
    write_json(folder / METRICS, {"epochs": 0, "steps": 0, "clips": 0, "imported": report["file"]})
    return model.adopted
