"""TensorBoard and Weights & Biases, by one word of the config. Neither is needed: metrics.jsonl has every number."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from cpd.errors import CpdError

MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}


class Tracker(Protocol):
    """Takes numbers by name at an optimiser step."""

    def write(self, numbers: dict[str, float], *, step: int) -> None:
        """Add them."""

    def close(self) -> None:
        """All is written when this returns."""


def open_trackers(names: Sequence[str], folder: Path) -> list[Tracker]:
    """The trackers of `train.log`, before anything is trained.

    Raises:
        CpdError: the package of one is not installed; the message names it.
    """
    kinds: dict[str, Callable[[ModuleType, Path], Tracker]] = {"tensorboard": TensorBoard, "wandb": Wandb}
    return [kinds[name](_module(name), folder) for name in names]


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(MODULES[name])
    except ImportError as error:
        raise CpdError(
            f"train.log: {name} is not installed: {error}", hint=f"`pip install {name}`, or take it out of train.log"
        ) from error


class TensorBoard:
    """Scalars in `folder/tensorboard`; steps that a killed run logged and a resumed one repeats are purged."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self.module, self.folder = module, folder / "tensorboard"
        self.writer: Any = None

    def write(self, numbers: dict[str, float], *, step: int) -> None:
        """Add scalars."""
        if self.writer is None:
            self.writer = self.module.SummaryWriter(log_dir=str(self.folder), purge_step=step)
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close."""
        if self.writer is not None:
            self.writer.close()


class Wandb:
    """One W&B run per run folder; a resumed training goes on in it. Offline by WANDB_MODE=offline."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        self.module, self.folder = module, folder
        self.run: Any = None

    def write(self, numbers: dict[str, float], *, step: int) -> None:
        """Log the numbers."""
        if self.run is None:
            ident = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16]
            self.folder.mkdir(parents=True, exist_ok=True)
            self.run = self.module.init(
                project="cpd", name=self.folder.name, id=ident, resume="allow", dir=str(self.folder)
            )
        self.run.log(numbers, step=step)

    def close(self) -> None:
        """Send what waits."""
        if self.run is not None:
            self.run.finish()


def numbers_of(row: dict[str, Any], *, prefix: str) -> dict[str, float]:
    """The numbers of a nested row, by path: {"validation": {"r1": 3}} is {"PREFIX/validation/r1": 3}."""
    found: dict[str, float] = {}
    for key, value in row.items():
        name = f"{prefix}/{key}"
        if isinstance(value, dict):
            found |= numbers_of(value, prefix=name)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found
