"""What the cluster is like. Nothing of it re-runs anything."""

from __future__ import annotations

from cpd.config.base import Strict, require


class Cluster(Strict, frozen=True, kw_only=True):
    """The cluster (docs/cluster.md); partition, account and kind of GPU stand in `profiles/slurm/config.yaml`.

    Attributes:
        gpus_per_node: a pretraining with more `gpus` than this takes several whole nodes (`gpus` must be a multiple);
            fine-tuning and features take one node's at most.
    """

    gpus_per_node: int = 8

    def __post_init__(self) -> None:
        require(self.gpus_per_node > 0, "gpus_per_node", "must be at least 1")
