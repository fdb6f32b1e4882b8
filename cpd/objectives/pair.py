"""Objectives with their state: what the training loop calls, updates and checkpoints.

Shapes: B batch of this rank, G batch gathered from every rank, N instances, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cpd.objectives import cross_pair, in_batch, ranking, self_instance
from cpd.objectives.banks import Banks, check_kind
from cpd.objectives.cross_pair_nce import CrossPairNce
from cpd.objectives.noise import NoiseSource, derive_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from cpd.config import Objective
    from cpd.objectives.ranks import Ranks

IN_BATCH = ("ranking", "info_nce")


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

    def rank_state(self) -> dict[str, Banks]:
        """By name, what each rank keeps of its own besides: shared banks."""


def build(
    objective: Objective,
    *,
    n: int,
    dim: int,
    seed: int,
    device: torch.device | str,
    group_N: Tensor | None = None,
    ranks: Ranks | None = None,
) -> PairObjective:
    """Build an objective and its banks.

    Args:
        objective: name, estimator and settings.
        n: instances; banks need `bank.bank_bytes` on `device`.
        dim: D.
        seed: of the banks' first rows and of the noise; the same on every rank.
        device: where features arrive.
        group_N: int64, one number for each set of pairs with one title, on the CPU; used where
            `objective.mask_equal_titles` says so.
        ranks: whose pairs are compared in a batch, and who shares the banks where `objective.shard_banks` says so;
            None: this process is alone.

    Raises:
        ValueError: the objective is `none`, which is never trained, or one without texts.
    """
    if objective.name == "none":
        raise ValueError("objective `none` is never trained. Hint: save the initial weights instead")
    if objective.name in ("supervised", "persistency"):
        raise ValueError(f"objective `{objective.name}` compares no pairs. Hint: it has a module of its own")
    group_N = group_N.to(device) if group_N is not None and objective.mask_equal_titles else None
    if objective.name == "ranking":
        return Ranking(objective, group_N, ranks)
    if objective.name == "info_nce":
        return InfoNce(objective, group_N, ranks)
    shared = ranks if objective.shard_banks else None
    banks = Banks(
        n, dim, seed=seed, device=device, momentum=objective.momentum, ranks=shared, precision=objective.banks
    )
    if objective.name == "self_instance":
        return SelfInstance(objective, banks, group_N)
    if objective.estimator == "exact":
        return CrossPairExact(objective, banks, group_N)
    return CrossPairNce(objective, banks, NoiseSource(n, seed=derive_seed(seed, "noise"), device=device), group_N)


class CrossPairExact:
    """Equation 3 in both directions, softmax over all N pairs."""

    def __init__(self, objective: Objective, banks: Banks, group_N: Tensor | None = None) -> None:
        self.tau, self.banks, self.group_N = objective.tau, banks, group_N

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: v2t is -log p(i_t | v), t2v is -log p(i_v | t), loss their sum."""
        v2t = self._direction(v_BD, self.banks.text.rows_ND, index_B)
        t2v = self._direction(t_BD, self.banks.video.rows_ND, index_B)
        return {"loss": v2t + t2v, "v2t": v2t.detach(), "t2v": t2v.detach()}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the banks' rows."""
        self.banks.update(v_GD, t_GD, index_G)

    def rank_state(self) -> dict[str, Banks]:
        """The banks, where they are shared."""
        return self.banks.rank_state()

    def state_dict(self) -> dict[str, Any]:
        """The banks."""
        return {"kind": "cross_pair exact", "banks": self.banks.common_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the banks."""
        check_kind(state, "cross_pair exact")
        self.banks.load_common_state(state["banks"])

    def _direction(self, f_BD: Tensor, rows_ND: Tensor, index_B: Tensor) -> Tensor:
        return cross_pair.exact_loss(f_BD, rows_ND, index_B, tau=self.tau, group_N=self.group_N, shard=self.banks.shard)


class SelfInstance:
    """Equation 2, softmax over all N pairs."""

    def __init__(self, objective: Objective, banks: Banks, group_N: Tensor | None = None) -> None:
        self.tau, self.banks, self.group_N = objective.tau, banks, group_N

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """The one part is loss."""
        video_ND, text_ND = self.banks.video.rows_ND, self.banks.text.rows_ND
        loss = self_instance.loss(
            v_BD, t_BD, video_ND, text_ND, index_B, tau=self.tau, group_N=self.group_N, shard=self.banks.shard
        )
        return {"loss": loss}

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the banks' rows."""
        self.banks.update(v_GD, t_GD, index_G)

    def rank_state(self) -> dict[str, Banks]:
        """The banks, where they are shared."""
        return self.banks.rank_state()

    def state_dict(self) -> dict[str, Any]:
        """The banks."""
        return {"kind": "self_instance", "banks": self.banks.common_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the banks."""
        check_kind(state, "self_instance")
        self.banks.load_common_state(state["banks"])


class Batchwise:
    """An objective within a micro-batch of all ranks; it has no bank, and the micro-batch sets how many negatives."""

    kind: str

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Nothing outlives a batch."""

    def rank_state(self) -> dict[str, Banks]:
        """There are no banks."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Only what kind it is."""
        return {"kind": self.kind}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check the kind."""
        check_kind(state, self.kind)


class Ranking(Batchwise):
    """Equation 4, against the other texts of the ranks' micro-batch, and the other videos if `both_directions`."""

    kind = "ranking"

    def __init__(self, objective: Objective, group_N: Tensor | None = None, ranks: Ranks | None = None) -> None:
        self.delta, self.both, self.group_N, self.ranks = objective.delta, objective.both_directions, group_N, ranks

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: loss, and of both directions v2t and t2v, whose sum it is."""
        group_B = None if self.group_N is None else self.group_N[index_B]
        v2t = ranking.loss(v_BD, t_BD, delta=self.delta, group_B=group_B, ranks=self.ranks)
        if not self.both:
            return {"loss": v2t}
        t2v = ranking.loss(t_BD, v_BD, delta=self.delta, group_B=group_B, ranks=self.ranks)
        return {"loss": v2t + t2v, "v2t": v2t.detach(), "t2v": t2v.detach()}


class InfoNce(Batchwise):
    """InfoNCE within the micro-batch of all ranks, both directions."""

    kind = "info_nce"

    def __init__(self, objective: Objective, group_N: Tensor | None = None, ranks: Ranks | None = None) -> None:
        self.tau, self.group_N, self.ranks = objective.tau, group_N, ranks

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: v2t, t2v, and loss, their sum."""
        group_B = None if self.group_N is None else self.group_N[index_B]
        v2t, t2v = in_batch.loss(v_BD, t_BD, tau=self.tau, group_B=group_B, ranks=self.ranks)
        return {"loss": v2t + t2v, "v2t": v2t.detach(), "t2v": t2v.detach()}
