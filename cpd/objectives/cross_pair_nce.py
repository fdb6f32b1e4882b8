"""Cross-pair discrimination by noise-contrastive estimation, with its noise and its normaliser.

Shapes: B batch of this rank, G batch gathered from every rank, F rows that stand for it, M noise rows, N instances,
D embedding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from cpd.objectives import cross_pair
from cpd.objectives.banks import check_kind
from cpd.objectives.ranks import fetch_rows

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.config import Objective
    from cpd.objectives.banks import Banks
    from cpd.objectives.noise import NoiseSource

# Share of the old value when `log_z: ema` moves NCE's normaliser (K. He's setting for CMC).
EMA = 0.99
# Rows of a random bank that stand for the features of the first step.
FIRST = 64


class CrossPairNce:
    """Equation 3 in both directions, by NCE (equation 5).

    Z / N is estimated for each direction on the first batch, of all ranks and micro-batches, and then kept
    (`first_batch`) or moved by an exponential average of 0.99 (`ema`). The first step's own loss cannot wait for that:
    the other bank's rows stand for its features. Rows are uniform on the sphere then, so that Z has one expectation
    for any unit feature. Neither Z nor the noise depends on how a batch is cut.
    """

    def __init__(self, objective: Objective, banks: Banks, noise: NoiseSource, group_N: Tensor | None = None) -> None:
        self.tau, self.m, self.moves = objective.tau, objective.noise, objective.log_z == "ema"
        self.banks, self.noise, self.group_N = banks, noise, group_N
        self.log_z: tuple[float, float] | None = None

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: v2t is the NCE loss against the text bank, t2v against the video bank, loss their sum."""
        z_v2t, z_t2v = self.log_z or self._first_log_z()
        v2t = self._direction(v_BD, self.banks.text.rows_ND, index_B, log_z=z_v2t, purpose="v2t")
        t2v = self._direction(t_BD, self.banks.video.rows_ND, index_B, log_z=z_t2v, purpose="t2v")
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

    def rank_state(self) -> dict[str, Banks]:
        """The banks, where they are shared."""
        return self.banks.rank_state()

    def state_dict(self) -> dict[str, Any]:
        """Banks, noise counters and log_z (video to text, text to video; empty before the first update)."""
        log_z = [] if self.log_z is None else list(self.log_z)
        banks, noise = self.banks.common_state(), self.noise.state_dict()
        return {"kind": "cross_pair nce", "banks": banks, "noise": noise, "log_z": log_z}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore banks, noise counters and log_z."""
        check_kind(state, "cross_pair nce")
        self.banks.load_common_state(state["banks"])
        self.noise.load_state_dict(state["noise"])
        self.log_z = tuple(state["log_z"]) or None

    def _first_log_z(self) -> tuple[float, float]:
        """log(Z / N) before the first update: the same number in every micro-batch of every rank."""
        index_F = self.noise.draw(FIRST, purpose="anchors")
        video_FD, text_FD = (self._rows(bank.rows_ND, index_F) for bank in (self.banks.video, self.banks.text))
        return self._estimate(video_FD, text_FD)

    def _estimate(self, v_GD: Tensor, t_GD: Tensor) -> tuple[float, float]:
        """log(Z / N) of both directions on m rows shared by the batch."""
        noise_M = self.noise.draw(self.m, purpose="z")
        v2t = self._log_z(v_GD, self.banks.text.rows_ND, noise_M)
        t2v = self._log_z(t_GD, self.banks.video.rows_ND, noise_M)
        return v2t, t2v

    def _log_z(self, f_GD: Tensor, rows_ND: Tensor, noise_M: Tensor) -> float:
        if self.banks.shard is not None:
            rows_ND = self._rows(rows_ND, noise_M)
            noise_M = torch.arange(len(noise_M), device=noise_M.device)
        return cross_pair.estimate_log_z(f_GD, rows_ND, noise_M, tau=self.tau)

    def _rows(self, rows_ND: Tensor, index_M: Tensor) -> Tensor:
        """A few rows (M, D) of a bank, brought here where they are elsewhere, so that estimates are the same number."""
        shard = self.banks.shard
        return rows_ND.index_select(0, index_M) if shard is None else fetch_rows([rows_ND], index_M, shard)

    def _direction(self, f_BD: Tensor, rows_ND: Tensor, index_B: Tensor, *, log_z: float, purpose: str) -> Tensor:
        noise_BM = self.noise.draw_for(index_B, self.m, purpose=purpose)
        shard = self.banks.shard
        return cross_pair.nce_loss(
            f_BD, rows_ND, index_B, noise_BM, tau=self.tau, log_z=log_z, group_N=self.group_N, shard=shard
        )


def _ema_log(old: float, new: float) -> float:
    """log(0.99 exp(old) + 0.01 exp(new)), without forming exp of large numbers."""
    highest = max(old, new)
    return highest + math.log(EMA * math.exp(old - highest) + (1 - EMA) * math.exp(new - highest))
