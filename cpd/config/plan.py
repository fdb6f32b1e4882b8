"""What `cpd plan` assumes: everything else that it says follows from the rest of the config."""

from __future__ import annotations

import msgspec

from cpd.config.base import Strict, require


class Plan(Strict, frozen=True, kw_only=True):
    """Assumptions of `cpd plan` (docs/plan.md). No rule reads them: another number re-runs nothing.

    Attributes:
        gpu_tflops: of one GPU, peak, in 10^12 operations a second, in the precision of `train.precision` (an A100 has
            312 in bf16, an H100 989, a V100 125 in fp16).
        utilisation: the share of it that training and extraction sustain. 3-D convolutions stay far below the peak, and
            clips must be decoded in time; `cpd pretrain --dry-run` tells the real speed of a run that has begun.
        ids_per_hour: that the site stands (docs/crawl.md).
        ok_share: of the ids of a crawled source that still are there with a title (the paper: 210,000 of 246,534).
        media_mb: mean size of a fetched video, or of one that lies in a folder; `source_mb` says it of single sources.
        clip_mb: mean size of a clip in a shard (measured: 0.5 for 10 s at a short side of 256, crf 23).
        language_model: parameters of a transformers encoder, which checkpoints hold (DistilBERT: 66 million).
    """

    gpu_tflops: float = 312.0
    utilisation: float = 0.1
    ids_per_hour: float = 300.0
    ok_share: float = 0.85
    media_mb: float = 2.0
    source_mb: dict[str, float] = msgspec.field(default_factory=dict)
    clip_mb: float = 0.5
    language_model: int = 66_000_000

    def __post_init__(self) -> None:
        for key in ("gpu_tflops", "ids_per_hour", "media_mb", "clip_mb"):
            require(getattr(self, key) > 0, key, "must be positive")
        for key in ("utilisation", "ok_share"):
            require(0 < getattr(self, key) <= 1, key, "must be above 0 and at most 1")
        require(all(size > 0 for size in self.source_mb.values()), "source_mb", "must be positive")
        require(self.language_model >= 0, "language_model", "must be 0 or more")
