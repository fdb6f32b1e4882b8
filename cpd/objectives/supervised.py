"""Cross-entropy over class labels: the supervised 3D network of Table 4, trained like the others.

Shapes: B batch, D = K classes, N instances.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

from cpd.objectives.pair import Batchwise

if TYPE_CHECKING:
    from torch import Tensor


class Labels(Batchwise):
    """Cross-entropy of logits against the label of each instance; there is no bank.

    Args:
        target_N: class of each instance, int64, on the device.
    """

    kind = "supervised"

    def __init__(self, target_N: Tensor) -> None:
        self.target_N = target_N

    def __call__(self, v_BD: Tensor, t_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Parts: loss, and top1, the share that is right; `v_BD` are logits, D = K, and `t_BD` is not looked at."""
        target_B = self.target_N[index_B]
        loss = functional.cross_entropy(v_BD.float(), target_B)
        return {"loss": loss, "top1": (v_BD.detach().argmax(dim=1) == target_B).float().mean()}
