"""A trained network that embeds: clips, video files and sentences.

Shapes: B clips, V views of one video, T frames, H, W, C=3, D embedding, F res5, N sentences.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from cpd.config import Clips, Experiment, FeatureViews
from cpd.errors import CpdError
from cpd.models.two_tower import TwoTower
from cpd.video.cut import cut
from cpd.video.probe import VideoError
from cpd.video.transforms import to_model
from cpd.video.views import all_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

CLIPS_AT_ONCE = 30


@dataclass(frozen=True)
class Embedder:
    """A trained model that only embeds: eval mode, no gradients, on `device`. Results are on the CPU, in fp32."""

    model: TwoTower
    exp: Experiment
    device: torch.device

    @torch.no_grad()
    def embed_clips(self, clip_BTHWC: Tensor) -> tuple[Tensor, Tensor]:
        """Embed clips as the loader gives them.

        Args:
            clip_BTHWC: uint8 RGB (B, T, H, W, 3), not normalised.

        Returns:
            emb_BD, unit rows; and res5_BF, the mean of res5 over time and space.

        Raises:
            CpdError: one clip without B, other axes or another type.
        """
        if clip_BTHWC.dim() != 5 or clip_BTHWC.shape[-1] != 3 or clip_BTHWC.dtype != torch.uint8:
            raise CpdError(
                f"clips of shape {tuple(clip_BTHWC.shape)} and {clip_BTHWC.dtype}",
                hint="give uint8 RGB of shape (clips, frames, height, width, 3); of one clip, clip[None]",
            )
        emb_BD, res5_BF = self.model.embed_video(to_model(clip_BTHWC.to(self.device)))
        return emb_BD.float().cpu(), res5_BF.float().cpu()

    def embed_file(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        views: FeatureViews | None = None,
        clips: Clips | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embed a video file as the pipeline would: cut, encoded, seen from all test views, and averaged.

        Args:
            path: a local video file of any common format.
            start: first second.
            end: last second; None for the end. `clips.max_seconds` (10) bounds what is seen.
            views: test views; by default 10 centre crops of the frames and stride the network was trained with, at
                8/7 of its training size (112 to 128, 224 to 256; paper, section 4.4).
            clips: how the file is cut, and the limits on what is opened.

        Returns:
            emb_D, of unit length; and res5_F.

        Raises:
            VideoError: the file is missing, is no video, is corrupt, too large or too short; `status` says which.
        """
        try:
            views_VTHWC = torch.from_numpy(_views(path, start, end, views or self.test_views(), clips or Clips()))
        except VideoError as error:
            raise VideoError(error.status, f"{path}: {error.reason}") from None
        parts = [self.embed_clips(part) for part in torch.split(views_VTHWC, CLIPS_AT_ONCE)]
        emb_VD, res5_VF = (torch.cat(group) for group in zip(*parts, strict=True))
        return normalize(emb_VD.mean(0), dim=0), res5_VF.mean(0)

    def test_views(self) -> FeatureViews:
        """Ten centre crops as `embed_file` takes them by default."""
        own = self.exp.views
        return FeatureViews(clips=10, crops=1, frames=own.frames, stride=own.stride, size=own.size * 8 // 7)

    @torch.no_grad()
    def embed_sentences(self, sentences: Sequence[str], *, batch: int = 256) -> Tensor:
        """Unit rows (N, D) of N sentences, `batch` at a time.

        Args:
            sentences: a list of texts, which may be empty.
            batch: how many are encoded at once.

        Raises:
            CpdError: `sentences` is one text, whose letters would be taken for sentences, or one of them is no text.
        """
        t_NE = self.model.text.encode(_texts(sentences), batch_size=batch)
        return self.model.embed_text(t_NE.to(self.device)).float().cpu()


def _texts(sentences: Sequence[str]) -> list[str]:
    if isinstance(sentences, str | bytes):
        raise CpdError(f"{sentences!r}: one text, not a list of them", hint="give [text], and take row 0 of what comes")
    texts = list(sentences)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise CpdError(f"sentences[{place}] is of type {type(text).__name__}: {text!r}", hint="give texts")
    return texts


def _views(
    path: str | Path, start: float, end: float | None, views: FeatureViews, clips: Clips
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """All views (V, T, H, W, 3) of a file, clip by clip and crop by crop."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / "clip.mp4"
        cut_clip = cut(path, stored, start=start, end=end, clips=clips)
        video = stored.read_bytes()
    return all_views(video, cut_clip.frames, views)
