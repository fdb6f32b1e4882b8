"""The two towers and their heads: what pretraining trains.

Shapes: B batch, T frames, H, W, C=3, F video feature, E text feature, D shared embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cpd.errors import CpdError
from cpd.models import encoders, resnet3d
from cpd.models.adopt import adopt
from cpd.models.heads import TextHead, VideoHead

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from cpd.config import Encoder, Experiment


class TwoTower(nn.Module):
    """Video tower, language model and the heads that bring both to one sphere.

    A frozen language model (stage I of the curriculum) has no gradient and stays in eval mode whatever `train()`
    says, so that its features of a title are constants that may be computed once. It starts as the first stage wants
    it; `train_language_model` changes that between stages.

    Args:
        exp: backbone and head sizes are read from it.
        encoder: where the language model comes from.
        begin: whether to begin with `backbone.weights`, where the experiment names them.

    Attributes:
        adopted: what was taken from `backbone.weights`; None without.

    Raises:
        CpdError: the language model or the weights cannot be loaded, or a stage would train a language model that
            stays frozen.
    """

    def __init__(self, exp: Experiment, encoder: Encoder, *, begin: bool = True) -> None:
        super().__init__()
        self.video = resnet3d.build(exp.backbone)
        self.video_head = VideoHead(self.video.feature_dim, exp.heads.dim)
        self.text = encoders.build(encoder)
        self._require_trainable(exp, encoder)
        self.text_head = TextHead(self.text.dim, exp.heads.hidden, exp.heads.dim)
        weights = exp.backbone.weights if begin else None
        self.adopted = None if weights is None else adopt(self, weights)
        self.text_trains = False
        self.train_language_model(bool(exp.stages) and exp.stages[0].lr_text is not None)

    def _require_trainable(self, exp: Experiment, encoder: Encoder) -> None:
        trains = any(stage.lr_text is not None for stage in exp.stages)
        if trains and not self.text.trainable:
            raise CpdError(
                f"encoders.{exp.encoder} is of kind {encoder.kind}, which stays frozen, but a stage has lr_text",
                hint="leave lr_text out (null), or take an encoder of kind transformers",
            )

    def train_language_model(self, wanted: bool) -> None:
        """Freeze (False) or release (True) the language model; wrap in DDP after it, which reads requires_grad once."""
        self.text_trains = wanted
        self.text.requires_grad_(wanted)
        self.text.train(wanted and self.training)

    def train(self, mode: bool = True) -> Self:
        """Set training mode, but leave a frozen language model in eval mode (its dropout would shift the features)."""
        super().train(mode)
        self.text.train(mode and self.text_trains)
        return self

    def embed_video(self, x_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised clips (B, 3, T, H, W) to unit rows f_BD and the pooled res5 feature (B, F)."""
        res5_BF: Tensor = self.video(x_BCTHW)
        return self.video_head(res5_BF), res5_BF

    def embed_text(self, t_BE: Tensor) -> Tensor:
        """Features of the language model (B, E), live or computed before, to unit rows f_BD."""
        f_BD: Tensor = self.text_head(t_BE)
        return f_BD

    def forward(self, x_BCTHW: Tensor, text: Tensor | Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embed a batch of pairs: the call that DDP wraps.

        Args:
            x_BCTHW: normalised clips (B, 3, T, H, W).
            text: features (B, E) computed before, or tokens of `text.tokenize` for a live language model.

        Returns:
            v_BD and t_BD: unit rows of the videos and of their texts.
        """
        t_BE = text if isinstance(text, torch.Tensor) else self.text(**text)
        return self.embed_video(x_BCTHW)[0], self.embed_text(t_BE)
