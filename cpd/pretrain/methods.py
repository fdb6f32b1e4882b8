"""A method of temporal persistency from its settings: heads, momentum encoder, queue, prototypes (PAPER section 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from cpd.config import Rho
from cpd.models.heads import MlpHead
from cpd.models.resnet3d import SlowResNet
from cpd.objectives.noise import derive_seed
from cpd.objectives.ranks import Ranks
from cpd.objectives.rho.byol import Byol
from cpd.objectives.rho.method import Method, Steps
from cpd.objectives.rho.moco import Moco
from cpd.objectives.rho.momentum import MomentumEncoder
from cpd.objectives.rho.queue import Queue
from cpd.objectives.rho.simclr import SimClr
from cpd.objectives.rho.swav import Swav
from cpd.video.transforms import to_model


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the study gave a method: its projection head, and the momentum at the first step."""

    hidden: int
    dim: int
    layers: int
    norm: bool
    momentum: float = 0.0


STUDY = MappingProxyType(
    {
        "moco": Study(hidden=2048, dim=128, layers=3, norm=False, momentum=0.994),
        "simclr": Study(hidden=2048, dim=128, layers=3, norm=True),
        "byol": Study(hidden=4096, dim=256, layers=2, norm=True, momentum=0.996),
        "swav": Study(hidden=2048, dim=128, layers=3, norm=True),
    }
)


def build_method(
    rho: Rho,
    tower: SlowResNet,
    *,
    steps: Steps,
    seed: int,
    device: torch.device,
    ranks: Ranks | None = None,
    convert: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> Method:
    """The method of `rho` upon a tower; its weights are those of `seed` on every rank.

    The global generator goes on undisturbed.

    Args:
        rho: settings; what is null there is the study's.
        tower: what is trained; MoCo and BYOL copy it.
        steps: how long the run is.
        seed: of the weights and of shuffle BN.
        device: where it is trained.
        ranks: None: this process is alone.
        convert: what is done with a head before it is copied (SyncBatchNorm).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "persistency"))
        return _build(rho, tower, steps, seed=seed, device=device, ranks=ranks, convert=convert).to(device)


def _build(
    rho: Rho,
    tower: SlowResNet,
    steps: Steps,
    *,
    seed: int,
    device: torch.device,
    ranks: Ranks | None,
    convert: Callable[[nn.Module], nn.Module],
) -> Method:
    study = STUDY[rho.method]
    hidden, dim = rho.hidden or study.hidden, rho.dim or study.dim
    momentum = study.momentum if rho.momentum is None else rho.momentum

    def mlp(features: int, *, layers: int) -> nn.Module:
        return convert(MlpHead(features, hidden, dim, layers=layers, norm=study.norm)).to(device)

    head = mlp(tower.feature_dim, layers=study.layers)
    if rho.method == "simclr":
        return SimClr(head, tau=rho.tau, ranks=ranks, steps=steps)
    if rho.method == "swav":
        return Swav(
            head,
            nn.Linear(dim, rho.prototypes, bias=False),
            tau=rho.tau,
            epsilon=rho.epsilon,
            iterations=rho.iterations,
            freeze_epochs=rho.freeze_epochs,
            ranks=ranks,
            steps=steps,
        )
    shuffle = rho.method == "moco"
    keys = MomentumEncoder(tower, head, to_input=to_model, shuffle=shuffle, ranks=ranks, seed=seed)
    if rho.method == "byol":
        return Byol(head, mlp(dim, layers=2), keys, momentum=momentum, steps=steps)
    return Moco(head, keys, Queue(rho.queue, dim, device=device), tau=rho.tau, momentum=momentum, steps=steps)
