"""Objectives with their state: what the training loop calls, updates and checkpoints.

Shapes: B batch of this rank, G batch gathered from every rank, N instances, D embedding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from cpd.errors import ConfigError, CpdError
from cpd.objectives import cross_pair, ranking, self_instance
from cpd.objectives.bank import Bank
from cpd.objectives.noise import NoiseSource, derive_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cpd.config import Objective

# Share of the old value when `log_z: ema` moves NCE's normaliser (K. He's setting for CMC).
EMA = 0.99


class PairObjective(Protocol):
    """What every objective offers."""

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Named parts of the loss of a batch; "loss" is the scalar to minimise, the others are detached.

        Args:
            v_BD: unit video features (B, D), live.
            t_BD: unit text features (B, D), live.
            index_B: instance of each pair, int64.
        """

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """After each optimiser step, on every rank, with the features of all ranks in rank order."""

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and strings, for `torch.load(weights_only=True)`. Tensors are not copied."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; CpdError when it is of another objective or size."""


def build(objective: Objective, *, n: int, dim: int, seed: int, device: torch.device | str) -> PairObjective:
    """Build an objective and its banks.

    Args:
        objective: name, estimator and settings.
        n: instances; banks need 8 n dim bytes on `device`.
        dim: D.
        seed: of the banks' first rows and of the noise; the same on every rank.
        device: where features arrive.

    Raises:
        ValueError: the objective is `none`, which is never trained.
        ConfigError: the objective has no such estimator.
    """
    if objective.name == "none":
        raise ValueError("objective `none` is never trained. Hint: save the initial weights instead")
    if objective.name == "ranking":
        return Ranking(objective)
    banks = Banks(n, dim, seed=seed, device=device, momentum=objective.momentum)
    if objective.name == "self_instance":
        return SelfInstance(objective, banks)
    if objective.estimator == "exact":
        return CrossPairExact(objective, banks)
    return CrossPairNce(objective, banks, NoiseSource(n, seed=derive_seed(seed, "noise"), device=device))


class Banks:
    """The video bank and the text bank, updated together."""

    def __init__(self, n: int, dim: int, *, seed: int, device: torch.device | str, momentum: float) -> None:
        self.momentum = momentum
        self.video = Bank(n, dim, seed=derive_seed(seed, "video"), device=device)
        self.text = Bank(n, dim, seed=derive_seed(seed, "text"), device=device)

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the rows of a batch."""
        self.video.update(index_G, v_GD, momentum=self.momentum)
        self.text.update(index_G, t_GD, momentum=self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """Both banks' rows."""
        return {"video": self.video.state_dict(), "text": self.text.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy both banks' rows in."""
        self.video.load_state_dict(state["video"])
        self.text.load_state_dict(state["text"])


class CrossPairExact:
    """Equation 3 in both directions, softmax over all N pairs."""

    def __init__(self, objective: Objective, banks: Banks) -> None:
        self.tau, self.banks = objective.tau, banks

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: v2t is -log p(i_t | v), t2v is -log p(i_v | t), loss their sum."""
        v2t = cross_pair.exact_loss(v_BD, self.banks.text.rows_ND, index_B, tau=self.tau)
        t2v = cross_pair.exact_loss(t_BD, self.banks.video.rows_ND, index_B, tau=self.tau)
        return {"loss": v2t + t2v, "v2t": v2t.detach(), "t2v": t2v.detach()}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the banks' rows."""
        self.banks.update(v_GD, t_GD, index_G)

    def state_dict(self) -> dict[str, Any]:
        """The banks."""
        return {"kind": "cross_pair exact", "banks": self.banks.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the banks."""
        _check_kind(state, "cross_pair exact")
        self.banks.load_state_dict(state["banks"])


class CrossPairNce:
    """Equation 3 in both directions, by NCE (equation 5).

    Z / N is estimated for each direction on the first batch, and then kept (`first_batch`) or moved by an exponential
    average of 0.99 (`ema`). What is kept comes from the features of all ranks, so that ranks agree.
    """

    def __init__(self, objective: Objective, banks: Banks, noise: NoiseSource) -> None:
        self.tau, self.m, self.moves = objective.tau, objective.noise, objective.log_z == "ema"
        self.banks, self.noise = banks, noise
        self.log_z: tuple[float, float] | None = None

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: v2t is the NCE loss against the text bank, t2v against the video bank, loss their sum."""
        z_v2t, z_t2v = self.log_z or self._estimate(v_BD, t_BD)
        noise_BM = self.noise.draw_for(index_B, self.m)
        v2t = cross_pair.nce_loss(v_BD, self.banks.text.rows_ND, index_B, noise_BM, tau=self.tau, log_z=z_v2t)
        noise_BM = self.noise.draw_for(index_B, self.m)
        t2v = cross_pair.nce_loss(t_BD, self.banks.video.rows_ND, index_B, noise_BM, tau=self.tau, log_z=z_t2v)
        return {"loss": v2t + t2v, "v2t": v2t.detach(), "t2v": t2v.detach()}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move log_z, from the banks that the step's loss saw, and then the banks."""
        self.noise.next_step()
        if self.log_z is None:
            self.log_z = self._estimate(v_GD, t_GD)
        elif self.moves:
            new = self._estimate(v_GD, t_GD)
            self.log_z = (_ema_log(self.log_z[0], new[0]), _ema_log(self.log_z[1], new[1]))
        self.banks.update(v_GD, t_GD, index_G)

    def state_dict(self) -> dict[str, Any]:
        """Banks, noise counters and log_z (video to text, text to video; empty before the first update)."""
        log_z = [] if self.log_z is None else list(self.log_z)
        banks, noise = self.banks.state_dict(), self.noise.state_dict()
        return {"kind": "cross_pair nce", "banks": banks, "noise": noise, "log_z": log_z}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore banks, noise counters and log_z."""
        _check_kind(state, "cross_pair nce")
        self.banks.load_state_dict(state["banks"])
        self.noise.load_state_dict(state["noise"])
        self.log_z = tuple(state["log_z"]) or None

    def _estimate(self, v_GD: Tensor, t_GD: Tensor) -> tuple[float, float]:
        """log(Z / N) of both directions on m rows shared by the batch."""
        noise_M = self.noise.draw(self.m)
        v2t = cross_pair.estimate_log_z(v_GD, self.banks.text.rows_ND, noise_M, tau=self.tau)
        t2v = cross_pair.estimate_log_z(t_GD, self.banks.video.rows_ND, noise_M, tau=self.tau)
        return v2t, t2v


class SelfInstance:
    """Equation 2, softmax over all N pairs."""

    def __init__(self, objective: Objective, banks: Banks) -> None:
        if objective.estimator != "exact":
            raise ConfigError(
                f"objective.estimator: self_instance has no {objective.estimator!r}", hint="set it to exact"
            )
        self.tau, self.banks = objective.tau, banks

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """The one part is loss."""
        video_ND, text_ND = self.banks.video.rows_ND, self.banks.text.rows_ND
        return {"loss": self_instance.loss(v_BD, t_BD, video_ND, text_ND, index_B, tau=self.tau)}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the banks' rows."""
        self.banks.update(v_GD, t_GD, index_G)

    def state_dict(self) -> dict[str, Any]:
        """The banks."""
        return {"kind": "self_instance", "banks": self.banks.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the banks."""
        _check_kind(state, "self_instance")
        self.banks.load_state_dict(state["banks"])


class Ranking:
    """Equation 4, against the other texts of this rank's batch; it has no bank."""

    def __init__(self, objective: Objective) -> None:
        self.delta = objective.delta

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """The one part is loss."""
        return {"loss": ranking.loss(v_BD, t_BD, delta=self.delta)}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Nothing outlives a batch."""

    def state_dict(self) -> dict[str, Any]:
        """Only what kind it is."""
        return {"kind": "ranking"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check the kind."""
        _check_kind(state, "ranking")


def _check_kind(state: dict[str, Any], kind: str) -> None:
    if state.get("kind") != kind:
        raise CpdError(
            f"the checkpoint is of the objective {state.get('kind')!r}, this run's is {kind!r}",
            hint="delete the run's checkpoints folder to start anew",
        )


def _ema_log(old: float, new: float) -> float:
    """log(0.99 exp(old) + 0.01 exp(new)), without forming exp of large numbers."""
    highest = max(old, new)
    return highest + math.log(EMA * math.exp(old - highest) + (1 - EMA) * math.exp(new - highest))
