"""The two banks of a run, whole on every rank or shared by the ranks.

Shapes: G batch gathered from every rank, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cpd.errors import CpdError
from cpd.objectives.bank import Bank
from cpd.objectives.noise import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks, Shard

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Banks:
    """The video bank and the text bank, updated together.

    Args:
        n: instances.
        dim: D.
        seed: of the rows they start with.
        device: where the rows live.
        momentum: share of the old row in an update.
        ranks: who shares them; None: every rank holds all rows.
        precision: of the rows, as `objective.banks` names it.
    """

    def __init__(
        self,
        n: int,
        dim: int,
        *,
        seed: int,
        device: torch.device | str,
        momentum: float,
        ranks: Ranks | None = None,
        precision: str = "fp32",
    ) -> None:
        self.momentum = momentum
        options: dict[str, Any] = {"device": device, "ranks": ranks, "dtype": DTYPES[precision]}
        self.video = Bank(n, dim, seed=derive_seed(seed, "video"), **options)
        self.text = Bank(n, dim, seed=derive_seed(seed, "text"), **options)

    @property
    def shard(self) -> Shard | None:
        """Where the rows are that are not here; None when all are."""
        return self.video.shard

    def update(self, v_GD: Tensor, t_GD: Tensor, index_G: Tensor) -> None:
        """Move the rows of a batch."""
        self.video.update(index_G, v_GD, momentum=self.momentum)
        self.text.update(index_G, t_GD, momentum=self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """Both banks' rows, as far as they are here."""
        return {"video": self.video.state_dict(), "text": self.text.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy both banks' rows in."""
        self.video.load_state_dict(state["video"])
        self.text.load_state_dict(state["text"])

    def rank_state(self) -> dict[str, Banks]:
        """By name, what each rank keeps of its own in a checkpoint: these banks when they are shared."""
        return {} if self.shard is None else {"banks": self}

    def common_state(self) -> dict[str, Any]:
        """What a checkpoint's common file keeps: the rows, or nothing when each rank keeps its own."""
        return self.state_dict() if self.shard is None else {}

    def load_common_state(self, state: dict[str, Any]) -> None:
        """Restore what `common_state` gave.

        Raises:
            CpdError: a checkpoint of whole banks meets shared ones, or the other way round.
        """
        if (self.shard is None) != bool(state):
            raise CpdError(
                "the checkpoint's banks are shared by ranks and this run's are not, or the other way round",
                hint="put objective.shard_banks back, or delete the run's checkpoints folder to start anew",
            )
        if state:
            self.load_state_dict(state)


def check_kind(state: dict[str, Any], kind: str) -> None:
    """Raise CpdError unless a state is of this objective."""
    if state.get("kind") != kind:
        raise CpdError(
            f"the checkpoint is of the objective {state.get('kind')!r}, this run's is {kind!r}",
            hint="delete the run's checkpoints folder to start anew",
        )
